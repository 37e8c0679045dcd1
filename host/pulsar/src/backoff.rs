//! What a client waits for, and how long between two attempts.
use std::time::{Duration, Instant};

use tokio::sync::watch;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// How a source or a sink stands with its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every partition has a client at work.
    Connected,
    /// The client is being built anew.
    Waiting {
        /// What went wrong last.
        reason: String,
        /// When it first did.
        since: Instant,
    },
}

/// Reports a failure; `since` stays that of the first of a row.
pub(crate) fn report(status: &watch::Sender<Status>, reason: String) {
    status.send_modify(|status| {
        let since = match status {
            Status::Connected => Instant::now(),
            Status::Waiting { since, .. } => *since,
        };
        *status = Status::Waiting { reason, since };
    });
}

/// Pauses that double, up to a longest one, each shortened by chance so that the instances that one
/// broker has lost do not come back as one.
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// Something worked: pauses start over, if it worked for longer than the longest of them. A
    /// client that is built and fails at once must not be built without pause.
    pub(crate) fn worked_since(&mut self, start: Instant) {
        if start.elapsed() > LONGEST {
            self.next = FIRST;
        }
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.next = (self.next * 2).min(LONGEST);
    }
}
