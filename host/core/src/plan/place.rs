//! Where answers lie among the thresholds of a feature, and which conditions that makes differ.

use super::{ConditionKind, ConditionPlan, FeaturePlan};
use crate::answer::Answer;
use crate::decimal::{Decimal, ONE};

/// Where an answer lies among a feature's thresholds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Nothing,
    /// Twice the number of thresholds below, one more when it is on the next.
    Number(usize),
    Value(Answer),
    Undecided,
}

impl FeaturePlan {
    /// Whether every condition of the feature is true or false alike at both answers is told by
    /// comparing their places. A raw value has no two like places but equal ones.
    pub(crate) fn place(&self, answer: &Answer) -> Place {
        match answer {
            _ if !self.readers.is_empty() && answer.is_exact() => Place::Value(answer.clone()),
            Answer::Nothing => Place::Nothing,
            Answer::Number { low, high, nothing: false } => {
                let at = |quantity: &crate::answer::Quantity| {
                    let below =
                        |(threshold, _): &(Decimal, _)| quantity.compare(*threshold).is_gt();
                    let below = self.thresholds.partition_point(below);
                    let on = self.thresholds.get(below);
                    2 * below + usize::from(on.is_some_and(|(t, _)| quantity.compare(*t).is_eq()))
                };
                let place = at(low);
                let decided = self.readers.is_empty() && (low == high || place == at(high));
                if decided { Place::Number(place) } else { Place::Undecided }
            }
            Answer::Value(_) => Place::Value(answer.clone()),
            Answer::Number { .. } | Answer::Unknown => Place::Undecided,
        }
    }

    /// The least whole number from 0 that lies at that place among the thresholds.
    pub(crate) fn least_whole(&self, place: usize) -> u64 {
        let Some(below) = place.checked_sub(1) else { return 0 };
        let threshold = self.thresholds[below / 2].0.billionths().max(0);
        let whole = threshold / ONE + i128::from(place.is_multiple_of(2));
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    /// The conditions whose truth may differ between the place of an earlier answer and an answer.
    pub(crate) fn changed(
        &self,
        before: &Place,
        now: &Answer,
        conditions: &[ConditionPlan],
        out: &mut Vec<usize>,
    ) {
        let place = self.place(now);
        match (before, &place) {
            (Place::Undecided, _) | (_, Place::Undecided) => out.extend(&self.conditions),
            _ if *before == place => {}
            (Place::Number(one), Place::Number(other)) => {
                let (low, high) = (one.min(other), one.max(other));
                let crossed = &self.thresholds[low / 2..high.div_ceil(2)];
                out.extend(crossed.iter().flat_map(|(_, conditions)| conditions));
            }
            (Place::Value(was), _) => self.differing(was, now, conditions, out),
            (Place::Nothing, _) => self.differing(&Answer::Nothing, now, conditions, out),
            (Place::Number(_), _) => out.extend(&self.conditions),
        }
    }

    fn differing(
        &self,
        was: &Answer,
        now: &Answer,
        conditions: &[ConditionPlan],
        out: &mut Vec<usize>,
    ) {
        out.extend(self.conditions.iter().filter(
            |condition| match &conditions[**condition].kind {
                ConditionKind::Compare { comparison, .. } => {
                    was.truth(comparison) != now.truth(comparison)
                }
                ConditionKind::Member(_) => false,
            },
        ));
    }
}
