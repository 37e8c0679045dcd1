//! Who a user is of whom nothing is known.

use super::build::of_nothing;
use super::{Plan, PlanError};
use crate::decide::{Decide, Question};
use crate::feature::Condition;
use crate::module::{AudienceKey, Module};
use crate::value::Value;
use std::collections::BTreeSet;

impl Plan {
    /// Finds the audiences of a user of whom nothing is known.
    pub(super) fn settle(
        &mut self,
        modules: &[Module],
        decide: &mut dyn Decide,
    ) -> Result<(), PlanError> {
        let mut by_module: Vec<Vec<usize>> = vec![Vec::new(); self.modules.len()];
        for (at, audience) in self.audiences.iter().enumerate() {
            // Nobody enters a paused audience, whoever she is.
            if !self.paused.contains(&audience.key) {
                by_module[audience.module].push(at);
            }
        }
        let mut members: BTreeSet<usize> = BTreeSet::new();
        for (plan, mut asked) in self.modules.iter().zip(by_module) {
            if asked.is_empty() {
                continue;
            }
            asked.sort_by_key(|audience| self.audiences[*audience].local);
            let locals: Vec<u32> = asked.iter().map(|a| self.audiences[*a].local).collect();
            let module = &modules[plan.origin];
            let holds = |condition: &Condition| match condition {
                Condition::Compare { feature, comparison } => {
                    comparison.holds(of_nothing(feature).as_ref())
                }
                Condition::Member(id) => {
                    let audience = self.audience_by_key.get(&AudienceKey::of(id));
                    audience.is_some_and(|audience| members.contains(audience))
                }
            };
            let numbered = (0u32..).zip(&module.conditions);
            let conditions: Vec<u32> =
                numbered.filter(|(_, condition)| holds(condition)).map(|(at, _)| at).collect();
            let values: Vec<Option<Value>> = module.values.iter().map(of_nothing).collect();
            let question = Question {
                module: plan.origin,
                audiences: &locals,
                conditions: &conditions,
                values: &values,
            };
            let decisions = decide.decide(question).map_err(|error| PlanError::Undecided {
                module: plan.name.clone(),
                reason: error.reason,
            })?;
            members.extend(asked.iter().zip(decisions).filter(|(_, is_in)| *is_in).map(|(a, _)| a));
        }
        self.baseline = members.into_iter().collect();
        Ok(())
    }
}
