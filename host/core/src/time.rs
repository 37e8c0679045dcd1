//! Instants and lengths of time, in milliseconds.

use std::ops::{Add, Sub};

/// An instant: milliseconds since 1970-01-01 00:00 UTC, negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A positive length of time in milliseconds. A day is 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Time {
    /// Where every clock starts.
    pub const EPOCH: Time = Time(0);
    /// The earliest instant, -9999-01-01 00:00 UTC. With [`Time::MAX`] it keeps sums of an instant
    /// and a span far from overflow.
    pub const MIN: Time = Time(-377_705_116_800_000);
    /// The latest instant, the last millisecond of the year 9999.
    pub const MAX: Time = Time(253_402_300_799_999);

    /// The instant that many milliseconds after 1970, if it lies within the years that count.
    pub const fn from_milliseconds(milliseconds: i64) -> Option<Time> {
        if milliseconds < Time::MIN.0 || milliseconds > Time::MAX.0 {
            return None;
        }
        Some(Time(milliseconds))
    }

    /// Milliseconds since 1970.
    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    /// The millisecond after this one.
    pub const fn next(self) -> Time {
        Time(self.0 + 1)
    }

    /// The millisecond before this one.
    pub const fn previous(self) -> Time {
        Time(self.0 - 1)
    }
}

impl Span {
    /// The longest span, 20,000 years: longer than the distance between any two instants.
    pub const MAX: Span = Span(20_000 * 366 * 86_400_000);

    /// A span of that many milliseconds, if it is positive and not longer than [`Span::MAX`].
    pub const fn from_milliseconds(milliseconds: i64) -> Option<Span> {
        if milliseconds <= 0 || milliseconds > Span::MAX.0 {
            return None;
        }
        Some(Span(milliseconds))
    }

    /// Its length in milliseconds.
    pub const fn milliseconds(self) -> i64 {
        self.0
    }
}

impl Add<Span> for Time {
    type Output = Time;

    fn add(self, span: Span) -> Time {
        Time(self.0 + span.0)
    }
}

impl Sub<Span> for Time {
    type Output = Time;

    fn sub(self, span: Span) -> Time {
        Time(self.0 - span.0)
    }
}
