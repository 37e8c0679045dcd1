//! Events and what a micro-batch holds.

use crate::origin::Origin;
use crate::time::Time;
use crate::value::Value;
use std::collections::HashSet;
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
/// What history takes for an event beside its fields, or somewhat more; and for a row, as what a database does
/// for it: a write of a few thousand is one that it takes.
const EVENT_BYTES: usize = 16;
const ROW_BYTES: usize = 1 << 10;

/// Names and values, sorted by name, each name once.
pub type Fields = Vec<(Arc<str>, Value)>;

/// One event of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: Arc<str>,
    /// When.
    pub time: Time,
    /// The sender's id of it, by which a repetition is recognised.
    pub id: Option<Arc<str>>,
    /// The properties, sorted by name; what was null is absent.
    pub properties: Fields,
    /// The context of the message it came in, sorted by key; shared by the message's events.
    pub context: Arc<Fields>,
}

/// An event as history keeps it: with its place among the user's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number among all accepted events of the user, from 1. Decides between equal times.
    pub number: u64,
    /// The event. History does not keep ids, so `id` is `None` when it was read from there.
    pub event: Arc<Event>,
}

/// A message: events of one user, and changes to her profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The sender's id of it, by which a repetition is recognised.
    pub id: Option<Arc<str>>,
    /// Where its source keeps it, if it delivers again from there after failures.
    pub origin: Option<Origin>,
    /// The time of a message without events.
    pub time: Option<Time>,
    /// Its events in the order in which they arrived.
    pub events: Vec<Arc<Event>>,
    /// Attributes that are set, or with `None` removed.
    pub attributes: Vec<(Arc<str>, Option<Value>)>,
    /// Identities that are set, or with `None` removed.
    pub identities: Vec<(Arc<str>, Option<Arc<str>>)>,
}

impl Event {
    /// A property's value.
    pub fn property(&self, name: &str) -> Option<&Value> {
        field(&self.properties, name)
    }

    /// A context key's value.
    pub fn context(&self, key: &str) -> Option<&Value> {
        field(&self.context, key)
    }
}

impl Message {
    /// The latest time that the message tells of: of its events, else its own.
    pub fn latest(&self) -> Option<Time> {
        self.events.iter().map(|event| event.time).max().or(self.time)
    }

    /// About how many bytes a user's history takes for the message, or somewhat more. Events of one name that
    /// happened within an hour are kept side by side, in a row that costs something itself, and share their
    /// context there.
    pub fn weight(&self) -> usize {
        let mut stretches: HashSet<(&str, i64)> = HashSet::new();
        let mut bytes: usize = self
            .attributes
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Value::weight))
            .sum();
        for event in &self.events {
            bytes += EVENT_BYTES + event.name.len() + weight(&event.properties);
            let stretch = (&*event.name, event.time.milliseconds().div_euclid(HOUR_MS));
            if stretches.insert(stretch) {
                bytes += ROW_BYTES + weight(&event.context);
            }
        }
        bytes
    }
}

fn weight(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.weight()).sum()
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    let at = fields.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
    Some(&fields[at].1)
}
