//! Users who go over to other rules though nothing happens to them: a bounded part of each turn.

use super::lock;
use super::rules::SweepPlace;
use super::turn::Turns;
use crate::group::StepError;
use crate::lifecycle::Sweep;
use crate::store::UserKey;
use muster_core::evaluated_by;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long users are evaluated anew in one turn, so that live messages wait no longer for that.
const SWEEP_TIME_MAX: Duration = Duration::from_millis(2);

impl Turns {
    /// Evaluates users anew whom other rules evaluated last, and begins and ends their shadows.
    pub(super) fn sweep(&mut self) -> Result<(), StepError> {
        let Some(workspace) = self.sweeping.pop_front() else { return Ok(()) };
        let place = self.rules.get_mut(&workspace).and_then(|rules| rules.sweep.take());
        let Some(mut place) = place else { return Ok(()) };
        let store = self.shared.store.clone();
        let users =
            store.users(&workspace, place.after.as_deref(), self.settings.reevaluations_max)?;
        let mut is_done = true;
        let started = Instant::now();
        for user in users {
            is_done = false;
            if started.elapsed() > SWEEP_TIME_MAX {
                break;
            }
            let key = UserKey { workspace: workspace.clone(), user: user.clone() };
            if self.is_behind(&key)? {
                self.step(&key, &[], self.stood)?;
            }
            place.users += 1;
            place.after = Some(user);
        }
        self.settle(workspace, (!is_done).then_some(place))
    }

    /// Whether a user has yet to go over to the rules, or to have a shadow, or to lose one.
    fn is_behind(&mut self, key: &UserKey) -> Result<bool, StepError> {
        let Some(rules) = self.rules.get(&key.workspace) else { return Ok(false) };
        let store = &*self.shared.store;
        let deployment = &rules.deployment;
        let Some(record) = store.user(key)? else { return Ok(false) };
        let plan = &deployment.arms[deployment.arm_of(&key.workspace, &key.user)].ruleset.plan;
        if evaluated_by(&record.state) != Ok(plan.fingerprint()) {
            return Ok(true);
        }
        let is_shadowed = deployment.shadow_of(&key.workspace, &key.user).is_some();
        Ok(rules.has_shadows && self.group.has_shadow(store, key)? != is_shadowed)
    }

    /// Notes how far a workspace has come.
    fn settle(&mut self, workspace: Arc<str>, place: Option<SweepPlace>) -> Result<(), StepError> {
        let Some(rules) = self.rules.get_mut(&workspace) else { return Ok(()) };
        let sweep = match &place {
            Some(place) => {
                let all = self.shared.store.workspaces()?;
                let of = all.iter().find(|(name, _)| *name == workspace).map_or(0, |(_, of)| *of);
                Some(Sweep { users: place.users, of: of.max(place.users) })
            }
            None => None,
        };
        if place.is_none() {
            rules.has_shadows = rules.deployment.state.shadow.is_some();
        } else {
            self.sweeping.push_back(workspace.clone());
        }
        rules.sweep = place;
        lock(&self.shared.observed).entry(workspace).or_default().sweep = sweep;
        Ok(())
    }
}
