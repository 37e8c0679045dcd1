//! Replaying messages in event time: deterministic, message by message.
//!
//! The clock starts where the store's stands, and a message's latest time moves it, never back.
//! Timers due before the clock fire first, for all users, ordered by instant, workspace and user;
//! then the message applies, and its user is evaluated at the clock.

use crate::clock::wall_time;
use crate::group::{Evaluator, Group, StepError};
use crate::guest::GuestInstances;
use crate::ruleset::Ruleset;
use crate::store::{Store, UserKey};
use muster_core::{Message, Plan, Profile, Report, Time, Transition};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Users changed between two commits: enough to spare the store, few enough to be held.
const GROUP_USERS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// A replay under way.
pub struct Replay<'a> {
    plan: Arc<Plan>,
    instances: GuestInstances,
    store: &'a dyn Store,
    group: Group,
    timers: BTreeSet<(Time, UserKey)>,
    clock: Time,
    until: Option<Time>,
    totals: Totals,
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Totals {
    /// Messages that applied.
    pub messages: u64,
    /// Events read.
    pub events: u64,
    /// Events and messages dropped as repetitions.
    pub duplicates: u64,
    /// Transitions.
    pub transitions: u64,
    /// Evaluations of a user.
    pub evaluations: u64,
    /// How many of them needed history.
    pub evaluations_with_history: u64,
    /// Rows of history looked at.
    pub rows: u64,
    /// Conditions decided by the likelier answer, since history may not be read.
    pub likely: u64,
    /// How far those answers may be off at the most, as a share of them.
    pub likely_error_max: f64,
    /// Decisions that a module failed to give.
    pub failures: u64,
    /// The first of them: which audience's, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<String>,
}

/// Takes transitions as they come.
pub type OnTransition<'a> = &'a mut dyn FnMut(&UserKey, &Transition);

impl<'a> Replay<'a> {
    /// Goes on from where the store stands. Users that other rules evaluated last are evaluated
    /// anew, at the store's clock.
    ///
    /// # Errors
    /// When the store fails.
    pub fn new(
        ruleset: &Ruleset,
        store: &'a dyn Store,
        until: Option<Time>,
        on_transition: OnTransition<'_>,
    ) -> Result<Replay<'a>, StepError> {
        let mut replay = Replay {
            plan: ruleset.plan.clone(),
            instances: ruleset.instances(),
            store,
            group: Group::new(GROUP_USERS_MAX),
            timers: store.due(Time::MAX, usize::MAX)?.into_iter().collect(),
            clock: store.clock(),
            until,
            totals: Totals::default(),
        };
        replay.group.remember(&replay.plan);
        replay.adopt(on_transition)?;
        Ok(replay)
    }

    /// The clock.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// Applies a message of a user. Events later than the end of the replay are not read.
    ///
    /// # Errors
    /// When the store fails, or what it holds is damaged.
    pub fn message(
        &mut self,
        key: &UserKey,
        mut message: Message,
        on_transition: OnTransition<'_>,
    ) -> Result<(), StepError> {
        if let Some(until) = self.until {
            let had_events = !message.events.is_empty();
            message.events.retain(|event| event.time <= until);
            let out_of_reach = had_events && message.events.is_empty();
            if out_of_reach || message.latest().is_some_and(|latest| latest > until) {
                return Ok(());
            }
        }
        let clock = message.latest().map_or(self.clock, |latest| latest.max(self.clock));
        self.fire(clock, on_transition)?;
        self.clock = clock;
        self.totals.messages += 1;
        self.totals.events += message.events.len() as u64;
        self.step(key, &[message], clock, on_transition)
    }

    /// Commits, and ends without firing a timer: a replay that goes on from the store says what
    /// this one would have said.
    ///
    /// # Errors
    /// When the store fails.
    pub fn suspend(mut self) -> Result<Totals, StepError> {
        self.commit()?;
        Ok(self.totals)
    }

    /// Fires the timers up to and including the end of the replay, or the clock, and commits.
    ///
    /// # Errors
    /// When the store fails, or what it holds is damaged.
    pub fn finish(mut self, on_transition: OnTransition<'_>) -> Result<Totals, StepError> {
        self.clock = self.until.unwrap_or(self.clock).max(self.clock);
        self.fire(self.clock.next(), on_transition)?;
        self.commit()?;
        Ok(self.totals)
    }

    fn fire(&mut self, before: Time, on_transition: OnTransition<'_>) -> Result<(), StepError> {
        while let Some((due, key)) = self.timers.first().cloned().filter(|(due, _)| *due < before) {
            // A store that is shared may find it earlier than it is due, and then it stays.
            self.timers.remove(&(due, key.clone()));
            self.step(&key, &[], due, on_transition)?;
            self.group.note_fired(&key, due);
        }
        Ok(())
    }

    fn adopt(&mut self, on_transition: OnTransition<'_>) -> Result<(), StepError> {
        let store = self.store;
        each_user(store, &mut |key| {
            let stale = store.user(key)?.is_some_and(|record| {
                muster_core::evaluated_by(&record.state) != Ok(self.plan.fingerprint())
            });
            match stale {
                true => self.step(key, &[], self.clock, on_transition),
                false => Ok(()),
            }
        })
    }

    fn step(
        &mut self,
        key: &UserKey,
        messages: &[Message],
        now: Time,
        on_transition: OnTransition<'_>,
    ) -> Result<(), StepError> {
        let stepped = loop {
            let (plan, decide) = (&self.plan, &mut self.instances);
            let rules = Evaluator { plan, successions: &[], decide };
            match self.group.step(self.store, rules, key, messages, now) {
                Err(StepError::Awaits) => self.group.supply(self.store)?,
                stepped => break stepped?,
            }
        };
        self.group.discard_supplies();
        if let Some(due) = stepped.due_before {
            self.timers.remove(&(due, key.clone()));
        }
        if let Some(due) = stepped.due {
            self.timers.insert((due, key.clone()));
        }
        self.totals.add(&stepped.report, stepped.transitions.len());
        stepped.transitions.iter().for_each(|transition| on_transition(key, transition));
        if self.group.len() >= GROUP_USERS_MAX.get() { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), StepError> {
        let commit = self.group.take(self.clock, wall_time());
        let committed = self.store.commit(commit)?;
        if let Some(key) = committed.overtaken.first() {
            return Err(StepError::overtaken(key));
        }
        Ok(self.store.settle(&committed)?)
    }
}

impl Totals {
    fn add(&mut self, report: &Report, transitions: usize) {
        self.duplicates += report.duplicates;
        self.transitions += transitions as u64;
        self.evaluations += report.evaluations;
        self.evaluations_with_history += report.evaluations_with_history;
        self.rows += report.rows;
        self.likely += report.likely;
        self.likely_error_max = self.likely_error_max.max(report.likely_error_max);
        self.failures += report.failures.len() as u64;
        if let (None, Some((audience, reason))) = (&self.first_failure, report.failures.first()) {
            self.first_failure = Some(format!("audience `{audience}` is not decided: {reason}"));
        }
    }
}

/// All memberships in the store: by workspace, user and audience.
///
/// # Errors
/// When the store fails, or what it holds is damaged.
pub fn memberships(
    store: &dyn Store,
    plan: &Plan,
    on_membership: &mut dyn FnMut(&UserKey, &Arc<str>, Time),
) -> Result<(), StepError> {
    each_user(store, &mut |key| {
        let Some(record) = store.user(key)? else { return Ok(()) };
        let profile = Profile::decode(&record.profile).map_err(|source| {
            let (workspace, user) = (key.workspace.clone(), key.user.clone());
            StepError::Damaged { workspace, user, source }
        })?;
        let named = profile
            .memberships
            .iter()
            .filter_map(|(audience, since)| Some((plan.audience_id(audience)?, since)));
        let mut members: Vec<(&Arc<str>, Time)> = named.collect();
        members.sort();
        members.into_iter().for_each(|(audience, since)| on_membership(key, audience, since));
        Ok(())
    })
}

/// All users in the store, by workspace and user.
fn each_user(
    store: &dyn Store,
    on_user: &mut dyn FnMut(&UserKey) -> Result<(), StepError>,
) -> Result<(), StepError> {
    for (workspace, _) in store.workspaces()? {
        let mut after: Option<Arc<str>> = None;
        loop {
            let users = store.users(&workspace, after.as_deref(), GROUP_USERS_MAX.get())?;
            let Some(last) = users.last() else { break };
            after = Some(last.clone());
            for user in users {
                on_user(&UserKey { workspace: workspace.clone(), user })?;
            }
        }
    }
    Ok(())
}
