//! What users take along when one plan follows another.
//!
//! A series is stored under a hash of its content, so what two plans have in common is found again.
//! It stays as it is where the earlier plan kept all that the later one's windows see; else it is
//! gathered from history anew.

use super::{ConditionKind, FeaturePlan, Origin, Plan};
use crate::plan::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How users come from one plan to another without being evaluated from the beginning.
#[derive(Debug)]
pub struct Succession {
    from: u64,
    to: u64,
    /// By series of the later plan.
    carries: Vec<Carry>,
    /// The series to be filled, by the name of the events that they select.
    filled: BTreeMap<Option<Arc<str>>, Vec<usize>>,
    /// The audiences of the later plan that must be decided.
    audiences: Vec<usize>,
}

/// What becomes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carry {
    /// It stays, and so does its timer.
    Kept,
    /// It stays, and more is asked of it, for which its timer must be set.
    Retimed,
    /// It is gathered from history.
    Filled,
}

impl Succession {
    /// What can be carried from one plan to another; nothing where one of them keeps no series.
    pub fn new(earlier: &Plan, later: &Plan) -> Option<Succession> {
        if [earlier, later].iter().any(|plan| plan.settings.engine != Engine::State) {
            return None;
        }
        let carries: Vec<Carry> =
            (0..later.series.len()).map(|series| carry(earlier, later, series)).collect();
        let mut filled: BTreeMap<Option<Arc<str>>, Vec<usize>> = BTreeMap::new();
        for (at, _) in carries.iter().enumerate().filter(|(_, carry)| **carry == Carry::Filled) {
            filled.entry(later.series[at].selector.event.clone()).or_default().push(at);
        }
        let mut audiences: BTreeSet<usize> = BTreeSet::new();
        for series in filled.values().flatten() {
            for feature in &later.series[*series].features {
                let feature = &later.features[*feature];
                audiences.extend(&feature.readers);
                for condition in &feature.conditions {
                    audiences.extend(later.watch.audiences_of(*condition));
                }
            }
        }
        audiences.extend((0..later.audiences.len()).filter(|at| is_other(earlier, later, *at)));
        let audiences = audiences.into_iter().collect();
        let (from, to) = (earlier.fingerprint, later.fingerprint);
        Some(Succession { from, to, carries, filled, audiences })
    }

    /// Whether it leads from the one plan to the other.
    pub(crate) fn leads(&self, from: u64, to: u64) -> bool {
        (self.from, self.to) == (from, to)
    }

    pub(crate) fn carry(&self, series: usize) -> Carry {
        self.carries[series]
    }

    pub(crate) fn filled(&self) -> &BTreeMap<Option<Arc<str>>, Vec<usize>> {
        &self.filled
    }

    pub(crate) fn retimed(&self) -> impl Iterator<Item = usize> + '_ {
        let carries = self.carries.iter().enumerate();
        carries.filter(|(_, carry)| **carry == Carry::Retimed).map(|(at, _)| at)
    }

    pub(crate) fn audiences(&self) -> &[usize] {
        &self.audiences
    }

    /// How many series stay, and how many are gathered from history.
    pub fn series(&self) -> (usize, usize) {
        let filled = self.carries.iter().filter(|carry| **carry == Carry::Filled).count();
        (self.carries.len() - filled, filled)
    }
}

fn carry(earlier: &Plan, later: &Plan, series: usize) -> Carry {
    let plan = &later.series[series];
    let Some(before) = earlier.by_key.get(&plan.key).map(|at| &earlier.series[*at]) else {
        return Carry::Filled;
    };
    if !before.edges.cover(&plan.edges) {
        return Carry::Filled;
    }
    let known = |feature: &usize| {
        let feature = &later.features[*feature];
        let mut same = before.features.iter().map(|at| &earlier.features[*at]);
        same.any(|before| watches(earlier, before, later, feature))
    };
    if plan.features.iter().all(known) { Carry::Kept } else { Carry::Retimed }
}

/// Whether a feature's timers already tell of all that another's would.
fn watches(earlier: &Plan, before: &FeaturePlan, later: &Plan, feature: &FeaturePlan) -> bool {
    let (
        Origin::Series { aggregate: one, window: first, .. },
        Origin::Series { aggregate: other, window: second, .. },
    ) = (&before.origin, &feature.origin)
    else {
        return false;
    };
    let comparison = |plan: &Plan, condition: usize| match &plan.conditions[condition].kind {
        ConditionKind::Compare { comparison, .. } => Some(comparison.clone()),
        ConditionKind::Member(_) => None,
    };
    let known = |condition: &usize| {
        let wanted = comparison(later, *condition);
        before.conditions.iter().any(|before| comparison(earlier, *before) == wanted)
    };
    (one, first) == (other, second)
        && (feature.readers.is_empty() || !before.readers.is_empty())
        && feature.conditions.iter().all(known)
}

/// Whether an audience is new, or of another version.
fn is_other(earlier: &Plan, later: &Plan, audience: usize) -> bool {
    let plan = &later.audiences[audience];
    let before = earlier.audience_by_key.get(&plan.key).map(|at| &earlier.audiences[*at]);
    before.is_none_or(|before| before.version != plan.version)
}
