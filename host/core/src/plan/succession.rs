//! What users take along when one plan follows another.
//!
//! A series is stored under a hash of its content, so what two plans have in common is found again.
//! It stays as it is where the earlier plan kept all that the later one's windows see; else it is
//! gathered from history anew.

use super::{ConditionKind, FeaturePlan, Origin, Plan};
use crate::plan::Engine;
use std::collections::BTreeSet;

/// How users come from one plan to another without being evaluated from the beginning.
#[derive(Debug)]
pub struct Succession {
    from: u64,
    to: u64,
    /// By series of the later plan.
    carries: Vec<Carry>,
    /// The series that are gathered from history.
    filled: Vec<usize>,
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
        let is_filled = |at: &usize| carries[*at] == Carry::Filled;
        let filled: Vec<usize> = (0..carries.len()).filter(is_filled).collect();
        let mut audiences: BTreeSet<usize> =
            filled.iter().flat_map(|series| later.audiences_of(*series)).collect();
        audiences.extend((0..later.audiences.len()).filter(|at| is_other(earlier, later, *at)));
        let audiences = audiences.into_iter().collect();
        let (from, to) = (earlier.fingerprint, later.fingerprint);
        Some(Succession { from, to, carries, filled, audiences })
    }

    /// Whether it leads from the one plan to the other.
    pub(crate) fn leads(&self, from: u64, to: u64) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// The series that are gathered from history.
    pub(crate) fn filled(&self) -> &[usize] {
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
        (self.carries.len() - self.filled.len(), self.filled.len())
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

/// Whether an audience is new, of another version or decided by other code, or was paused.
fn is_other(earlier: &Plan, later: &Plan, audience: usize) -> bool {
    let plan = &later.audiences[audience];
    let before = earlier.audience_by_key.get(&plan.key).map(|at| &earlier.audiences[*at]);
    before.is_none_or(|before| (&before.version, &before.code) != (&plan.version, &plan.code))
        || earlier.paused.contains(&plan.key) && !later.paused.contains(&plan.key)
}
