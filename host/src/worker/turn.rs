//! Turns: timers that are due, a batch of messages by user, users to evaluate anew.

use super::committer::{Committer, Job, answer};
use super::{Delivery, Order, Shared, Unavailable};
use crate::clock::Clock;
use crate::group::{Evaluator, Group, StepError, Stepped};
use crate::guest::GuestInstances;
use crate::ruleset::Ruleset;
use crate::store::{HistoryCursor, UserKey};
use muster_core::{Message, Plan, Reach, Succession, Time, evaluated_by};
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
/// Plans of a workspace from which users carry over what they have, when rules change faster than
/// all users are evaluated anew. From older ones, everything is gathered from history.
const EARLIER_PLANS: usize = 4;
/// How long users are evaluated anew in one turn, so that live messages wait no longer for that.
const REEVALUATE_TIME_MAX: Duration = Duration::from_millis(2);

/// The bounds of turns.
pub(super) struct TurnSettings {
    pub(super) batch_wait: Duration,
    pub(super) batch_messages_max: usize,
    pub(super) reevaluations_max: usize,
    pub(super) history_retention_ms: i64,
    pub(super) transitions_retention_ms: i64,
}

struct WorkspaceRules {
    plan: Arc<Plan>,
    instances: GuestInstances,
    /// Plans before this one, the latest last, that users may have been evaluated by.
    earlier: VecDeque<Arc<Plan>>,
    successions: Vec<Succession>,
}

impl WorkspaceRules {
    /// Those rules after others, if there were any.
    fn after(before: Option<WorkspaceRules>, ruleset: &Ruleset) -> WorkspaceRules {
        let mut earlier = VecDeque::new();
        if let Some(before) = before {
            earlier = before.earlier;
            earlier.push_back(before.plan);
        }
        while earlier.len() > EARLIER_PLANS {
            earlier.pop_front();
        }
        let plan = ruleset.plan.clone();
        let successions = earlier.iter().filter_map(|earlier| Succession::new(earlier, &plan));
        let successions = successions.collect();
        WorkspaceRules { plan, instances: ruleset.instances(), earlier, successions }
    }

    fn evaluator(&mut self) -> Evaluator<'_> {
        let (plan, successions) = (&*self.plan, &*self.successions);
        Evaluator { plan, successions, decide: &mut self.instances }
    }
}

/// The worker's thread.
pub(super) struct Turns {
    settings: TurnSettings,
    shared: Arc<Shared>,
    clock: Box<dyn Clock>,
    stood: Time,
    rules: HashMap<Arc<str>, WorkspaceRules>,
    group: Group,
    committer: Committer,
    /// Timers that were fired in the last turn, and are still in the store while it is committed.
    fired: HashSet<(Time, UserKey)>,
    /// Where the search for users of other rules goes on; none when all were found.
    reevaluating: Option<Option<UserKey>>,
    expiring: Option<HistoryCursor>,
    turns: u64,
}

/// What came in for a turn.
#[derive(Default)]
struct Intake {
    deliveries: Vec<Delivery>,
    messages: usize,
    rules: VecDeque<(Arc<str>, Ruleset)>,
    ended: bool,
}

impl Turns {
    pub(super) fn new(
        settings: TurnSettings,
        shared: Arc<Shared>,
        clock: Box<dyn Clock>,
        rulesets: HashMap<Arc<str>, Ruleset>,
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
            reevaluating: None,
            expiring: None,
            turns: 0,
        };
        for (workspace, ruleset) in rulesets {
            turns.set_rules(workspace, &ruleset);
        }
        turns
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut intake = self.collect(orders);
            for (workspace, ruleset) in std::mem::take(&mut intake.rules) {
                self.set_rules(workspace, &ruleset);
            }
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

    fn set_rules(&mut self, workspace: Arc<str>, ruleset: &Ruleset) {
        self.group.remember(&ruleset.plan);
        let rules = WorkspaceRules::after(self.rules.remove(&workspace), ruleset);
        self.rules.insert(workspace, rules);
        self.reevaluating = Some(None);
    }

    /// Waits for messages, and then for more of them, until the batch is full or has waited enough.
    fn collect(&self, orders: &Receiver<Order>) -> Intake {
        let mut intake = Intake::default();
        let idle = if self.reevaluating.is_some() { Duration::ZERO } else { IDLE_WAIT };
        let mut wait = idle;
        let mut until: Option<Instant> = None;
        while intake.messages < self.settings.batch_messages_max {
            match orders.recv_timeout(wait) {
                Ok(Order::Deliver(delivery)) => {
                    intake.messages += delivery.messages.len().max(1);
                    intake.deliveries.push(delivery);
                }
                Ok(Order::Rules { workspace, ruleset }) => {
                    intake.rules.push_back((workspace, ruleset));
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
            .and_then(|()| self.reevaluate())
            .and_then(|()| self.expire());
        if let Err(error) = result {
            self.shared.fail(&error.to_string());
            let reason = error.to_string().into();
            return answer(intake.deliveries, &Err(Unavailable::StoreFailed(reason)));
        }
        for delivery in &mut intake.deliveries {
            self.group.refuse(std::mem::take(&mut delivery.dead_letters));
        }
        if !self.group.is_empty() || !intake.deliveries.is_empty() {
            let metrics = &self.shared.metrics;
            metrics.batch_messages.observe(intake.messages as f64);
            let seconds = started.elapsed().as_secs_f64();
            metrics.stage_seconds.with_label_values(&["step"]).observe(seconds);
            let commit = self.group.take(self.stood);
            self.committer.submit(Job { commit, deliveries: intake.deliveries });
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

    /// Evaluates users anew whom other rules evaluated last, a bounded number in a turn.
    fn reevaluate(&mut self) -> Result<(), StepError> {
        let Some(after) = self.reevaluating.take() else { return Ok(()) };
        let users = self.shared.store.users(after.as_ref(), self.settings.reevaluations_max)?;
        let mut last = None;
        let started = Instant::now();
        for key in users {
            if started.elapsed() > REEVALUATE_TIME_MAX {
                break;
            }
            last = Some(key.clone());
            let Some(rules) = self.rules.get(&key.workspace) else { continue };
            let record = self.shared.store.user(&key)?;
            let current = Ok(rules.plan.fingerprint());
            if record.is_some_and(|record| evaluated_by(&record.state) != current) {
                self.step(&key, &[], self.stood)?;
            }
        }
        self.reevaluating = last.map(Some);
        Ok(())
    }

    fn step(&mut self, key: &UserKey, messages: &[Message], now: Time) -> Result<(), StepError> {
        let Some(rules) = self.rules.get_mut(&key.workspace) else { return Ok(()) };
        let started = Instant::now();
        let store = &*self.shared.store;
        let stepped = self.group.step(store, rules.evaluator(), key, messages, now)?;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let metrics = &self.shared.metrics;
        metrics.cpu_microseconds.with_label_values(&[&key.workspace]).inc_by(micros);
        self.count(key, &stepped);
        Ok(())
    }

    fn count(&self, key: &UserKey, stepped: &Stepped) {
        let (metrics, report) = (&self.shared.metrics, &stepped.report);
        metrics.duplicates.inc_by(report.duplicates);
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
        let before = |milliseconds: i64| {
            let at = self.stood.milliseconds().saturating_sub(milliseconds);
            Time::from_milliseconds(at).unwrap_or(Time::MIN)
        };
        let expired = &self.shared.metrics.expired;
        let rows = store.expire_transitions(before(self.settings.transitions_retention_ms))?;
        expired.with_label_values(&["outbox"]).inc_by(rows);
        let retained = self.settings.history_retention_ms;
        let keep_from = |workspace: &str, event: &str| match self
            .rules
            .get(workspace)
            .map(|rules| rules.plan.reach(event))
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
