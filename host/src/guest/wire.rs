//! The contract's types, as they are handed over.

use muster_core::{Candidate, Decimal, Fields, Value};
use wasmtime::component::{ComponentType, Lower};

/// `decimal` of both interfaces.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WireDecimal {
    high: i64,
    low: u64,
}

/// `value` of `decisions`.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(super) enum WireValue<'a> {
    #[component(name = "none")]
    Nothing,
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "number")]
    Number(WireDecimal),
    #[component(name = "text")]
    Text(&'a str),
    #[component(name = "json")]
    Json(&'a str),
}

/// `value` of `selection`.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(super) enum WirePresent<'a> {
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "number")]
    Number(WireDecimal),
    #[component(name = "text")]
    Text(&'a str),
    #[component(name = "json")]
    Json(&'a str),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WireProperty<'a> {
    name: &'a str,
    value: WirePresent<'a>,
}

#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub(super) struct WireEvent<'a> {
    name: &'a str,
    time: i64,
    properties: Vec<WireProperty<'a>>,
    context: Vec<WireProperty<'a>>,
}

/// `candidate` of `selection`.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub(super) struct WireCandidate<'a> {
    event: WireEvent<'a>,
    predicates: &'a [u32],
}

impl WireDecimal {
    fn of(number: Decimal) -> WireDecimal {
        let billionths = number.billionths();
        WireDecimal { high: (billionths >> 64) as i64, low: billionths as u64 }
    }
}

impl WireValue<'_> {
    pub(super) fn of(value: Option<&Value>) -> WireValue<'_> {
        match value {
            None => WireValue::Nothing,
            Some(Value::Boolean(boolean)) => WireValue::Boolean(*boolean),
            Some(Value::Number(number)) => WireValue::Number(WireDecimal::of(*number)),
            Some(Value::Text(text)) => WireValue::Text(text),
            Some(Value::Composite(json)) => WireValue::Json(json),
        }
    }
}

impl WirePresent<'_> {
    fn of(value: &Value) -> WirePresent<'_> {
        match value {
            Value::Boolean(boolean) => WirePresent::Boolean(*boolean),
            Value::Number(number) => WirePresent::Number(WireDecimal::of(*number)),
            Value::Text(text) => WirePresent::Text(text),
            Value::Composite(json) => WirePresent::Json(json),
        }
    }
}

impl<'a> WireCandidate<'a> {
    pub(super) fn of(candidate: &'a Candidate<'a>) -> WireCandidate<'a> {
        let event = candidate.event;
        WireCandidate {
            event: WireEvent {
                name: &event.name,
                time: event.time.milliseconds(),
                properties: properties(&event.properties),
                context: properties(&event.context),
            },
            predicates: &candidate.predicates,
        }
    }
}

fn properties(fields: &Fields) -> Vec<WireProperty<'_>> {
    fields
        .iter()
        .map(|(name, value)| WireProperty { name, value: WirePresent::of(value) })
        .collect()
}
