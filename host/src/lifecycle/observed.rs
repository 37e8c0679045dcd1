//! What the worker saw of a workspace's rules since they were last changed.

use super::difference::Class;
use super::sample::Sample;
use super::share::Share;
use super::state::Subject;
use super::verify::{Verification, verify};
use muster_core::{AudienceKey, Change};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What was seen since the rules were last changed. It begins anew when the service does.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The revision of the rules.
    pub revision: u64,
    /// To whom it happened that she entered or left an audience by what she or time did, on which
    /// side of each trial.
    pub samples: HashMap<(Subject, AudienceKey, Change), Sample>,
    /// The same of all audiences whose rules are the same on both sides.
    pub all: BTreeMap<Subject, Sample>,
    /// Modules whose calls failed, by whether they are of the candidate, and name.
    pub failures: BTreeMap<(bool, Arc<str>), Failures>,
    /// Differences between what counts and its shadow.
    pub differences: BTreeMap<Class, u64>,
    /// Evaluations by a shadow.
    pub shadowed: u64,
    /// How far all users have gone over to the rules; nothing when they have.
    pub sweep: Option<Sweep>,
}

/// Calls of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// All calls, those that were not made while it rests among them.
    pub calls: u64,
    /// How many failed.
    pub failed: u64,
    /// Why the last one did.
    pub reason: Arc<str>,
}

/// How far a change of rules has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// Users looked at.
    pub users: u64,
    /// Users that there are, where that is known without counting them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

impl Observed {
    /// Whether what is rolled out to a share of users reaches that share. `name` gives the ids of
    /// audiences, and whether their rules are the same on both sides.
    pub fn verify(
        &self,
        of: Subject,
        share: Share,
        name: impl Fn(AudienceKey) -> Option<(Arc<str>, bool)>,
    ) -> Verification {
        let samples = self.samples.iter().filter(|((subject, ..), _)| *subject == of);
        let samples = samples.filter_map(|((_, audience, change), sample)| {
            let (id, is_same) = name(*audience)?;
            Some((id, *change, is_same, sample))
        });
        verify(of, share, self.all.get(&of), samples)
    }
}
