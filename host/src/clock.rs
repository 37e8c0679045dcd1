//! What time it is. Nothing else in the service reads the machine's clock.

use muster_core::Time;
use std::time::SystemTime;

/// A source of time for the service.
pub trait Clock: Send + Sync {
    /// The clock, given where it stood and the latest time that messages told of. It never goes
    /// back.
    fn advance(&self, stood: Time, told: Option<Time>) -> Time;

    /// Whether it is one with the clocks of other processes that share the store: each is told of a part of
    /// the messages, and users' timers are to fire by all of them.
    fn is_common(&self) -> bool;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

/// The latest time that a message told of.
#[derive(Clone, Copy, Debug)]
pub struct EventClock;

impl Clock for WallClock {
    fn advance(&self, stood: Time, _told: Option<Time>) -> Time {
        wall_time().max(stood)
    }

    /// A machine whose clock is ahead must not take the others along.
    fn is_common(&self) -> bool {
        false
    }
}

impl Clock for EventClock {
    fn advance(&self, stood: Time, told: Option<Time>) -> Time {
        told.map_or(stood, |told| told.max(stood))
    }

    fn is_common(&self) -> bool {
        true
    }
}

/// The machine's time.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_time() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    Time::from_milliseconds(milliseconds).unwrap_or(Time::EPOCH)
}
