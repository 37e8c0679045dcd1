//! Users who go over to other rules though nothing happens to them: a bounded part of each turn.

use super::lane::Task;
use super::lock;
use super::turn::Turns;
use crate::group::StepError;
use crate::lifecycle::Sweep;
use crate::store::UserKey;
use muster_core::evaluated_by;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long users are evaluated anew in one turn, so that live messages wait no longer for that.
const SWEEP_TIME_MAX: Duration = Duration::from_millis(2);

/// Where looking for users who have yet to go over goes on.
#[derive(Debug, Default)]
pub(super) struct SweepPlace {
    after: Option<Arc<str>>,
    users: u64,
}

impl Turns {
    /// Evaluates users anew whom other rules evaluated last, and begins and ends their shadows.
    pub(super) fn sweep(&mut self) -> Result<(), StepError> {
        let Some((workspace, mut place)) = self.sweeping.pop_front() else { return Ok(()) };
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
                let task = Task { key, messages: Vec::new(), now: self.stood };
                self.lanes.of(&task.key).take(&task)?;
            }
            place.users += 1;
            place.after = Some(user);
        }
        self.settle(workspace, (!is_done).then_some(place))
    }

    /// Whether a user has yet to go over to the rules, or to have a shadow, or to lose one.
    fn is_behind(&mut self, key: &UserKey) -> Result<bool, StepError> {
        let Some(deployment) = self.rules.get(&key.workspace) else { return Ok(false) };
        let store = &*self.shared.store;
        let Some(record) = store.user(key)? else { return Ok(false) };
        let plan = &deployment.arms[deployment.arm_of(&key.workspace, &key.user)].ruleset.plan;
        if evaluated_by(&record.state) != Ok(plan.fingerprint()) {
            return Ok(true);
        }
        let is_shadowed = deployment.shadow_of(&key.workspace, &key.user).is_some();
        let lane = self.lanes.of(key);
        let may_have = lane.rules.get(&key.workspace).is_some_and(|rules| rules.has_shadows);
        Ok(may_have && lane.group.has_shadow(store, key)? != is_shadowed)
    }

    /// Notes how far a workspace has come.
    fn settle(&mut self, workspace: Arc<str>, place: Option<SweepPlace>) -> Result<(), StepError> {
        let sweep = match &place {
            Some(place) => {
                let all = self.shared.store.workspaces()?;
                let of = all.iter().find(|(name, _)| *name == workspace).map_or(0, |(_, of)| *of);
                Some(Sweep { users: place.users, of: of.max(place.users) })
            }
            None => None,
        };
        match place {
            Some(place) => self.sweeping.push_back((workspace.clone(), place)),
            None => {
                for rules in self.lanes.iter_mut().filter_map(|lane| lane.rules.get_mut(&workspace))
                {
                    rules.has_shadows = rules.deployment.state.shadow.is_some();
                }
            }
        }
        lock(&self.shared.observed).entry(workspace).or_default().sweep = sweep;
        Ok(())
    }
}
