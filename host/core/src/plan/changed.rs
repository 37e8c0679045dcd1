//! Which audiences two plans decide by different rules.

use super::{ConditionKind, Plan};
use crate::module::AudienceKey;
use std::collections::BTreeSet;

impl Plan {
    /// The audiences that only one of the plans has, that have another version there, or that refer
    /// to such.
    pub fn changed(&self, other: &Plan) -> BTreeSet<AudienceKey> {
        let version = |plan: &Plan, key| {
            plan.audience_by_key.get(&key).map(|at| plan.audiences[*at].version.clone())
        };
        let all = self.audiences.iter().chain(&other.audiences).map(|audience| audience.key);
        let mut changed: BTreeSet<AudienceKey> =
            all.filter(|key| version(self, *key) != version(other, *key)).collect();
        loop {
            let before = changed.len();
            for plan in [self, other] {
                let refers = plan.audiences.iter().filter(|audience| {
                    let conditions = audience.conditions.iter();
                    let mut kinds = conditions.map(|(_, at)| &plan.conditions[*at].kind);
                    kinds.any(|kind| match kind {
                        ConditionKind::Member(to) => changed.contains(&plan.audiences[*to].key),
                        ConditionKind::Compare { .. } => false,
                    })
                });
                let referring: Vec<AudienceKey> = refers.map(|audience| audience.key).collect();
                changed.extend(referring);
            }
            if changed.len() == before {
                return changed;
            }
        }
    }
}
