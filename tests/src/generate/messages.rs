//! Random messages, in the order in which they arrive.

use super::{BEGINNING_MS, CONTEXT_KEYS, NAMES, PROPERTIES, TEXTS, UNITS_MAX, Unit};
use crate::timeline::{Entry, UserKey};
use muster_core::{Decimal, Event, Fields, Message, Time, Value};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An event before it has a time.
#[derive(Clone, Debug)]
struct Draft {
    /// How long before its message's time, in units.
    late: i64,
    /// Milliseconds off a whole unit.
    off_ms: i64,
    name: &'static str,
    id: Option<usize>,
    properties: Fields,
}

/// A message before it has a time.
#[derive(Clone, Debug)]
struct MessageDraft {
    user: usize,
    /// Units since the message before.
    pause: i64,
    id: Option<usize>,
    events: Vec<Draft>,
    context: Fields,
    attributes: BTreeMap<Arc<str>, Option<Value>>,
    timed: bool,
}

/// Messages of up to four users in two workspaces, and ends of runs between them.
pub fn timeline(unit: Unit) -> impl Strategy<Value = Vec<Entry>> {
    let ends = weighted(0.3, (0usize..30, 0..UNITS_MAX / 6));
    (vec(message(4), 1..40), ends, 0..UNITS_MAX).prop_map(move |(drafts, between, until)| {
        let mut timeline = times(&drafts, unit);
        let last = timeline.len() - 1;
        if let Some((at, after)) = between {
            let until = clock(&timeline[..=at.min(last)]).milliseconds() + after * unit.length_ms;
            timeline.insert(at.min(last) + 1, Entry::End(Time::from_milliseconds(until)));
        }
        let until = BEGINNING_MS + until * unit.length_ms;
        // Some runs end before their last message, some long after it, most where it leaves off.
        let until = if until % 3 == 0 { Time::from_milliseconds(until) } else { None };
        timeline.push(Entry::End(until));
        timeline
    })
}

/// Hundreds of messages of one user, more events than any series keeps apart.
pub fn hot_user(unit: Unit) -> impl Strategy<Value = Vec<Entry>> {
    vec(message(1), 150..300).prop_map(move |drafts| {
        let mut timeline = times(&drafts, unit);
        timeline.push(Entry::End(None));
        timeline
    })
}

fn clock(timeline: &[Entry]) -> Time {
    let latest = timeline.iter().filter_map(|entry| match entry {
        Entry::Message(_, message) => message.latest(),
        Entry::End(until) => *until,
    });
    latest.max().unwrap_or(Time::EPOCH)
}

fn times(drafts: &[MessageDraft], unit: Unit) -> Vec<Entry> {
    let mut clock_ms = BEGINNING_MS;
    let mut timeline = Vec::new();
    for draft in drafts {
        clock_ms += draft.pause * unit.length_ms;
        let time = |ms: i64| Time::from_milliseconds(ms).unwrap_or(Time::MAX);
        let context = Arc::new(draft.context.clone());
        let event = |event: &Draft| {
            Arc::new(Event {
                name: event.name.into(),
                time: time(clock_ms - event.late * unit.length_ms + event.off_ms),
                id: event.id.map(|id| format!("e{id}").into()),
                properties: event.properties.clone(),
                context: context.clone(),
            })
        };
        let message = Message {
            id: draft.id.map(|id| format!("m{id}").into()),
            time: (draft.events.is_empty() && draft.timed).then(|| time(clock_ms)),
            events: draft.events.iter().map(event).collect(),
            attributes: draft.attributes.clone().into_iter().collect(),
            origin: None,
            identities: Vec::new(),
        };
        let workspace = if draft.user < 3 { "shop" } else { "other" };
        timeline
            .push(Entry::Message(UserKey::new(workspace, &format!("u{}", draft.user)), message));
    }
    timeline
}

fn message(users: usize) -> impl Strategy<Value = MessageDraft> {
    let pause = prop_oneof![4 => Just(0), 6 => 1i64..4, 1 => 4..UNITS_MAX / 2];
    let attributes = weighted(
        0.2,
        proptest::collection::btree_map(
            select(&PROPERTIES[..]).prop_map(Arc::from),
            weighted(0.8, value()),
            1..3,
        ),
    );
    let events = prop_oneof![8 => vec(draft(), 1..3), 1 => vec(draft(), 3..9), 1 => Just(vec![])];
    let user = prop_oneof![1 => Just(0), 1 => 0..users];
    let context = weighted(0.4, fields(&CONTEXT_KEYS));
    (user, pause, weighted(0.1, 0usize..12), events, context, attributes, any::<bool>()).prop_map(
        |(user, pause, id, events, context, attributes, timed)| MessageDraft {
            user,
            pause,
            id,
            events,
            context: context.unwrap_or_default(),
            attributes: attributes.unwrap_or_default(),
            timed,
        },
    )
}

fn draft() -> impl Strategy<Value = Draft> {
    let late = prop_oneof![6 => Just(0), 2 => 1i64..5, 1 => 5..UNITS_MAX];
    let off_ms = prop_oneof![8 => Just(0), 1 => Just(-1), 1 => Just(1)];
    let name = prop_oneof![4 => Just("buy"), 2 => select(&NAMES[..])];
    (late, off_ms, name, weighted(0.2, 0usize..20), fields(&PROPERTIES)).prop_map(
        |(late, off_ms, name, id, properties)| Draft { late, off_ms, name, id, properties },
    )
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = Fields> {
    vec(weighted(0.75, value()), names.len()).prop_map(move |values| {
        let named = names.iter().zip(values);
        let mut fields: Fields =
            named.filter_map(|(name, value)| Some(((*name).into(), value?))).collect();
        fields.sort();
        fields
    })
}

/// Mostly small numbers, some negative, now and then of the wrong type.
fn value() -> impl Strategy<Value = Value> {
    let number = |text: &str| Value::Number(Decimal::parse(text).unwrap_or_default());
    prop_oneof![
        12 => (0i64..5).prop_map(|whole| Value::Number(whole.into())),
        2 => (-4i64..0).prop_map(|whole| Value::Number(whole.into())),
        3 => select(&["2.5", "0.1", "0.2", "0.000000001", "10", "333333333.333333333"][..])
            .prop_map(number),
        3 => select(&TEXTS[..]).prop_map(Value::text),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => select(&["[1,2]", "{\"a\":1}", "[]"][..])
            .prop_map(|json| Value::Composite(json.into())),
    ]
}
