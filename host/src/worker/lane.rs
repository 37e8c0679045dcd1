//! A lane: a part of all users, with the instances that decide them. A user is always in the same
//! lane, and a lane is on one thread at a time, so her messages stay in order.

use super::Shared;
use super::damaged::Aside;
use super::rules::WorkspaceRules;
use super::trial::{self, Trial};
use crate::group::{Group, StepError, Stepped};
use crate::store::UserKey;
use muster_core::{Message, Time};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

/// Users, what is known of them, and what they are decided by.
pub(super) struct Lane {
    shared: Arc<Shared>,
    pub(super) rules: HashMap<Arc<str>, WorkspaceRules>,
    pub(super) group: Group,
    /// Users of whom nothing counts in this turn, since something that is kept of them is damaged.
    pub(super) aside: Aside,
}

/// A step that a user is to take.
pub(super) struct Task {
    pub(super) key: UserKey,
    pub(super) messages: Vec<Message>,
    pub(super) now: Time,
    /// Where a timer brings it about, which was found under that instant: before when those that follow it
    /// are fired with it.
    pub(super) until: Option<Time>,
}

/// Timers of a user that are fired one after the other before what they brought about is committed.
const FOLLOWING_MAX: usize = 256;

impl Lane {
    /// A lane that remembers that many users.
    pub(super) fn new(shared: Arc<Shared>, recent: NonZeroUsize) -> Lane {
        let (rules, aside) = Default::default();
        Lane { shared, rules, group: Group::new(recent), aside }
    }

    /// Takes steps, those of a user one after the other. Those that need history of a shared store are put
    /// off, and taken when it was read for all of them.
    pub(super) fn run(&mut self, tasks: &[Task]) -> Result<(), StepError> {
        let store = self.shared.store.clone();
        let mut tasks: Vec<&Task> = tasks.iter().collect();
        while !tasks.is_empty() {
            let mut waiting: HashSet<&UserKey> = HashSet::new();
            let mut put_off = Vec::new();
            for task in tasks {
                if let Some(reason) = self.shared.damaged.reason(&task.key) {
                    self.leave(task, reason);
                    continue;
                }
                let waits = waiting.contains(&task.key)
                    || match self.take(task) {
                        Err(StepError::Awaits) => true,
                        Err(error) => self.put_aside(error).map(|()| false)?,
                        Ok(()) => false,
                    };
                if waits {
                    waiting.insert(&task.key);
                    put_off.push(task);
                }
            }
            if !put_off.is_empty()
                && let Err(error) = self.group.supply(&*store)
            {
                // The others ask again.
                self.put_aside(error.into())?;
            }
            tasks = put_off;
        }
        self.group.discard_supplies();
        Ok(())
    }

    /// Has nothing of a turn count for a user of whom something is damaged.
    ///
    /// # Errors
    /// When it is not that.
    pub(super) fn put_aside(&mut self, error: StepError) -> Result<(), StepError> {
        let (key, reason) = self.shared.damaged.note(error)?;
        self.group.forget(&key);
        self.aside.insert(key, reason);
        Ok(())
    }

    /// Leaves a step of such a user untaken. Messages that counted before are not put aside, where that can
    /// be read.
    fn leave(&mut self, task: &Task, reason: Arc<str>) {
        let store = self.shared.store.clone();
        match self.group.has_taken(&*store, &task.key, &task.messages) {
            Ok(true) => self.shared.metrics.duplicates.inc_by(task.messages.len() as u64),
            Ok(false) | Err(_) if task.messages.is_empty() => {}
            Ok(false) | Err(_) => drop(self.aside.insert(task.key.clone(), reason)),
        }
    }

    fn take(&mut self, task: &Task) -> Result<(), StepError> {
        let store = self.shared.store.clone();
        // A timer may be written before its user, and stay when nobody comes to write her. Next time she is
        // looked for anew, since somebody else may have.
        if task.until.is_some() && !self.group.knows(&*store, &task.key)? {
            self.group.forget(&task.key);
            return Ok(());
        }
        if self.group.has_taken(&*store, &task.key, &task.messages)? {
            self.shared.metrics.duplicates.inc_by(task.messages.len() as u64);
            return Ok(());
        }
        let due = self.step(&task.key, &task.messages, task.now)?;
        match task.until {
            Some(until) => self.fire_following(task, due, until),
            None => Ok(()),
        }
    }

    /// Fires what is due of a user after the timer that was found: one commit is enough for all of it.
    fn fire_following(
        &mut self,
        task: &Task,
        mut due: Option<Time>,
        until: Time,
    ) -> Result<(), StepError> {
        self.group.note_fired(&task.key, task.now);
        let mut fired = 1;
        while let Some(now) = due.filter(|due| *due < until)
            && fired < FOLLOWING_MAX
        {
            due = self.step(&task.key, &[], now)?;
            fired += 1;
        }
        self.shared.metrics.timers.inc_by(fired as u64);
        Ok(())
    }

    /// Takes a step, and says when the user's timer is due after it.
    fn step(
        &mut self,
        key: &UserKey,
        messages: &[Message],
        now: Time,
    ) -> Result<Option<Time>, StepError> {
        let Some(rules) = self.rules.get_mut(&key.workspace) else { return Ok(None) };
        let started = Instant::now();
        let store = &*self.shared.store;
        let deployment = rules.deployment.clone();
        let arm = deployment.arm_of(&key.workspace, &key.user);
        let stepped = if rules.has_shadows {
            let shadow = deployment.shadow_of(&key.workspace, &key.user);
            let (counts, beside) = rules.both(arm, shadow);
            let (stepped, compared) =
                self.group.step_tried(store, counts, beside, key, messages, now)?;
            if let Some((compared, shadow)) = compared.as_ref().zip(shadow) {
                let (arms, report) = ([arm, shadow], &stepped.report);
                let trial = Trial { key, arms, compared, report, now };
                trial::record(&self.shared, &mut self.group, rules, &trial)?;
                rules.has_failed |= !compared.report.failures.is_empty();
            }
            stepped
        } else {
            self.group.step(store, rules.evaluator(arm), key, messages, now)?
        };
        rules.has_failed |= !stepped.report.failures.is_empty();
        trial::note(&self.shared, &deployment, key, &stepped.transitions);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let metrics = &self.shared.metrics;
        metrics.cpu_microseconds.with_label_values(&[&key.workspace]).inc_by(micros);
        self.count(key, deployment.arms[arm].version_name(), &stepped);
        Ok(stepped.due)
    }

    fn count(&self, key: &UserKey, version: &str, stepped: &Stepped) {
        let (metrics, report) = (&self.shared.metrics, &stepped.report);
        metrics.duplicates.inc_by(report.duplicates);
        metrics.late.inc_by(report.late);
        metrics.evaluations.with_label_values(&[&key.workspace]).inc_by(report.evaluations);
        metrics.evaluations_with_history.inc_by(report.evaluations_with_history);
        metrics.decisions.inc_by(report.decisions);
        metrics.ruled_out.inc_by(report.ruled_out);
        metrics.history_rows.inc_by(report.rows);
        metrics.likely_conditions.inc_by(report.likely);
        if report.likely > 0 {
            metrics.likely_error.observe(report.likely_error_max);
        }
        for transition in &stepped.transitions {
            let labels = [
                &*key.workspace,
                &transition.audience,
                transition.change.name(),
                transition.engine.name(),
                version,
                transition.cause.name(),
            ];
            metrics.transitions.with_label_values(&labels).inc();
        }
        for (audience, reason) in &report.failures {
            metrics.failures.with_label_values(&[&*key.workspace, audience]).inc();
            let (workspace, user) = (&*key.workspace, &*key.user);
            tracing::warn!(workspace, user, %audience, %reason, "audience not decided");
        }
    }
}
