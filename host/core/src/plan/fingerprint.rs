//! Which rules a plan is of.

use super::Plan;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A hash of which audiences there are, in which versions, how they are evaluated, and by which code
/// events are selected: a module may say that its audiences are as before.
pub(super) fn of(plan: &Plan) -> u64 {
    let mut content = plan.settings.engine.name().to_string();
    for audience in &plan.audiences {
        content.push_str(&format!("\n{} {}", audience.id, audience.version));
    }
    let predicates = plan.selectors.iter().filter_map(|selector| selector.selector.predicate());
    let codes: BTreeSet<&Arc<str>> = predicates.map(|predicate| &predicate.code).collect();
    for code in codes {
        content.push_str(&format!("\n{code}"));
    }
    xxhash_rust::xxh3::xxh3_64(content.as_bytes())
}
