//! Which module has which audience, and in what order modules are asked.

use super::PlanError;
use crate::feature::Condition;
use crate::module::{AudienceKey, Module};
use std::collections::{BTreeMap, BTreeSet};

/// Where each audience is, by its id: its module, and its index there.
pub(super) type Places<'a> = BTreeMap<&'a str, (usize, usize)>;

pub(super) fn list_audiences<'m>(
    modules: &'m [Module],
    without: &BTreeSet<AudienceKey>,
) -> Result<Places<'m>, PlanError> {
    let mut audiences = Places::new();
    for (at, module) in modules.iter().enumerate() {
        for (local, audience) in module.audiences.iter().enumerate() {
            if without.contains(&AudienceKey::of(&audience.id)) {
                continue;
            }
            if let Some((first, _)) = audiences.insert(&audience.id, (at, local)) {
                return Err(PlanError::DuplicateAudience {
                    id: audience.id.clone(),
                    first: modules[first].name.clone(),
                    second: module.name.clone(),
                });
            }
        }
    }
    Ok(audiences)
}

/// The modules in an order in which each refers only to those before it (Kahn 1962).
pub(super) fn order_modules(
    modules: &[Module],
    audiences: &Places<'_>,
) -> Result<Vec<usize>, PlanError> {
    let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); modules.len()];
    for (origin, local) in audiences.values() {
        let (at, module) = (*origin, &modules[*origin]);
        for condition in &module.audiences[*local].conditions {
            let Condition::Member(id) = &module.conditions[*condition as usize] else { continue };
            let Some((target, _)) = audiences.get(&**id) else {
                let (module, id) = (module.name.clone(), id.clone());
                return Err(PlanError::UnknownAudience { module, id });
            };
            needs[at].insert(*target);
        }
    }
    let mut order = Vec::with_capacity(modules.len());
    let mut placed = vec![false; modules.len()];
    while order.len() < modules.len() {
        let ready = |at: &usize| !placed[*at] && needs[*at].iter().all(|need| placed[*need]);
        let next: Vec<usize> = (0..modules.len()).filter(ready).collect();
        if next.is_empty() {
            let circle = (0..modules.len()).filter(|at| !placed[*at]);
            return Err(PlanError::Cycle {
                modules: circle.map(|at| modules[at].name.clone()).collect(),
            });
        }
        next.iter().for_each(|at| placed[*at] = true);
        order.extend(next);
    }
    Ok(order)
}
