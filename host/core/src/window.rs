//! Windows: which span of time a feature looks at.

use crate::time::{Span, Time};

/// Which span of time a feature looks at. With every bound absent it is the user's lifetime.
///
/// At time `t` it holds the events with `t - within < time <= t - older_than` and
/// `from <= time < to`. No window sees an event later than `t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Only events younger than this.
    pub within: Option<Span>,
    /// Only events at least this old.
    pub older_than: Option<Span>,
    /// Only events at or after this instant.
    pub from: Option<Time>,
    /// Only events before this instant.
    pub to: Option<Time>,
}

/// The instants that a window holds at some time, both ends included; empty when `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The earliest instant inside.
    pub first: Time,
    /// The latest instant inside.
    pub last: Time,
}

impl Window {
    /// Everything up to now.
    pub const LIFETIME: Window = Window { within: None, older_than: None, from: None, to: None };

    /// The instants that the window holds at time `now`.
    pub fn extent(&self, now: Time) -> Extent {
        let rolling = self.within.map_or(Time::MIN, |within| (now - within).next());
        let newest = self.older_than.map_or(now, |older_than| now - older_than);
        let fixed = self.to.map_or(Time::MAX, Time::previous);
        Extent { first: rolling.max(self.from.unwrap_or(Time::MIN)), last: newest.min(fixed) }
    }

    /// When an event of that time becomes visible, and from when on it is visible no more; nothing
    /// when it never is.
    pub fn visibility(&self, event: Time) -> Option<(Time, Option<Time>)> {
        if self.from.is_some_and(|from| event < from) || self.to.is_some_and(|to| event >= to) {
            return None;
        }
        let enters = self.older_than.map_or(event, |older_than| event + older_than);
        Some((enters, self.within.map(|within| event + within)))
    }

    /// The earliest event time that this window can still see at `now` or later.
    pub fn horizon(&self, now: Time) -> Time {
        let rolling = self.within.map_or(Time::MIN, |within| (now - within).next());
        let fixed = self.from.unwrap_or(Time::MIN);
        rolling.max(fixed)
    }
}

impl Extent {
    /// Whether no instant lies inside.
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, time: Time) -> bool {
        self.first <= time && time <= self.last
    }
}
