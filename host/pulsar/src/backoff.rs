//! How long to wait between two attempts.
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

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
