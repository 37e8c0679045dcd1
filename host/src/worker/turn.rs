//! Turns: timers that are due, a batch of messages by user, users to evaluate anew.

use super::committer::{Committer, Done, Job, Overtaken, answer};
use super::intake::{Batches, Intake, split_off};
use super::lane::Task;
use super::lanes::Lanes;
use super::rules::WorkspaceRules;
use super::sweep::SweepPlace;
use super::timers::{TIMERS_MAX, Timers};
use super::trial;
use super::written::Written;
use super::{Delivery, Order, Shared, Unavailable, lock};
use crate::clock::{Clock, wall_time};
use crate::decode::MESSAGE_WEIGHT_MAX;
use crate::group::StepError;
use crate::lifecycle::{Deployment, Failures, Observed, Subject};
use crate::store::{HistoryCursor, UserKey};
use muster_core::{Message, Time};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a turn waits when there is nothing to do: timers are late by at most this.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The same where timers wait until what was committed is told.
const TOLD_WAIT: Duration = Duration::from_millis(2);
/// Users kept as they were left, by all lanes together. By each at least as many as so many of the
/// largest turns have, so that those of the turn being committed are among them.
const RECENT_USERS: usize = 100_000;
const RECENT_TURNS: usize = 4;
/// Turns between two looks at which modules failed.
const PUBLISH_EVERY: u64 = 8;

/// The bounds of turns.
pub(super) struct TurnSettings {
    pub(super) lanes: NonZeroUsize,
    pub(super) batch_wait: Duration,
    pub(super) batch_messages_max: usize,
    pub(super) reevaluations_max: usize,
    pub(super) history_retention_ms: i64,
    pub(super) transitions_retention_ms: i64,
}

impl TurnSettings {
    /// Users of one turn, at the most.
    fn users_max(&self) -> usize {
        self.batch_messages_max + TIMERS_MAX + self.reevaluations_max
    }
}

/// The worker's thread.
pub(super) struct Turns {
    pub(super) settings: TurnSettings,
    pub(super) shared: Arc<Shared>,
    clock: Box<dyn Clock>,
    pub(super) stood: Time,
    /// Rules in force; what decides by them is in the lanes.
    pub(super) rules: HashMap<Arc<str>, Arc<Deployment>>,
    pub(super) lanes: Lanes,
    committer: Committer,
    timers: Timers,
    /// Messages of the turn being committed, by user: of a shared store, where it may not count.
    under_way: HashMap<UserKey, Vec<Message>>,
    /// Messages of users whom somebody else wrote, or of whom there were too many for one turn, to be taken
    /// before all others, and who waits for them.
    again: Batches,
    waiting: Vec<Delivery>,
    /// How users fall to processes, when that was looked at last.
    pub(super) division: u64,
    /// Workspaces whose users have yet to go over to other rules, and how far that has come.
    pub(super) sweeping: VecDeque<(Arc<str>, SweepPlace)>,
    /// Users who may have to go over wherever that has come, and those of whom that is not known yet.
    pub(super) behind: VecDeque<UserKey>,
    pub(super) written: Written,
    pub(super) expiring: Option<HistoryCursor>,
    pub(super) turns: u64,
}

impl Turns {
    pub(super) fn new(
        settings: TurnSettings,
        shared: Arc<Shared>,
        clock: Box<dyn Clock>,
        deployments: HashMap<Arc<str>, Deployment>,
        committer: Committer,
    ) -> std::io::Result<Turns> {
        let recent = (RECENT_USERS / settings.lanes).max(RECENT_TURNS * settings.users_max());
        let recent = NonZeroUsize::new(recent).unwrap_or(NonZeroUsize::MIN);
        let lanes = Lanes::start(&shared, settings.lanes, recent)?;
        // A machine's clock that was ahead is not gone on with by others.
        let goes_on = clock.is_common() || !shared.store.is_shared();
        let stood = if goes_on { shared.store.clock() } else { wall_time() };
        let timers = Timers::start(shared.store.clone())?;
        let mut turns = Turns {
            settings,
            shared,
            clock,
            stood,
            rules: HashMap::new(),
            lanes,
            committer,
            timers,
            under_way: HashMap::new(),
            again: Vec::new(),
            waiting: Vec::new(),
            division: 0,
            sweeping: VecDeque::new(),
            behind: VecDeque::new(),
            written: Written::default(),
            expiring: None,
            turns: 0,
        };
        for (workspace, deployment) in deployments {
            turns.set_rules(workspace, deployment);
        }
        Ok(turns)
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut intake = self.collect(orders);
            if intake.deliveries.is_empty()
                && self.timers.are_due()
                && self.shared.store.is_shared()
            {
                // Messages that come until the turn before is committed need not wait for timers too.
                self.take_back();
                intake = self.collect(orders);
                if intake.is_empty() && self.again.is_empty() && self.holds_timers() {
                    continue;
                }
            }
            for (workspace, deployment) in std::mem::take(&mut intake.rules) {
                self.set_rules(workspace, deployment);
            }
            self.lanes.first().group.put(std::mem::take(&mut intake.documents));
            let ended = intake.ended;
            match self.shared.ended() {
                Some(error) => answer(intake.deliveries, &Err(error)),
                None => self.turn(intake),
            }
            if ended {
                self.finish();
                return;
            }
        }
    }

    /// Takes what did not count again, until it does.
    fn finish(&mut self) {
        loop {
            self.take_back();
            if self.again.is_empty() && self.waiting.is_empty() {
                return;
            }
            match self.shared.ended() {
                Some(error) => return answer(std::mem::take(&mut self.waiting), &Err(error)),
                None => self.turn(Intake::default()),
            }
        }
    }

    /// Waits for the turn before, and takes back what did not count of it, and what was made of that since.
    /// Says which users that was.
    fn take_back(&mut self) -> HashSet<UserKey> {
        let before = std::mem::take(&mut self.under_way);
        let Some(Done { timers, took, overtaken }) = self.committer.wait() else {
            return HashSet::new();
        };
        self.timers.committed(timers, took);
        let Some(Overtaken { users, deliveries }) = overtaken else { return HashSet::new() };
        self.waiting.extend(deliveries);
        // What brought anything else about is looked for again: timers, users who have yet to go over.
        self.behind.extend(users.iter().filter(|key| !before.contains_key(key)).cloned());
        let first = users.iter().filter_map(|key| Some((key.clone(), before.get(key)?.clone())));
        let later = std::mem::replace(&mut self.again, first.collect());
        later.iter().for_each(|(key, messages)| self.take_again(key, messages));
        users.iter().for_each(|key| self.lanes.of(key).group.forget(key));
        users.into_iter().collect()
    }

    fn set_rules(&mut self, workspace: Arc<str>, deployment: Deployment) {
        for arm in &deployment.arms {
            self.lanes.first().group.remember(&arm.ruleset.plan);
        }
        for of in [Subject::Rules, Subject::Engine] {
            let gauge = &self.shared.metrics.rules_share;
            let share = deployment.state.share(of).fraction();
            gauge.with_label_values(&[&*workspace, of.name()]).set(share);
        }
        let revision = deployment.state.revision;
        let observed = Observed { revision, ..Observed::default() };
        lock(&self.shared.observed).insert(workspace.clone(), observed);
        let deployment = Arc::new(deployment);
        let mut before = Vec::new();
        for lane in self.lanes.iter_mut() {
            let rules = WorkspaceRules::new(deployment.clone());
            before.extend(lane.rules.insert(workspace.clone(), rules));
        }
        if !before.is_empty() {
            // Thousands of instances take their time to end, which live messages do not wait for.
            self.committer.dispose(before);
        }
        self.rules.insert(workspace.clone(), deployment);
        self.sweeping.retain(|(sweeping, _)| *sweeping != workspace);
        let written = self.written.take(&workspace);
        self.sweeping.push_back((workspace.clone(), SweepPlace::begin(written.is_none())));
        let key = |user| UserKey { workspace: workspace.clone(), user };
        self.behind.extend(written.into_iter().flatten().map(key));
    }

    /// Whether timers that are due wait until what was committed is told.
    fn holds_timers(&self) -> bool {
        self.timers.are_due() && self.timers.are_paced() && self.committer.is_telling()
    }

    /// Waits for messages, and then for more of them, until the batch is full or has waited enough.
    fn collect(&self, orders: &Receiver<Order>) -> Intake {
        let mut intake = Intake::default();
        // Of a shared store, whoever sweeps takes from others' share of the database.
        let sweeps = !self.sweeping.is_empty() && !self.shared.store.is_shared();
        let holds_timers = self.holds_timers();
        let fires = self.timers.are_due() && !holds_timers;
        let idle = match sweeps || !self.again.is_empty() || fires {
            true => Duration::ZERO,
            false if holds_timers => TOLD_WAIT,
            false => IDLE_WAIT,
        };
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
        self.turns += 1;
        let all = || intake.deliveries.iter().flat_map(|delivery| &delivery.messages);
        let told = all().filter_map(|(_, message)| message.latest()).max();
        let stood = match self.clock.is_common() {
            true => self.stood.max(self.shared.store.clock()),
            false => self.stood,
        };
        self.stood = self.clock.advance(stood, told);
        let again: HashSet<UserKey> = self.again.iter().map(|(key, _)| key.clone()).collect();
        let mut messages = intake.by_user(std::mem::take(&mut self.again), &self.shared.metrics);
        let rest = match self.shared.store.is_shared() {
            true => split_off(&mut messages, MESSAGE_WEIGHT_MAX),
            false => Batches::new(),
        };
        // Where a store is shared, they may have to be taken again.
        let mut kept = if self.shared.store.is_shared() { messages.clone() } else { Vec::new() };
        let result = self
            .due_timers(intake.messages > 0)
            .and_then(|tasks| self.step(tasks, messages))
            .and_then(|()| self.sweep())
            .and_then(|()| self.expire());
        if let Err(error) = result {
            let error = match error {
                StepError::Store(error) => self.shared.give_up(&error),
                error => {
                    self.shared.fail(&error.to_string());
                    Unavailable::StoreFailed(error.to_string().into())
                }
            };
            intake.deliveries.append(&mut self.waiting);
            return answer(intake.deliveries, &Err(error));
        }
        let aside = self.lanes.take_aside();
        if !aside.is_empty() {
            kept.retain(|(key, _)| !aside.contains_key(key));
            intake.deliveries.iter_mut().for_each(|delivery| delivery.put_aside(&aside));
            // Of those that wait, what was taken again: the rest may have counted.
            let aside = aside.into_iter().filter(|(key, _)| again.contains(key)).collect();
            self.waiting.iter_mut().for_each(|delivery| delivery.put_aside(&aside));
        }
        for delivery in &mut intake.deliveries {
            self.lanes.first().group.refuse(std::mem::take(&mut delivery.dead_letters));
        }
        let documents = trial::uncounted(&self.shared);
        self.lanes.first().group.put(documents);
        self.publish_failures();
        let overtaken = self.take_back();
        let is_overtaken = |key: &UserKey| overtaken.contains(key);
        let later = kept.iter().filter(|(key, _)| is_overtaken(key)).chain(&rest);
        later.for_each(|(key, messages)| self.take_again(key, messages));
        // Whoever has messages that are taken again waits for those.
        let again: HashSet<&UserKey> = self.again.iter().map(|(key, _)| key).collect();
        let mut deliveries: Vec<Delivery> =
            self.waiting.extract_if(.., |delivery| !delivery.is_of(&again)).collect();
        let has_waited = !deliveries.is_empty();
        self.waiting.extend(intake.deliveries.extract_if(.., |delivery| delivery.is_of(&again)));
        deliveries.append(&mut intake.deliveries);
        if !self.lanes.is_empty() || !deliveries.is_empty() {
            let metrics = &self.shared.metrics;
            metrics.batch_messages.observe(intake.messages as f64);
            let seconds = started.elapsed().as_secs_f64();
            metrics.stages.step.observe(seconds);
            let mut commit = self.lanes.take(self.stood, wall_time());
            if self.shared.store.is_shared() {
                commit.kept_ms = self.kept_ms(&commit);
                let rules_seen = lock(&self.shared.rules_seen).clone();
                self.written.note(commit.users.iter().map(|user| &user.key), &rules_seen);
                self.under_way = kept.into_iter().filter(|(key, _)| !is_overtaken(key)).collect();
            }
            self.committer.submit(Job {
                commit,
                deliveries,
                has_waited,
                timers: self.timers.share(),
            });
        }
    }

    /// Puts messages of a user behind those of hers that are to be taken again.
    fn take_again(&mut self, key: &UserKey, messages: &[Message]) {
        match self.again.iter_mut().find(|(user, _)| user == key) {
            Some((_, earlier)) => earlier.extend_from_slice(messages),
            None => self.again.push((key.clone(), messages.to_vec())),
        }
    }

    /// Says which modules failed, now and then. Calls are those of all lanes: what fails for one user is
    /// a small part of them.
    fn publish_failures(&self) {
        if !self.turns.is_multiple_of(PUBLISH_EVERY) {
            return;
        }
        for workspace in self.rules.keys() {
            let lanes = || self.lanes.iter().filter_map(|lane| lane.rules.get(workspace));
            if !lanes().any(|rules| rules.has_failed) {
                continue;
            }
            let mut failures = BTreeMap::new();
            lanes().for_each(|rules| rules.add_calls(&mut failures));
            failures.retain(|_, calls: &mut Failures| calls.failed > 0);
            let mut observed = lock(&self.shared.observed);
            observed.entry(workspace.clone()).or_default().failures = failures;
        }
    }

    /// The steps of timers that are due.
    fn due_timers(&mut self, has_messages: bool) -> Result<Vec<Task>, StepError> {
        let until = self.stood;
        let (rules, damaged) = (&self.rules, &self.shared.damaged);
        let can_decide =
            |key: &UserKey| rules.contains_key(&key.workspace) && damaged.reason(key).is_none();
        let is_telling = self.committer.is_telling();
        let due = self.timers.take(self.turns, until, has_messages, is_telling, can_decide)?;
        self.shared.metrics.timers_late.set(self.timers.late(until).as_secs_f64());
        let task = |(now, key)| Task { key, messages: Vec::new(), now, until: Some(until) };
        Ok(due.into_iter().map(task).collect())
    }

    /// Takes the steps of timers, and then those of messages.
    fn step(&mut self, mut tasks: Vec<Task>, messages: Batches) -> Result<(), StepError> {
        let now = self.stood;
        let task = |(key, messages)| Task { key, messages, now, until: None };
        tasks.extend(messages.into_iter().map(task));
        self.lanes.run(tasks)
    }
}
