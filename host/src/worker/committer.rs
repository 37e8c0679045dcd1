//! The thread that makes turns durable, one after the other.

use super::{Delivery, Shared, Unavailable};
use crate::store::Commit;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;
use std::time::Instant;

/// A turn to be committed, and who waits for it.
pub(super) struct Job {
    pub(super) commit: Commit,
    pub(super) deliveries: Vec<Delivery>,
}

/// The thread, which holds one turn at a time.
pub(super) struct Committer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Committer> {
        let (jobs, taken) = mpsc::sync_channel::<Job>(0);
        let thread =
            std::thread::Builder::new().name("muster-commit".to_string()).spawn(move || {
                for job in taken {
                    commit(&shared, job);
                }
            })?;
        Ok(Committer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Lets go of something on a thread where nobody waits for it.
    pub(super) fn dispose(&self, thing: impl Send + 'static) {
        let disposing = std::thread::Builder::new().name("muster-dispose".to_string());
        if let Err(error) = disposing.spawn(move || drop(thing)) {
            tracing::warn!(%error, "no thread to let go of old rules on");
        }
    }

    /// Hands a turn over, when the one before it is committed.
    pub(super) fn submit(&self, job: Job) {
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|error| error.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            answer(job.deliveries, &Err(Unavailable::ShuttingDown));
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has closed its channel, which its callers were told of.
            drop(thread.join());
        }
    }
}

fn commit(shared: &Shared, job: Job) {
    let failure = shared.failure();
    let result = match failure {
        Some(reason) => Err(Unavailable::StoreFailed(reason)),
        None => {
            let started = Instant::now();
            let committed = shared.store.commit(job.commit);
            let seconds = started.elapsed().as_secs_f64();
            shared.metrics.stages.commit.observe(seconds);
            committed.map_err(|error| {
                shared.fail(&error.to_string());
                Unavailable::StoreFailed(error.to_string().into())
            })
        }
    };
    if result.is_ok() {
        shared.metrics.batches.inc();
        shared.committed.send_modify(|commits| *commits += 1);
    }
    answer(job.deliveries, &result);
}

pub(super) fn answer(deliveries: Vec<Delivery>, result: &Result<(), Unavailable>) {
    for delivery in deliveries {
        // Whoever is told finds room for more.
        drop(delivery.permit);
        // Nobody waits any more when this fails.
        drop(delivery.done.send(result.clone()));
    }
}
