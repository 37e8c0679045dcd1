//! Turns: timers that are due, a batch of messages by user, users to evaluate anew.

use super::committer::{Committer, Job, answer};
use super::rules::WorkspaceRules;
use super::trial::{self, Trial};
use super::{Delivery, Order, Shared, Unavailable, lock};
use crate::clock::{Clock, wall_time};
use crate::group::{Group, StepError, Stepped};
use crate::lifecycle::{Deployment, Observed, Subject};
use crate::store::{HistoryCursor, UserKey};
use muster_core::{Message, Reach, Time};
use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a turn waits when there is nothing to do: timers are late by at most this.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Timers fired in one turn: beside a full batch they must not hold up live messages.
const TIMERS_MAX: usize = 512;
/// Users kept as they were left. More than four of the largest turns, so that those of the turn
/// being committed are among them.
const RECENT_USERS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Turns between two rounds of deleting what is past its retention, and rows looked at in each.
const EXPIRE_EVERY: u64 = 64;
const EXPIRE_ROWS: usize = 1_024;
/// The bounds of turns.
pub(super) struct TurnSettings {
    pub(super) batch_wait: Duration,
    pub(super) batch_messages_max: usize,
    pub(super) reevaluations_max: usize,
    pub(super) history_retention_ms: i64,
    pub(super) transitions_retention_ms: i64,
}

/// The worker's thread.
pub(super) struct Turns {
    pub(super) settings: TurnSettings,
    pub(super) shared: Arc<Shared>,
    clock: Box<dyn Clock>,
    pub(super) stood: Time,
    pub(super) rules: HashMap<Arc<str>, WorkspaceRules>,
    pub(super) group: Group,
    committer: Committer,
    /// Timers that were fired in the last turn, and are still in the store while it is committed.
    fired: HashSet<(Time, UserKey)>,
    /// Workspaces whose users have yet to go over to other rules.
    pub(super) sweeping: VecDeque<Arc<str>>,
    expiring: Option<HistoryCursor>,
    turns: u64,
}

/// What came in for a turn.
#[derive(Default)]
struct Intake {
    deliveries: Vec<Delivery>,
    messages: usize,
    rules: Vec<(Arc<str>, Deployment)>,
    documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
    ended: bool,
}

impl Turns {
    pub(super) fn new(
        settings: TurnSettings,
        shared: Arc<Shared>,
        clock: Box<dyn Clock>,
        deployments: HashMap<Arc<str>, Deployment>,
        committer: Committer,
    ) -> Turns {
        let stood = shared.store.clock();
        let mut turns = Turns {
            settings,
            shared,
            clock,
            stood,
            rules: HashMap::new(),
            group: Group::new(RECENT_USERS),
            committer,
            fired: HashSet::new(),
            sweeping: VecDeque::new(),
            expiring: None,
            turns: 0,
        };
        for (workspace, deployment) in deployments {
            turns.set_rules(workspace, deployment);
        }
        turns
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut intake = self.collect(orders);
            for (workspace, deployment) in std::mem::take(&mut intake.rules) {
                self.set_rules(workspace, deployment);
            }
            self.group.put(std::mem::take(&mut intake.documents));
            let ended = intake.ended;
            match self.shared.failure() {
                Some(reason) => {
                    answer(intake.deliveries, &Err(Unavailable::StoreFailed(reason)));
                }
                None => self.turn(intake),
            }
            if ended {
                return;
            }
        }
    }

    fn set_rules(&mut self, workspace: Arc<str>, deployment: Deployment) {
        for arm in &deployment.arms {
            self.group.remember(&arm.ruleset.plan);
        }
        for of in [Subject::Rules, Subject::Engine] {
            let gauge = &self.shared.metrics.rules_share;
            let share = deployment.state.share(of).fraction();
            gauge.with_label_values(&[&*workspace, of.name()]).set(share);
        }
        let revision = deployment.state.revision;
        let observed = Observed { revision, ..Observed::default() };
        lock(&self.shared.observed).insert(workspace.clone(), observed);
        let before = self.rules.insert(workspace.clone(), WorkspaceRules::new(deployment));
        if let Some(before) = before {
            // Thousands of instances take their time to end, which live messages do not wait for.
            self.committer.dispose(before);
        }
        if !self.sweeping.contains(&workspace) {
            self.sweeping.push_back(workspace);
        }
    }

    /// Waits for messages, and then for more of them, until the batch is full or has waited enough.
    fn collect(&self, orders: &Receiver<Order>) -> Intake {
        let mut intake = Intake::default();
        let idle = if self.sweeping.is_empty() { IDLE_WAIT } else { Duration::ZERO };
        let mut wait = idle;
        let mut until: Option<Instant> = None;
        while intake.messages < self.settings.batch_messages_max {
            match orders.recv_timeout(wait) {
                Ok(Order::Deliver(delivery)) => {
                    let waited = delivery.queued.elapsed().as_secs_f64();
                    self.shared.metrics.stages.queue.observe(waited);
                    intake.messages += delivery.messages.len().max(1);
                    intake.deliveries.push(delivery);
                }
                Ok(Order::Rules { workspace, deployment, documents, delivery }) => {
                    intake.rules.extend(deployment.map(|deployment| (workspace, *deployment)));
                    intake.documents.extend(documents);
                    intake.deliveries.push(delivery);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    intake.ended = true;
                    break;
                }
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.settings.batch_wait);
            wait = until.saturating_duration_since(Instant::now());
        }
        intake
    }

    fn turn(&mut self, mut intake: Intake) {
        let started = Instant::now();
        let all = || intake.deliveries.iter().flat_map(|delivery| &delivery.messages);
        let told = all().filter_map(|(_, message)| message.latest()).max();
        self.stood = self.clock.advance(self.stood, told);
        let result = self
            .fire_timers()
            .and_then(|()| self.step_messages(&mut intake))
            .and_then(|()| self.sweep())
            .and_then(|()| self.expire());
        if let Err(error) = result {
            self.shared.fail(&error.to_string());
            let reason = error.to_string().into();
            return answer(intake.deliveries, &Err(Unavailable::StoreFailed(reason)));
        }
        for delivery in &mut intake.deliveries {
            self.group.refuse(std::mem::take(&mut delivery.dead_letters));
        }
        self.publish_failures();
        if !self.group.is_empty() || !intake.deliveries.is_empty() {
            let metrics = &self.shared.metrics;
            metrics.batch_messages.observe(intake.messages as f64);
            let seconds = started.elapsed().as_secs_f64();
            metrics.stages.step.observe(seconds);
            let commit = self.group.take(self.stood, wall_time());
            self.committer.submit(Job { commit, deliveries: intake.deliveries });
        }
    }

    fn publish_failures(&self) {
        for (workspace, rules) in self.rules.iter().filter(|(_, rules)| rules.has_failed) {
            let mut observed = lock(&self.shared.observed);
            observed.entry(workspace.clone()).or_default().failures = rules.failures();
        }
    }

    fn fire_timers(&mut self) -> Result<(), StepError> {
        let due = self.shared.store.due(self.stood, TIMERS_MAX + self.fired.len())?;
        let fired = std::mem::take(&mut self.fired);
        for (at, key) in due {
            if !fired.contains(&(at, key.clone())) && self.rules.contains_key(&key.workspace) {
                self.step(&key, &[], at)?;
                self.shared.metrics.timers.inc();
            }
            self.fired.insert((at, key));
        }
        Ok(())
    }

    fn step_messages(&mut self, intake: &mut Intake) -> Result<(), StepError> {
        let mut by_user: HashMap<UserKey, Vec<Message>> = HashMap::new();
        let mut order: Vec<UserKey> = Vec::new();
        for delivery in &mut intake.deliveries {
            for (key, message) in std::mem::take(&mut delivery.messages) {
                let metrics = &self.shared.metrics;
                metrics.messages.with_label_values(&[&key.workspace]).inc();
                let events = message.events.len() as u64;
                metrics.events.with_label_values(&[&key.workspace]).inc_by(events);
                by_user
                    .entry(key.clone())
                    .or_insert_with(|| {
                        order.push(key);
                        Vec::new()
                    })
                    .push(message);
            }
        }
        for key in order {
            let messages = by_user.remove(&key).unwrap_or_default();
            self.step(&key, &messages, self.stood)?;
        }
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        key: &UserKey,
        messages: &[Message],
        now: Time,
    ) -> Result<(), StepError> {
        let Some(rules) = self.rules.get_mut(&key.workspace) else { return Ok(()) };
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
        Ok(())
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

    /// Deletes a bounded part of what is past its retention.
    fn expire(&mut self) -> Result<(), StepError> {
        self.turns += 1;
        if !self.turns.is_multiple_of(EXPIRE_EVERY) {
            return Ok(());
        }
        let store = &self.shared.store;
        let ago = |now: Time, milliseconds: i64| {
            let at = now.milliseconds().saturating_sub(milliseconds);
            Time::from_milliseconds(at).unwrap_or(Time::MIN)
        };
        let before = |milliseconds| ago(self.stood, milliseconds);
        let expired = &self.shared.metrics.expired;
        let rows =
            store.expire_transitions(ago(wall_time(), self.settings.transitions_retention_ms))?;
        expired.with_label_values(&["outbox"]).inc_by(rows);
        let retained = self.settings.history_retention_ms;
        let keep_from = |workspace: &str, event: &str| match self
            .rules
            .get(workspace)
            .and_then(|rules| rules.deployment.reach(event))
        {
            Some(Reach::Forever) => Time::MIN,
            Some(Reach::Span(milliseconds)) => before(milliseconds.max(retained)),
            None => before(retained),
        };
        let (rows, cursor) = store.expire_history(self.expiring.take(), EXPIRE_ROWS, &keep_from)?;
        expired.with_label_values(&["history"]).inc_by(rows);
        self.expiring = cursor;
        for (table, bytes) in store.sizes()? {
            let gauge = self.shared.metrics.store_bytes.with_label_values(&[table]);
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
