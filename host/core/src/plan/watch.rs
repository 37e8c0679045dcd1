//! Which audiences a changed condition concerns.
//!
//! An event on a frequent name changes conditions of hundreds of audiences, nearly all of which some
//! other condition keeps the user out of. To find that out costs a few reads of memory each, so
//! what is read lies close together here and not among the rest of the plan.

use super::{ConditionKind, ConditionPlan, FeaturePlan, Origin, SeriesPlan};
use crate::module::AudienceKey;
use crate::series::SeriesKey;

/// The tables, all by index in the plan.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    audiences_of: Lists,
    essentials: Lists,
    /// By condition: its series and what holds without it.
    series_of: Vec<Option<SeriesOf>>,
    audience_keys: Vec<AudienceKey>,
}

/// What a condition on events looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesOf {
    pub(crate) key: SeriesKey,
    /// Whether the condition holds of a user without the series.
    pub(crate) of_nothing: bool,
}

/// Many short lists of numbers, one behind the other.
#[derive(Debug, Default)]
struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn new(lists: impl IntoIterator<Item = Vec<u32>>) -> Lists {
        let mut all = Lists::default();
        for list in lists {
            all.items.extend(list);
            all.ends.push(all.items.len() as u32);
        }
        all
    }

    fn of(&self, at: usize) -> &[u32] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[at] as usize]
    }
}

impl Watch {
    pub(super) fn new(
        essentials: Vec<Vec<(usize, bool)>>,
        audiences_of: Vec<Vec<u32>>,
        audience_keys: Vec<AudienceKey>,
        (series, features, conditions): (&[SeriesPlan], &[FeaturePlan], &[ConditionPlan]),
    ) -> Watch {
        let series_of = |condition: &ConditionPlan| {
            let ConditionKind::Compare { feature, of_nothing, .. } = condition.kind else {
                return None;
            };
            let Origin::Series { series: at, .. } = features[feature].origin else { return None };
            Some(SeriesOf { key: series[at].key, of_nothing })
        };
        let signed =
            |(condition, truth): (usize, bool)| ((condition as u32) << 1) | u32::from(truth);
        let essentials = essentials.into_iter().map(|list| list.into_iter().map(signed).collect());
        Watch {
            audiences_of: Lists::new(audiences_of),
            essentials: Lists::new(essentials),
            series_of: conditions.iter().map(series_of).collect(),
            audience_keys,
        }
    }

    /// The audiences that look at a condition.
    pub(crate) fn audiences_of(&self, condition: usize) -> impl Iterator<Item = usize> + '_ {
        self.audiences_of.of(condition).iter().map(|audience| *audience as usize)
    }

    /// Conditions that are of one truth for every member of an audience, and which.
    pub(crate) fn essentials(&self, audience: usize) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.essentials.of(audience).iter().map(|signed| ((signed >> 1) as usize, signed & 1 == 1))
    }

    /// What a condition looks at, if it is one on events.
    pub(crate) fn series_of(&self, condition: usize) -> Option<SeriesOf> {
        self.series_of[condition]
    }

    pub(crate) fn audience_key(&self, audience: usize) -> AudienceKey {
        self.audience_keys[audience]
    }
}
