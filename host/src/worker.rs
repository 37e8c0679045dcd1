//! The worker: batch, step, commit, publish, acknowledge.
//!
//! One thread takes messages from the queue and steps their users; another commits what came of the
//! turn before, and answers those who wait for it. So the next turn is computed while the last one
//! is being made durable, and whoever sent a message hears of it when it cannot be lost any more.

mod committer;
mod damaged;
mod intake;
mod lane;
mod lanes;
mod recovery;
mod retention;
mod rules;
mod sweep;
mod teller;
mod timers;
mod trial;
mod turn;
mod written;

use crate::clock::Clock;
use crate::config::{Config, milliseconds};
use crate::lifecycle::{Deployment, Observed};
use crate::metrics::Metrics;
use crate::sink::Sink;
use crate::store::{Store, StoreError, UserKey};
use committer::Committer;
pub use damaged::Aside;
use damaged::DamagedUsers;
use muster_core::Message;
use recovery::Recovery;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use trial::Kept;

/// Told when messages are durable: of whom nothing counts, since something that is kept of them is damaged, and
/// why. Or why none are.
pub type Durable = oneshot::Receiver<Result<Aside, Unavailable>>;

/// Messages that wait together for one answer.
pub(crate) struct Delivery {
    messages: Vec<(UserKey, Message)>,
    /// Whose they were, once they were taken out, and of whom nothing counts.
    users: Vec<UserKey>,
    aside: Aside,
    dead_letters: Vec<Vec<u8>>,
    queued: Instant,
    /// Their room in the queue, given back when they are durable.
    permit: Option<OwnedSemaphorePermit>,
    done: oneshot::Sender<Result<Aside, Unavailable>>,
}

impl Delivery {
    /// Whether it brought messages of any of these users.
    fn is_of(&self, users: &HashSet<&UserKey>) -> bool {
        self.users.iter().any(|key| users.contains(key))
    }

    /// Notes those of these users whose messages it brought.
    fn put_aside(&mut self, aside: &Aside) {
        let found = self.users.iter().filter_map(|key| aside.get_key_value(key));
        self.aside.extend(found.map(|(key, reason)| (key.clone(), reason.clone())));
    }
}

/// What the worker is told.
pub(crate) enum Order {
    Deliver(Delivery),
    /// These are a workspace's rules from now on, if there are any.
    Rules {
        workspace: Arc<str>,
        deployment: Option<Box<Deployment>>,
        /// What is to be kept of the change, in the same commit.
        documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
        /// Who waits for that.
        delivery: Delivery,
    },
}

/// Why messages were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The queue is full.
    #[error("too many messages are waiting: send these again in a second")]
    Overloaded,
    /// The service is ending.
    #[error("the service is shutting down: send these again when it is back")]
    ShuttingDown,
    /// What the service depends on does not answer.
    #[error("waiting for {0}")]
    Waiting(Arc<str>),
    /// The store failed.
    #[error("the store accepts nothing any more: {0}")]
    StoreFailed(Arc<str>),
}

/// What the worker's threads and its callers share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    sink: Arc<Sink>,
    failed: watch::Sender<Option<Arc<str>>>,
    ready: AtomicBool,
    /// Why no messages come from topics, while they do not.
    source_outage: Mutex<Option<Arc<str>>>,
    /// Whether nobody waits any more for what does not answer.
    is_closing: AtomicBool,
    /// Whether a turn was broken off for that: nothing that came after it may count without it.
    is_broken_off: AtomicBool,
    committed: watch::Sender<u64>,
    damaged: DamagedUsers,
    /// What is seen of each workspace's rules.
    pub(crate) observed: Mutex<HashMap<Arc<str>, Observed>>,
    /// Until when each workspace's rules were surely those that are in force, of a store that is shared.
    rules_seen: Mutex<HashMap<Arc<str>, Instant>>,
    /// How many differences from shadows were kept of each workspace.
    pub(crate) differences_kept: Mutex<HashMap<Arc<str>, Kept>>,
}

impl Shared {
    pub(crate) fn fail(&self, reason: &str) {
        tracing::error!(reason, "the store failed: nothing more is accepted");
        self.failed.send_if_modified(|failed| {
            let is_first = failed.is_none();
            failed.get_or_insert(reason.into());
            is_first
        });
    }

    /// Notes that the store failed, unless it is only that nobody waits for it any more.
    fn give_up(&self, error: &StoreError) -> Unavailable {
        if self.is_closing.load(Ordering::Acquire) {
            self.is_broken_off.store(true, Ordering::Release);
            return Unavailable::ShuttingDown;
        }
        self.fail(&error.to_string());
        Unavailable::StoreFailed(error.to_string().into())
    }

    fn outages(&self) -> [(&'static str, Option<Arc<str>>); 3] {
        let source = lock(&self.source_outage).clone();
        [("store", self.store.outage()), ("source", source), ("sink", self.sink.outage())]
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failed.borrow().clone()
    }

    /// Why nothing is committed any more.
    fn ended(&self) -> Option<Unavailable> {
        let is_broken_off = self.is_broken_off.load(Ordering::Acquire);
        let failed = self.failure().map(Unavailable::StoreFailed);
        failed.or(is_broken_off.then_some(Unavailable::ShuttingDown))
    }
}

/// A running worker.
pub struct Worker {
    orders: Mutex<Option<Sender<Order>>>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Of a store that is shared.
    recovery: Mutex<Option<Recovery>>,
    queue_messages_max: usize,
}

impl Worker {
    /// Starts the threads.
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        sink: Arc<Sink>,
        clock: Box<dyn Clock>,
        deployments: HashMap<Arc<str>, Deployment>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Worker> {
        let (orders, taken): (Sender<Order>, Receiver<Order>) = mpsc::channel();
        let shared = Arc::new(Shared {
            store,
            metrics,
            failed: watch::Sender::new(None),
            ready: AtomicBool::new(false),
            source_outage: Mutex::new(None),
            is_closing: AtomicBool::new(false),
            is_broken_off: AtomicBool::new(false),
            sink,
            committed: watch::Sender::new(0),
            damaged: DamagedUsers::default(),
            observed: Mutex::default(),
            rules_seen: Mutex::default(),
            differences_kept: Mutex::default(),
        });
        let settings = turn::TurnSettings {
            lanes: config.engine.lanes(),
            batch_wait: config.ingest.batch_wait,
            batch_messages_max: config.ingest.batch_messages_max,
            reevaluations_max: config.engine.reevaluations_per_turn,
            history_retention_ms: milliseconds(config.store.history_retention),
            transitions_retention_ms: milliseconds(config.store.transitions_retention),
        };
        let committer = Committer::start(shared.clone())?;
        let turns = turn::Turns::new(settings, shared.clone(), clock, deployments, committer)?;
        let running = shared.clone();
        let thread =
            std::thread::Builder::new().name("muster-worker".to_string()).spawn(move || {
                running.ready.store(true, Ordering::Release);
                let _ending = Ending(running);
                turns.run(&taken);
            })?;
        let recovery = shared.store.is_shared().then(|| Recovery::start(shared.clone()));
        let recovery = Mutex::new(recovery.transpose()?);
        let queue_messages_max = config.ingest.queue_messages_max;
        Ok(Worker {
            orders: Mutex::new(Some(orders)),
            room: Arc::new(Semaphore::new(queue_messages_max)),
            shared,
            thread: Mutex::new(Some(thread)),
            recovery,
            queue_messages_max,
        })
    }

    /// Room for that many messages, at once or not at all.
    ///
    /// # Errors
    /// When there is none, or never will be.
    pub fn reserve(&self, messages: usize) -> Result<OwnedSemaphorePermit, Unavailable> {
        if let Some(reason) = self.shared.failure() {
            return Err(Unavailable::StoreFailed(reason));
        }
        let wanted = u32::try_from(messages).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(wanted);
        room.map_err(|_| Unavailable::Overloaded)
    }

    /// The same, as soon as there is.
    ///
    /// # Errors
    /// When there never will be.
    pub async fn reserve_in_turn(
        &self,
        messages: usize,
    ) -> Result<OwnedSemaphorePermit, Unavailable> {
        let wanted = u32::try_from(messages).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(wanted).await;
        room.map_err(|_| Unavailable::ShuttingDown)
    }

    /// Messages that are queued, or being committed.
    pub fn waiting(&self) -> i64 {
        let free = self.room.available_permits();
        i64::try_from(self.queue_messages_max.saturating_sub(free)).unwrap_or(i64::MAX)
    }

    /// Hands messages over, in the order in which they came, with what was refused beside them, as JSON,
    /// and with their room. Whoever sent them puts those aside that do not count.
    pub fn deliver(
        &self,
        messages: Vec<(UserKey, Message)>,
        dead_letters: Vec<Vec<u8>>,
        permit: OwnedSemaphorePermit,
    ) -> Durable {
        let (done, told) = oneshot::channel();
        let queued = Instant::now();
        self.order(Order::Deliver(Delivery {
            messages,
            users: Vec::new(),
            aside: Aside::new(),
            dead_letters,
            queued,
            permit: Some(permit),
            done,
        }));
        told
    }

    /// Sets a workspace's rules, if there are new ones, evaluates its users anew in the background,
    /// and keeps documents. What it gives is told when that is durable.
    pub fn deploy(
        &self,
        workspace: Arc<str>,
        deployment: Option<Deployment>,
        documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
    ) -> Durable {
        let (done, told) = oneshot::channel();
        let (messages, users, aside, dead_letters) = Default::default();
        let queued = Instant::now();
        let delivery =
            Delivery { messages, users, aside, dead_letters, queued, permit: None, done };
        let deployment = deployment.map(Box::new);
        self.order(Order::Rules { workspace, deployment, documents, delivery });
        told
    }

    /// Users whose messages are put aside, since something that is kept of them is damaged.
    pub fn damaged_users(&self) -> i64 {
        i64::try_from(self.shared.damaged.count()).unwrap_or(i64::MAX)
    }

    /// Looks at what was seen of a workspace's rules since they were changed last.
    pub fn observe<T>(&self, workspace: &str, look: impl FnOnce(&Observed) -> T) -> T {
        match lock(&self.shared.observed).get(workspace) {
            Some(observed) => look(observed),
            None => look(&Observed::default()),
        }
    }

    /// Whether all users of a workspace have gone over to rules of that revision, those who fall to other
    /// processes that share the store among them.
    pub fn is_swept(&self, workspace: &str, revision: u64) -> bool {
        self.shared.store.is_swept(workspace, revision)
    }

    fn order(&self, order: Order) {
        let refused = match &*lock(&self.orders) {
            Some(orders) => orders.send(order).err().map(|error| error.0),
            None => Some(order),
        };
        if let Some(Order::Deliver(delivery) | Order::Rules { delivery, .. }) = refused {
            let error =
                self.shared.failure().map_or(Unavailable::ShuttingDown, Unavailable::StoreFailed);
            // Nobody waits any more when this fails.
            drop(delivery.done.send(Err(error)));
        }
    }

    /// Whether messages are being processed, and why not.
    pub fn readiness(&self) -> Result<(), Unavailable> {
        match self.shared.failure() {
            Some(reason) => Err(Unavailable::StoreFailed(reason)),
            None if !self.shared.ready.load(Ordering::Acquire) => Err(Unavailable::ShuttingDown),
            None => match self.outages().into_iter().find_map(|(what, why)| Some((what, why?))) {
                Some((what, why)) => Err(Unavailable::Waiting(format!("the {what}: {why}").into())),
                None => Ok(()),
            },
        }
    }

    /// What the service depends on, and why it does not answer, while it does not.
    pub fn outages(&self) -> [(&'static str, Option<Arc<str>>); 3] {
        self.shared.outages()
    }

    /// Waits until the worker has failed: nothing is accepted any more then.
    pub async fn failed(&self) {
        // The sender lives as long as this.
        drop(self.shared.failed.subscribe().wait_for(Option::is_some).await);
    }

    /// Notes that a part of the service ended that must not.
    pub fn fail(&self, reason: &str) {
        self.shared.fail(reason);
    }

    /// Notes that a workspace's rules here were those in force at that time.
    pub fn note_rules_seen(&self, workspace: Arc<str>, at: Instant) {
        lock(&self.shared.rules_seen).insert(workspace, at);
    }

    /// Notes why no messages come from topics, or that they do.
    pub fn set_source_outage(&self, outage: Option<Arc<str>>) {
        *lock(&self.shared.source_outage) = outage;
    }

    /// Lets go of what was counted by versions of a workspace's rules but these.
    pub fn retain_versions(&self, workspace: &str, versions: &BTreeSet<&str>) {
        self.shared.metrics.retain_versions(workspace, versions);
    }

    /// Counts commits, for whoever waits for new transitions.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.shared.committed.subscribe()
    }

    /// Waits no longer for what does not answer: what is in the queue is not taken then.
    pub fn give_up(&self) {
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.store.close();
        self.shared.sink.close();
    }

    /// Processes what is in the queue, commits it, and ends.
    pub fn stop(&self) {
        *lock(&self.orders) = None;
        drop(lock(&self.recovery).take());
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            self.shared.fail("the worker ended unexpectedly");
        }
    }
}

/// Says when the worker's thread ends, however it does.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ready.store(false, Ordering::Release);
        if std::thread::panicking() {
            self.0.fail("the worker ended unexpectedly");
        }
    }
}

/// Nothing panics while it holds one of these locks halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
