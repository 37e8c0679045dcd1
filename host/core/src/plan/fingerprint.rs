//! Which rules a plan is of.

use super::Plan;
use crate::module::{AudienceKey, Module};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A hash of which audiences there are, in which versions, by which code they are decided and events
/// are selected (a module may say that its audiences are as before), which of them are paused, how they
/// are evaluated, and whose series are kept beside.
pub(super) fn of(plan: &Plan, kept: &[Module]) -> u64 {
    let mut content = plan.settings.engine.name().to_string();
    for audience in &plan.audiences {
        content.push_str(&format!("\n{} {} {}", audience.id, audience.version, audience.code));
        if plan.paused.contains(&audience.key) {
            content.push_str(" paused");
        }
    }
    for audience in kept.iter().flat_map(|module| &module.audiences) {
        let here = plan.audience_by_key.get(&AudienceKey::of(&audience.id));
        if here.is_none_or(|at| plan.audiences[*at].version != audience.version) {
            content.push_str(&format!("\nkept {} {}", audience.id, audience.version));
        }
    }
    let predicates = plan.selectors.iter().filter_map(|selector| selector.selector.predicate());
    let codes: BTreeSet<&Arc<str>> = predicates.map(|predicate| &predicate.code).collect();
    for code in codes {
        content.push_str(&format!("\n{code}"));
    }
    xxhash_rust::xxh3::xxh3_64(content.as_bytes())
}
