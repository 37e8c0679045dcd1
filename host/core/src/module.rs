//! What a rule module says of itself, as plain data.

use crate::feature::{Condition, Feature, Predicate, Selector};
use std::sync::Arc;

/// A rule module: one or more audiences decided by one Wasm component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, for messages and metrics.
    pub name: Arc<str>,
    /// By which code it decides: a version is what its author says, and code of another kind may say
    /// the same. Empty where the version says it all, since the host compiled the definitions itself.
    pub code: Arc<str>,
    /// The names of its predicates, by the index that `select` uses.
    pub predicates: Vec<Arc<str>>,
    /// The conditions whose truth it is handed, by the index that `evaluate` uses.
    pub conditions: Vec<Condition>,
    /// The features whose value it is handed as it is, by the index that `evaluate` uses.
    pub values: Vec<Feature>,
    /// The audiences that it decides, by the index that `evaluate` uses.
    pub audiences: Vec<Audience>,
}

/// One audience of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Its id, once per workspace.
    pub id: Arc<str>,
    /// Its name for people; the id when none was given.
    pub name: Arc<str>,
    /// The hash of its definition and of all that it refers to, in hexadecimal.
    pub version: Arc<str>,
    /// Which of the module's conditions decide it, ascending.
    pub conditions: Vec<u32>,
    /// Which of the module's values it reads, ascending.
    pub values: Vec<u32>,
    /// Which of its conditions hold for every member, ascending: without one of them nobody is in.
    pub requires: Vec<u32>,
    /// Which of its conditions hold for no member, ascending: with one of them nobody is in.
    pub excludes: Vec<u32>,
}

impl Module {
    /// The same module, decided and its events selected by code of that name.
    pub fn of_code(mut self, code: &Arc<str>) -> Module {
        self.code = code.clone();
        let compared = self.conditions.iter_mut().filter_map(|condition| match condition {
            Condition::Compare { feature, .. } => Some(feature),
            Condition::Member(_) => None,
        });
        for feature in compared.chain(&mut self.values) {
            if let Feature::Events { selector, .. } = feature
                && let Some(predicate) = selector.predicate()
            {
                let predicate = Predicate { code: code.clone(), ..predicate.clone() };
                *selector = Arc::new(Selector::clone(selector).matching(predicate));
            }
        }
        self
    }
}

/// What an audience is called where space matters: a hash of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceKey(u64);

impl AudienceKey {
    /// The key of the audience with that id.
    pub fn of(id: &str) -> AudienceKey {
        AudienceKey(xxhash_rust::xxh3::xxh3_64(id.as_bytes()))
    }

    /// The key whose bits these are.
    pub const fn from_bits(bits: u64) -> AudienceKey {
        AudienceKey(bits)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}
