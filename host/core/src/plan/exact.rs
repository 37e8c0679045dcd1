//! From when on answers are exact, when history does not reach as far as a window.

use super::{ConditionKind, Origin, Plan};
use crate::module::AudienceKey;
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// From when on answers are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExactFrom {
    /// Nothing that they look at was ever deleted.
    Always,
    /// When the windows have passed what was deleted.
    Instant(Time),
    /// A window reaches for good to what was deleted.
    Never,
}

impl Plan {
    /// From when on an audience's answers are exact, when events up to some instant may be gone
    /// from histories, by event name.
    pub fn exact_from(
        &self,
        audience: AudienceKey,
        forgotten: &BTreeMap<Arc<str>, Time>,
    ) -> ExactFrom {
        let Some(at) = self.audience_by_key.get(&audience) else { return ExactFrom::Always };
        let audience = &self.audiences[*at];
        let conditions = audience.conditions.iter().map(|(_, condition)| {
            match &self.conditions[*condition].kind {
                ConditionKind::Compare { feature, .. } => {
                    self.feature_exact_from(*feature, forgotten)
                }
                ConditionKind::Member(other) => {
                    self.exact_from(self.audiences[*other].key, forgotten)
                }
            }
        });
        let values = audience.values.iter();
        let values = values.map(|(_, feature)| self.feature_exact_from(*feature, forgotten));
        conditions.chain(values).max().unwrap_or(ExactFrom::Always)
    }

    fn feature_exact_from(
        &self,
        feature: usize,
        forgotten: &BTreeMap<Arc<str>, Time>,
    ) -> ExactFrom {
        let Origin::Series { series, window, .. } = &self.features[feature].origin else {
            return ExactFrom::Always;
        };
        let gone = match &self.series[*series].selector.event {
            Some(name) => forgotten.get(name),
            None => forgotten.values().max(),
        };
        match (gone, window.within) {
            (None, _) => ExactFrom::Always,
            (Some(gone), _) if window.from.is_some_and(|from| from > *gone) => ExactFrom::Always,
            (Some(gone), Some(within)) => ExactFrom::Instant(*gone + within),
            (Some(_), None) => ExactFrom::Never,
        }
    }
}
