//! Messages at a steady rate, whatever is answered, and how long each waits until it is durable.

use super::report::Durations;
use super::rig;
use crate::clock::wall_time;
use crate::store::UserKey;
use crate::worker::{Durable, Worker};
use fastrand::Rng;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Sends one message after the other, that far apart, and gives how long they waited.
pub(super) fn steadily(
    time: Duration,
    every: Duration,
    mut send: impl FnMut() -> anyhow::Result<Durable>,
) -> anyhow::Result<Durations> {
    let (sent, waiting) = mpsc::channel::<(Instant, Durable)>();
    std::thread::scope(|scope| {
        // Answers come in the order of the deliveries.
        let answered = scope.spawn(move || {
            let mut durations = Durations::default();
            for (begun, durable) in waiting {
                durable.blocking_recv()??;
                durations.add(begun.elapsed());
            }
            Ok(durations)
        });
        let begun = Instant::now();
        let mut due = begun;
        while due < begun + time {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // What is late was due all the same.
            if sent.send((due, send()?)).is_err() {
                break;
            }
            due += every;
        }
        drop(sent);
        match answered.join() {
            Ok(durations) => durations,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Hands over a message of one event, now.
pub(super) fn deliver(
    worker: &Worker,
    rng: &mut Rng,
    workspace: &str,
    user: &str,
) -> anyhow::Result<Durable> {
    let key = UserKey { workspace: workspace.into(), user: user.into() };
    let message = rig::message(rng, None, wall_time());
    let permit = worker.reserve(1)?;
    Ok(worker.deliver(vec![(key, message)], Vec::new(), permit))
}
