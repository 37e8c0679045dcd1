//! Intervals: a user's events of one series, summed over stretches of time.
//!
//! An event starts as an interval of its own. When there are too many, neighbours are merged, and
//! what is known of them is their sum and where they began and ended. An interval of one instant
//! can never straddle a window's edge; one that does leaves a range of possible values.

use crate::event::Arrival;
use crate::plan::Reach;
use crate::time::{Span, Time};
use crate::value::Value;
use crate::window::{Extent, Window};
use std::ops::Range;

/// What an interval keeps beside its bounds and its count.
pub(crate) trait Total: Sized {
    /// Adds an event that arrived after all that are in; `at_end` when none of them is later.
    fn add(&mut self, event: Self, at_end: bool);
    /// Adds the interval that follows this one.
    fn append(&mut self, next: &Self);
}

/// The total of a series that only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted;

/// The total of a series of numbers, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The sum of those above zero. Refunds are kept apart: a part of the interval may hold the
    /// ones without the others.
    pub(crate) positive: i128,
    /// The sum of those below zero.
    pub(crate) negative: i128,
    pub(crate) min: i128,
    pub(crate) max: i128,
}

/// The total of a series of which the first and the last value count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) first: Value,
    pub(crate) last: Value,
}

/// A stretch of time with at least one event at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interval<T> {
    pub(crate) first: Time,
    pub(crate) last: Time,
    pub(crate) count: u64,
    pub(crate) total: T,
}

/// The intervals of a series: sorted, no two sharing an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals<T>(pub(crate) Vec<Interval<T>>);

/// Where windows cut a series, now and later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edges {
    windows: Vec<Window>,
    /// How far behind the clock each moving edge runs, in milliseconds, sorted.
    lengths_ms: Vec<i64>,
    /// The bounds of fixed windows, sorted.
    cuts: Vec<Time>,
}

/// How many intervals a series may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Merged intervals.
    pub(crate) intervals: usize,
    /// The newest ones, which are not merged, beside them.
    pub(crate) newest: usize,
    /// Those that an edge is about to cross, which are merged last, beside them.
    pub(crate) crossing: usize,
}

impl Total for Counted {
    fn add(&mut self, _: Counted, _: bool) {}

    fn append(&mut self, _: &Counted) {}
}

impl Numbers {
    pub(crate) fn one(billionths: i128) -> Numbers {
        Numbers {
            positive: billionths.max(0),
            negative: billionths.min(0),
            min: billionths,
            max: billionths,
        }
    }
}

impl Total for Numbers {
    fn add(&mut self, event: Numbers, _: bool) {
        self.append(&event);
    }

    fn append(&mut self, next: &Numbers) {
        self.positive += next.positive;
        self.negative += next.negative;
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
    }
}

impl Total for Ends {
    fn add(&mut self, event: Ends, at_end: bool) {
        if at_end {
            self.last = event.last;
        }
    }

    fn append(&mut self, next: &Ends) {
        self.last = next.last.clone();
    }
}

impl<T> Interval<T> {
    pub(crate) fn at(time: Time, total: T) -> Interval<T> {
        Interval { first: time, last: time, count: 1, total }
    }
}

impl Edges {
    pub(crate) fn new(mut windows: Vec<Window>) -> Edges {
        windows.sort();
        windows.dedup();
        let moving = windows.iter().flat_map(|window| [window.within, window.older_than]).flatten();
        let mut lengths_ms: Vec<i64> = moving.map(|span| span.milliseconds()).collect();
        lengths_ms.sort_unstable();
        lengths_ms.dedup();
        let mut cuts: Vec<Time> =
            windows.iter().flat_map(|window| [window.from, window.to]).flatten().collect();
        cuts.sort();
        cuts.dedup();
        Edges { windows, lengths_ms, cuts }
    }

    /// Whether some window sees, at `now` or later, an event of that time.
    pub(crate) fn see(&self, time: Time, now: Time) -> bool {
        self.windows.iter().any(|window| {
            let visible = window.visibility(time);
            visible.is_some_and(|(_, leaves)| leaves.is_none_or(|leaves| leaves > now))
        })
    }

    /// Whether each event that some window of the others sees, now or later, is seen by one of these.
    pub(crate) fn cover(&self, others: &Edges) -> bool {
        let covers = |one: &Window, other: &Window| {
            let as_long = |one: Span| other.within.is_some_and(|other| other <= one);
            one.within.is_none_or(as_long)
                && one.from.is_none_or(|one| other.from.is_some_and(|other| other >= one))
                && one.to.is_none_or(|one| other.to.is_some_and(|other| other <= one))
        };
        others.windows.iter().all(|other| self.windows.iter().any(|one| covers(one, other)))
    }

    /// When the last moving edge has passed an event of that time; never when a window has none,
    /// or sees events only later.
    pub(crate) fn leaves(&self, time: Time) -> Option<Time> {
        let reach = self
            .windows
            .iter()
            .map(|window| window.within)
            .max_by_key(|within| within.map_or(i64::MAX, |within| within.milliseconds()));
        reach.flatten().map(|within| time + within)
    }

    /// The earliest event time that some window sees at `now` or later.
    pub(crate) fn horizon(&self, now: Time) -> Time {
        self.windows.iter().map(|window| window.horizon(now)).min().unwrap_or(Time::MIN)
    }

    /// How far back the windows look.
    pub(crate) fn reach(&self) -> Reach {
        let forever = |window: &Window| window.within.is_none();
        if self.windows.iter().any(forever) { Reach::Forever } else { Reach::Span(self.reach_ms()) }
    }

    /// How far behind the clock the farthest moving edge runs, in milliseconds.
    fn reach_ms(&self) -> i64 {
        self.lengths_ms.last().copied().unwrap_or(0)
    }

    /// Whether no edge will ever again lie between the two instants.
    fn spare(&self, first: Time, last: Time, now: Time) -> bool {
        last.milliseconds() <= now.milliseconds() - self.reach_ms() && !self.cut(first, last)
    }

    /// Whether a moving edge will pass the instant within that many milliseconds.
    fn nears(&self, time: Time, now: Time, ahead_ms: i64) -> bool {
        let age = now.milliseconds() - time.milliseconds();
        self.lengths_ms.iter().any(|length| (0..=ahead_ms).contains(&(length - age)))
    }

    fn cut(&self, first: Time, last: Time) -> bool {
        let next = self.cuts.partition_point(|cut| *cut <= first);
        self.cuts.get(next).is_some_and(|cut| *cut <= last)
    }
}

impl<T: Total> Intervals<T> {
    /// Adds an event that arrived after all that are in.
    pub(crate) fn insert(&mut self, time: Time, total: T) {
        let at = self.0.partition_point(|interval| interval.last < time);
        match self.0.get_mut(at) {
            Some(interval) if interval.first <= time => {
                interval.count += 1;
                interval.total.add(total, time == interval.last);
            }
            _ => self.0.insert(at, Interval::at(time, total)),
        }
    }

    /// The intervals that lie in the extent at least in part; the first and the last of them may
    /// straddle its ends.
    pub(crate) fn within(&self, extent: Extent) -> Range<usize> {
        if extent.is_empty() {
            return 0..0;
        }
        let start = self.0.partition_point(|interval| interval.last < extent.first);
        let end = self.0.partition_point(|interval| interval.first <= extent.last);
        start..end.max(start)
    }

    /// Drops what no window will see again, and merges neighbours until they fit: first those that
    /// no edge will ever part, then the lightest, and last those that an edge is about to cross.
    ///
    /// Merging the lightest neighbours keeps every interval near N/B events (N events, B
    /// intervals), so that a straddled interval costs few rows of history wherever it lies. When its
    /// events are read they take its place, and stay until the edge has passed: a crossing is read
    /// once, and not once an event.
    pub(crate) fn compact(&mut self, edges: &Edges, room: Room, now: Time) {
        let horizon = edges.horizon(now);
        self.0.retain(|interval| interval.last >= horizon);
        self.merge_spare(edges, now);
        let excess = self.0.len().saturating_sub(room.intervals + room.newest);
        if excess == 0 {
            return;
        }
        let (oldest, newest) = (&self.0[0], &self.0[self.0.len() - 1]);
        let covered = newest.last.milliseconds() - oldest.first.milliseconds();
        let ahead_ms = covered / (room.intervals as i64);
        let crossed = self.0.iter().filter(|one| edges.nears(one.first, now, ahead_ms)).count();
        for _ in crossed.min(room.crossing)..excess {
            let mergeable = self.0.len().saturating_sub(room.newest);
            let weight = |at: &usize| {
                let (one, next) = (&self.0[*at], &self.0[*at + 1]);
                let crossing = edges.nears(one.first, now, ahead_ms);
                (crossing || edges.cut(one.first, next.last), one.count + next.count)
            };
            let Some(lightest) = (0..mergeable.saturating_sub(1)).min_by_key(weight) else {
                return;
            };
            let next = self.0.remove(lightest + 1);
            self.0[lightest].append(&next);
        }
    }

    fn merge_spare(&mut self, edges: &Edges, now: Time) {
        self.0.dedup_by(|next, one| {
            let spare = edges.spare(one.first, next.last, now);
            if spare {
                one.append(next);
            }
            spare
        });
    }

    /// Puts the events themselves in the place of the intervals that lie within the extent.
    pub(crate) fn refine(&mut self, extent: Extent, events: impl Iterator<Item = (Time, T)>) {
        let range = self.within(extent);
        let mut fine = Intervals(Vec::new());
        for (time, total) in events {
            fine.insert(time, total);
        }
        self.0.splice(range, fine.0);
    }
}

impl<T: Total> Interval<T> {
    fn append(&mut self, next: &Interval<T>) {
        self.last = next.last;
        self.count += next.count;
        self.total.append(&next.total);
    }
}

/// The arrivals of one name, or of all, within the extent: sorted by time and number, as history
/// gives them.
pub(crate) fn arrivals_within(arrivals: &[Arrival], extent: Extent) -> &[Arrival] {
    let start = arrivals.partition_point(|arrival| arrival.event.time < extent.first);
    let end = arrivals.partition_point(|arrival| arrival.event.time <= extent.last);
    &arrivals[start..end.max(start)]
}
