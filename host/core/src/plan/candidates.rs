//! Selectors of one event name, indexed by what they ask of an event.
//!
//! Of the many selectors on a frequent name most ask for one value of some property: one category,
//! one campaign. Those are found by the event's value, and the others are never looked at.

use crate::comparison::{Comparison, Test};
use crate::event::Event;
use crate::feature::Selector;
use crate::value::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The selectors of one event name.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Those that ask for no particular value.
    plain: Vec<usize>,
    /// Those that ask for one of some values, by where and by value.
    by_value: BTreeMap<Asked, HashMap<Value, Vec<usize>>>,
}

/// What is asked for a value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Property(Arc<str>),
    Context(Arc<str>),
}

impl Candidates {
    /// Adds a selector by its number.
    pub(super) fn add(&mut self, selector: &Selector, number: usize) {
        let with = selector
            .with()
            .iter()
            .map(|(name, comparison)| (Asked::Property(name.clone()), comparison));
        let context = selector
            .context()
            .iter()
            .map(|(key, comparison)| (Asked::Context(key.clone()), comparison));
        // A property takes more values than a context as a rule, so it goes first.
        let asked =
            with.chain(context).find_map(|(asked, comparison)| Some((asked, values(comparison)?)));
        let Some((asked, values)) = asked else { return self.plain.push(number) };
        let by_value = self.by_value.entry(asked).or_default();
        for value in values {
            by_value.entry(value.clone()).or_default().push(number);
        }
    }

    /// Every selector, some more than once.
    pub(super) fn all(&self) -> impl Iterator<Item = &usize> {
        let by_value = self.by_value.values().flat_map(HashMap::values);
        self.plain.iter().chain(by_value.flatten())
    }

    /// The selectors that may count the event, each once.
    pub(super) fn of(&self, event: &Event) -> impl Iterator<Item = &usize> {
        let by_value = self.by_value.iter().filter_map(|(asked, by_value)| {
            let value = match asked {
                Asked::Property(name) => event.property(name),
                Asked::Context(key) => event.context(key),
            };
            by_value.get(value?)
        });
        self.plain.iter().chain(by_value.flatten())
    }
}

/// The values outside of which the comparison never holds, if it names them; each once.
fn values(comparison: &Comparison) -> Option<&[Value]> {
    comparison.tests().iter().find_map(|test| match test {
        Test::Equal(value) => Some(std::slice::from_ref(value)),
        Test::In(values) => Some(values.as_slice()),
        _ => None,
    })
}
