//! Selectors, features and conditions: what rules ask of a user.

use crate::comparison::Comparison;
use crate::event::Event;
use crate::value::{Value, write_json_text};
use crate::window::Window;
use std::fmt;
use std::sync::Arc;

/// Which events count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The events' name; none for any event.
    pub event: Option<Arc<str>>,
    /// Conditions on the context, sorted by key.
    context: Vec<(Arc<str>, Comparison)>,
    /// Conditions on properties, sorted by name.
    with: Vec<(Arc<str>, Comparison)>,
    /// What a rule module says of the events that pass them.
    predicate: Option<Predicate>,
}

/// A rule module's own predicate over an event, for what comparisons can't say. It is a pure
/// function of the event: the same is asked again when history is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Predicate {
    /// Its name in the module's manifest.
    pub name: Arc<str>,
    /// Its index there, by which the module is asked.
    pub index: u32,
    /// What tells the module's code apart from any other, so that what one predicate selected is
    /// never taken for what another one would. Empty until [`Module::of_code`](crate::Module::of_code)
    /// says it.
    pub code: Arc<str>,
}

/// How the selected events of a window become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// How many events there are.
    Count,
    /// The sum of a property.
    Sum,
    /// The least number a property had.
    Min,
    /// The greatest number a property had.
    Max,
    /// The mean of a property.
    Avg,
    /// How many different values a property had.
    Distinct,
    /// The value of a property in the earliest event that has it.
    First,
    /// The value of a property in the latest event that has it.
    Last,
}

/// A value read from a user's events over a window, or from the profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// An aggregate over events.
    Events {
        /// Which events.
        selector: Arc<Selector>,
        /// How they become one value.
        aggregate: Aggregate,
        /// Which property is aggregated; `None` for `Count`, and only for it.
        of: Option<Arc<str>>,
        /// Over which span of time.
        window: Window,
    },
    /// An attribute of the profile.
    Attribute(Arc<str>),
}

/// What is true or false of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A comparison of a feature.
    Compare {
        /// What is compared.
        feature: Feature,
        /// With what.
        comparison: Comparison,
    },
    /// Membership in another audience, by its id.
    Member(Arc<str>),
}

impl Selector {
    /// The selector of events of that name (none for any) that pass all comparisons.
    pub fn new(
        event: Option<Arc<str>>,
        mut context: Vec<(Arc<str>, Comparison)>,
        mut with: Vec<(Arc<str>, Comparison)>,
    ) -> Selector {
        context.sort();
        context.dedup();
        with.sort();
        with.dedup();
        Selector { event, context, with, predicate: None }
    }

    /// The selector of those of its events that a predicate accepts.
    pub fn matching(self, predicate: Predicate) -> Selector {
        Selector { predicate: Some(predicate), ..self }
    }

    /// The predicate that decides of the events that pass all comparisons.
    pub fn predicate(&self) -> Option<&Predicate> {
        self.predicate.as_ref()
    }

    /// Conditions on the context, sorted by key.
    pub fn context(&self) -> &[(Arc<str>, Comparison)] {
        &self.context
    }

    /// Conditions on properties, sorted by name.
    pub fn with(&self) -> &[(Arc<str>, Comparison)] {
        &self.with
    }

    /// Whether the event counts, as far as name and comparisons tell.
    pub fn selects(&self, event: &Event) -> bool {
        self.event.as_ref().is_none_or(|name| *name == event.name) && self.accepts(event)
    }

    /// Whether an event that has the right name counts, as far as comparisons tell.
    pub fn accepts(&self, event: &Event) -> bool {
        self.context.iter().all(|(key, comparison)| comparison.holds(event.context(key)))
            && self.with.iter().all(|(name, comparison)| comparison.holds(event.property(name)))
    }
}

impl fmt::Display for Selector {
    /// The selector as JSON, the same for equal selectors: what content keys are made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"event\":")?;
        write_json_text(f, self.event.as_deref().unwrap_or("*"))?;
        for (label, conditions) in [("context", &self.context), ("with", &self.with)] {
            write!(f, ",\"{label}\":{{")?;
            for (index, (key, comparison)) in conditions.iter().enumerate() {
                if index > 0 {
                    f.write_str(",")?;
                }
                write_json_text(f, key)?;
                write!(f, ":{comparison}")?;
            }
            f.write_str("}")?;
        }
        if let Some(Predicate { name, code, .. }) = &self.predicate {
            f.write_str(",\"predicate\":")?;
            write_json_text(f, name)?;
            f.write_str(",\"code\":")?;
            write_json_text(f, code)?;
        }
        f.write_str("}")
    }
}

impl Aggregate {
    /// Every aggregate, in the order in which they are documented.
    pub const ALL: [Aggregate; 8] = [
        Aggregate::Count,
        Aggregate::Sum,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Avg,
        Aggregate::Distinct,
        Aggregate::First,
        Aggregate::Last,
    ];

    /// Its name in definitions and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Avg => "avg",
            Aggregate::Distinct => "distinct",
            Aggregate::First => "first",
            Aggregate::Last => "last",
        }
    }

    /// Whether its value is always a number, if it has one.
    pub fn is_numeric(self) -> bool {
        !matches!(self, Aggregate::First | Aggregate::Last)
    }

    /// The value of the aggregate over nothing.
    pub fn of_nothing(self) -> Option<Value> {
        match self {
            Aggregate::Count | Aggregate::Distinct => Some(Value::Number(0.into())),
            _ => None,
        }
    }
}
