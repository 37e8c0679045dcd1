//! Users who go over to other rules though nothing happens to them: a bounded part of each turn.

use super::lane::Task;
use super::lock;
use super::turn::Turns;
use crate::group::StepError;
use crate::lifecycle::Sweep;
use crate::store::{UserKey, UserRecord};
use muster_core::evaluated_by;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long users are evaluated anew in one turn, so that live messages wait no longer for that.
const SWEEP_TIME_MAX: Duration = Duration::from_millis(2);

/// Users of a shared store that are read in one turn: live messages wait until they are.
const SHARED_USERS_MAX: usize = 64;

/// Where looking for users who have yet to go over goes on.
#[derive(Debug, Default)]
pub(super) struct SweepPlace {
    after: Option<Arc<str>>,
    users: u64,
    /// Whether it is looked for among all users, and not only those who fall to this process.
    is_of_all: bool,
    /// Whether no more were found, in a turn before: whoever went over then may have been overtaken.
    has_ended: bool,
}

impl SweepPlace {
    /// The beginning.
    pub(super) fn begin(is_of_all: bool) -> SweepPlace {
        SweepPlace { is_of_all, ..SweepPlace::default() }
    }
}

impl Turns {
    /// Evaluates users anew whom other rules evaluated last, and begins and ends their shadows.
    pub(super) fn sweep(&mut self) -> Result<(), StepError> {
        let store = self.shared.store.clone();
        self.notice_division();
        if !self.behind.is_empty() {
            self.sweeping.iter_mut().for_each(|(_, place)| place.has_ended = false);
            let behind = self.behind.len().min(SHARED_USERS_MAX);
            let behind = self.behind.drain(..behind).collect();
            return self.look_at(behind);
        }
        let Some((workspace, mut place)) = self.sweeping.pop_front() else { return Ok(()) };
        let limit = match store.is_shared() {
            true => self.settings.reevaluations_max.min(SHARED_USERS_MAX),
            false => self.settings.reevaluations_max,
        };
        let users = store.users(&workspace, place.after.as_deref(), limit)?;
        if store.is_shared() {
            return self.sweep_shared(workspace, place, users);
        }
        let mut is_done = true;
        let started = Instant::now();
        for user in users {
            is_done = false;
            if started.elapsed() > SWEEP_TIME_MAX {
                break;
            }
            let key = UserKey { workspace: workspace.clone(), user: user.clone() };
            if self.is_behind(&key)? {
                self.go_over(vec![key])?;
            }
            place.users += 1;
            place.after = Some(user);
        }
        self.settle(workspace, (!is_done).then_some(place))
    }

    /// The same of a store that is shared: users are read together, and only those who fall to this process
    /// go over here.
    fn sweep_shared(
        &mut self,
        workspace: Arc<str>,
        mut place: SweepPlace,
        users: Vec<Arc<str>>,
    ) -> Result<(), StepError> {
        let store = self.shared.store.clone();
        let Some(last) = users.last().cloned() else {
            let is_done = std::mem::replace(&mut place.has_ended, true);
            return self.settle(workspace, (!is_done).then_some(place));
        };
        place.has_ended = false;
        place.users += users.len() as u64;
        let key = |user| UserKey { workspace: workspace.clone(), user };
        let is_looked_at = |key: &UserKey| place.is_of_all || store.is_mine(key);
        self.look_at(users.into_iter().map(key).filter(is_looked_at).collect())?;
        place.after = Some(last);
        self.settle(workspace, Some(place))
    }

    /// Has those of these users go over who have yet to.
    fn look_at(&mut self, users: Vec<UserKey>) -> Result<(), StepError> {
        self.lanes.read_ahead(users.iter())?;
        let mut behind = Vec::new();
        for key in users {
            if self.is_behind(&key)? {
                behind.push(key);
            }
        }
        self.go_over(behind)
    }

    fn go_over(&mut self, keys: Vec<UserKey>) -> Result<(), StepError> {
        let now = self.stood;
        let task = |key| Task { key, messages: Vec::new(), now, until: None };
        self.lanes.run(keys.into_iter().map(task).collect())
    }

    /// Begins anew when users fall to other processes than before: some of them may have been left to one
    /// that is gone.
    fn notice_division(&mut self) {
        let division = self.shared.store.division();
        if division == self.division {
            return;
        }
        self.division = division;
        let before: HashMap<Arc<str>, SweepPlace> = self.sweeping.drain(..).collect();
        let workspaces = self.rules.keys().map(|workspace| {
            let is_of_all = before.get(workspace).is_some_and(|place| place.is_of_all);
            (workspace.clone(), SweepPlace::begin(is_of_all))
        });
        self.sweeping.extend(workspaces);
    }

    /// Whether a user has yet to go over to the rules, or to have a shadow, or to lose one.
    fn is_behind(&mut self, key: &UserKey) -> Result<bool, StepError> {
        let Some(deployment) = self.rules.get(&key.workspace) else { return Ok(false) };
        if self.shared.damaged.reason(key).is_some() {
            return Ok(false);
        }
        let store = &*self.shared.store;
        let record = match store.is_shared() {
            true => self.lanes.of(key).group.record(store, key)?,
            false => store.user(key)?,
        };
        let Some(record) = record.filter(UserRecord::is_known) else { return Ok(false) };
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
            // Who counts the users of a shared store reads all of their ids.
            Some(place) if self.shared.store.is_shared() => {
                Some(Sweep { users: place.users, of: None })
            }
            Some(place) => {
                let all = self.shared.store.workspaces()?;
                let of = all.iter().find(|(name, _)| *name == workspace).map_or(0, |(_, of)| *of);
                Some(Sweep { users: place.users, of: Some(of.max(place.users)) })
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
                if let Some(deployment) = self.rules.get(&workspace) {
                    let revision = deployment.state.revision;
                    self.shared.store.note_swept(&workspace, revision, self.division);
                }
            }
        }
        lock(&self.shared.observed).entry(workspace).or_default().sweep = sweep;
        Ok(())
    }
}
