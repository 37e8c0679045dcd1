//! How long to wait between two attempts.
use std::time::{Duration, Instant};

use crate::PulsarError;

/// While a broker loads a partition or lets go of a name it is asked again, a moment long. More of it
/// is for the status to tell of.
const ATTEMPTS_MAX: u32 = 8;
const ATTEMPT_AFTER: Duration = Duration::from_millis(250);

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

/// What a first attempt gives, or one of those that follow it while a broker only needs a moment.
pub(crate) async fn patiently<T, A>(attempt: impl Fn() -> A) -> Result<T, PulsarError>
where
    A: Future<Output = Result<T, PulsarError>>,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(PulsarError::Busy { .. } | PulsarError::Taken { .. })
                if attempts < ATTEMPTS_MAX =>
            {
                attempts += 1;
                tokio::time::sleep(ATTEMPT_AFTER).await;
            }
            done => return done,
        }
    }
}
