//! The thread that makes turns durable, one after the other, and hands over what is to be told of them.

use super::teller::{Teller, Telling, Tellings, finish};
use super::timers::Share;
use super::{Delivery, Shared, Unavailable};
use crate::store::{Commit, Committed, UserKey};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A turn to be committed, and who waits for it.
pub(super) struct Job {
    pub(super) commit: Commit,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether some of these waited for turns before, which may not have been told yet.
    pub(super) has_waited: bool,
    /// What timers have of it.
    pub(super) timers: Share,
}

/// What came of a turn.
pub(super) struct Done {
    pub(super) timers: Share,
    pub(super) took: Duration,
    pub(super) overtaken: Option<Overtaken>,
}

/// Of a turn that did not count for everybody: whom somebody else wrote meanwhile, and who still waits.
pub(super) struct Overtaken {
    pub(super) users: Vec<UserKey>,
    pub(super) deliveries: Vec<Delivery>,
}

/// The thread, which holds one turn at a time.
pub(super) struct Committer {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    is_busy: bool,
    tellings: Tellings,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Committer> {
        let (jobs, taken) = mpsc::sync_channel::<Job>(1);
        let (told, done) = mpsc::sync_channel(1);
        let tellings = Tellings::default();
        let teller = Teller::start(shared.clone(), tellings.clone())?;
        let thread =
            std::thread::Builder::new().name("muster-commit".to_string()).spawn(move || {
                for job in taken {
                    let (timers, begun) = (job.timers, Instant::now());
                    let overtaken = commit(&shared, &teller, job);
                    let done = Done { timers, took: begun.elapsed(), overtaken };
                    if told.send(done).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Committer { jobs: Some(jobs), done, is_busy: false, tellings, thread: Some(thread) })
    }

    /// Lets go of something on a thread where nobody waits for it.
    pub(super) fn dispose(&self, thing: impl Send + 'static) {
        let disposing = std::thread::Builder::new().name("muster-dispose".to_string());
        if let Err(error) = disposing.spawn(move || drop(thing)) {
            tracing::warn!(%error, "no thread to let go of old rules on");
        }
    }

    /// Whether something that was committed is yet to be told.
    pub(super) fn is_telling(&self) -> bool {
        self.tellings.is_any()
    }

    /// Waits until the turn that was handed over last is committed, if one is under way.
    pub(super) fn wait(&mut self) -> Option<Done> {
        // The thread ends before it is told to only by a panic, which the next turn is told of.
        std::mem::take(&mut self.is_busy).then(|| self.done.recv().ok()).flatten()
    }

    /// Hands a turn over. The one before it must have been waited for.
    pub(super) fn submit(&mut self, job: Job) {
        assert!(!self.is_busy, "a turn is waited for before the next is handed over");
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|error| error.0),
            None => Some(job),
        };
        match refused {
            Some(job) => answer(job.deliveries, &Err(Unavailable::ShuttingDown)),
            None => self.is_busy = true,
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.wait();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has closed its channel, which its callers were told of.
            drop(thread.join());
        }
    }
}

fn commit(shared: &Shared, teller: &Teller, mut job: Job) -> Option<Overtaken> {
    let carried = teller.carry(&mut job.commit);
    let result = match shared.ended() {
        Some(error) => Err(error),
        None => make_durable(shared, job.commit),
    };
    let mut committed = match result {
        Ok(committed) => committed,
        Err(error) => {
            answer(job.deliveries, &Err(error));
            return None;
        }
    };
    let users = std::mem::take(&mut committed.overtaken);
    let overtaken = (!users.is_empty()).then(|| {
        shared.metrics.overtaken.inc_by(users.len() as u64);
        let lost: HashSet<&UserKey> = users.iter().collect();
        let waits = |delivery: &mut Delivery| delivery.is_of(&lost);
        let deliveries = job.deliveries.extract_if(.., waits).collect();
        Overtaken { users, deliveries }
    });
    shared.metrics.batches.inc();
    // Whose messages brought nothing about does not wait until the others' is told.
    let whose: HashSet<&UserKey> = committed.told.iter().map(|(key, _)| key).collect();
    let is_told = |delivery: &Delivery| !job.has_waited && !delivery.is_of(&whose);
    let (told, deliveries): (Vec<_>, Vec<_>) = job.deliveries.into_iter().partition(is_told);
    finish(shared, told, &Ok(()));
    if !committed.told.is_empty() || committed.note.is_some() || !deliveries.is_empty() {
        teller.tell(shared, Telling { committed, deliveries }, &carried);
    }
    overtaken
}

fn make_durable(shared: &Shared, commit: Commit) -> Result<Committed, Unavailable> {
    let started = Instant::now();
    let committed = shared.store.commit(commit).map_err(|error| shared.give_up(&error))?;
    shared.metrics.stages.commit.observe(started.elapsed().as_secs_f64());
    Ok(committed)
}

pub(super) fn answer(deliveries: Vec<Delivery>, result: &Result<(), Unavailable>) {
    for delivery in deliveries {
        // Whoever is told finds room for more.
        drop(delivery.permit);
        // Nobody waits any more when this fails.
        drop(delivery.done.send(result.clone().map(|()| delivery.aside)));
    }
}
