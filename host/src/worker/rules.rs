//! A workspace's rules on the worker's thread: a deployment, and instances of its modules.

use crate::group::{Beside, Evaluator};
use crate::guest::GuestInstances;
use crate::lifecycle::{Deployment, Failures};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct WorkspaceRules {
    pub(super) deployment: Arc<Deployment>,
    /// By arm.
    instances: Vec<GuestInstances>,
    /// Whether users may have shadows, that they are evaluated by or that have to end.
    pub(super) has_shadows: bool,
    /// Whether modules failed.
    pub(super) has_failed: bool,
}

impl WorkspaceRules {
    pub(super) fn new(deployment: Arc<Deployment>) -> WorkspaceRules {
        WorkspaceRules {
            instances: deployment.arms.iter().map(|arm| arm.ruleset.instances()).collect(),
            deployment,
            has_shadows: true,
            has_failed: false,
        }
    }

    /// What decides by an arm.
    pub(super) fn evaluator(&mut self, arm: usize) -> Evaluator<'_> {
        evaluator(&self.deployment, arm, &mut self.instances[arm])
    }

    /// What decides by an arm, and what is evaluated beside it.
    pub(super) fn both(
        &mut self,
        arm: usize,
        shadow: Option<usize>,
    ) -> (Evaluator<'_>, Option<Beside<'_>>) {
        let deployment = &*self.deployment;
        // An arm is not evaluated beside itself.
        let trial = deployment.state.shadow.as_ref().zip(shadow.filter(|shadow| *shadow != arm));
        let Some((trial, shadow)) = trial else {
            return (evaluator(deployment, arm, &mut self.instances[arm]), None);
        };
        let (before, after) = self.instances.split_at_mut(arm.max(shadow));
        let (low, high) = (&mut before[arm.min(shadow)], &mut after[0]);
        let (counts, beside) = if arm < shadow { (low, high) } else { (high, low) };
        let rules = evaluator(deployment, shadow, beside);
        let beside = Beside { rules, since: trial.since };
        (evaluator(deployment, arm, counts), Some(beside))
    }

    /// Adds the calls of the modules, by whether they are the candidate's, and name.
    pub(super) fn add_calls(&self, failures: &mut BTreeMap<(bool, Arc<str>), Failures>) {
        for (arm, instances) in self.deployment.arms.iter().zip(&self.instances) {
            for (module, tally) in instances.tallies() {
                let name = module.module().name.clone();
                let of_module = failures.entry((arm.is_candidate, name)).or_default();
                of_module.calls += tally.calls;
                of_module.failed += tally.failed;
                if tally.failed > 0 {
                    of_module.reason = tally.reason.as_str().into();
                }
            }
        }
    }
}

fn evaluator<'a>(
    deployment: &'a Deployment,
    arm: usize,
    instances: &'a mut GuestInstances,
) -> Evaluator<'a> {
    let arm = &deployment.arms[arm];
    Evaluator { plan: &arm.ruleset.plan, successions: &arm.successions, decide: instances }
}
