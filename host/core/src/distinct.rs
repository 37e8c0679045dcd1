//! The different values of a property: which there were, and when each was first and last seen.

use crate::answer::{Answer, Quantity};
use crate::codec::{Damaged, Reader, put_signed, put_unsigned};
use crate::interval::Edges;
use crate::time::{Span, Time};
use crate::value::Value;
use crate::window::Extent;

/// A value's identity: 128 bits of a hash of its type and content. Two of a user's few hundred
/// values share one with a chance below 10^-33.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity(u128);

/// The most recently seen values, and what is known of those no longer kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DistinctValues {
    /// Sorted by identity.
    kept: Vec<Seen>,
    /// How many values had to be forgotten; one may have been forgotten more than once.
    forgotten: u64,
    /// When the last of the forgotten was seen last.
    forgotten_last: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    identity: Identity,
    first: Time,
    last: Time,
    count: u64,
}

impl Identity {
    pub(crate) fn of(value: &Value) -> Identity {
        let mut bytes = Vec::with_capacity(32);
        crate::codec::put_value(&mut bytes, value);
        Identity(xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

impl DistinctValues {
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.forgotten == 0
    }

    pub(crate) fn insert(&mut self, time: Time, identity: Identity) {
        match self.kept.binary_search_by_key(&identity, |seen| seen.identity) {
            Ok(at) => {
                let seen = &mut self.kept[at];
                seen.first = seen.first.min(time);
                seen.last = seen.last.max(time);
                seen.count += 1;
            }
            Err(at) => {
                self.kept.insert(at, Seen { identity, first: time, last: time, count: 1 });
            }
        }
    }

    /// How many different values the extent holds.
    pub(crate) fn answer(&self, extent: Extent) -> Answer {
        if extent.is_empty() {
            return Answer::exactly(Quantity::count(0));
        }
        let (mut sure, mut possible) = (0, 0);
        for seen in &self.kept {
            if extent.contains(seen.last) || extent.contains(seen.first) {
                sure += 1;
            } else if seen.first < extent.first && seen.last > extent.last && seen.count > 2 {
                possible += 1;
            }
        }
        if self.forgotten_last.is_some_and(|last| last >= extent.first) {
            possible += self.forgotten;
        }
        Answer::Number {
            low: Quantity::count(sure),
            high: Quantity::count(sure + possible),
            nothing: false,
        }
    }

    /// Drops what no window will see again, then forgets the least recently seen beyond `room`.
    pub(crate) fn compact(&mut self, edges: &Edges, room: usize, now: Time) {
        let horizon = edges.horizon(now);
        self.kept.retain(|seen| seen.last >= horizon);
        if self.forgotten_last.is_some_and(|last| last < horizon) {
            (self.forgotten, self.forgotten_last) = (0, None);
        }
        let excess = self.kept.len().saturating_sub(room);
        if excess == 0 {
            return;
        }
        let mut oldest: Vec<(Time, Identity)> =
            self.kept.iter().map(|seen| (seen.last, seen.identity)).collect();
        oldest.select_nth_unstable(excess - 1);
        let forget = &mut oldest[..excess];
        self.forgotten_last = self.forgotten_last.max(forget.iter().map(|(last, _)| *last).max());
        self.forgotten += excess as u64;
        forget.sort_by_key(|(_, identity)| *identity);
        self.kept.retain(|seen| {
            forget.binary_search_by_key(&seen.identity, |(_, identity)| *identity).is_err()
        });
    }

    /// The instants at which values come into view or go out of it.
    pub(crate) fn instants(&self) -> impl Iterator<Item = Time> + '_ {
        let seen = self.kept.iter().flat_map(|seen| [seen.first, seen.last]);
        seen.chain(self.forgotten_last)
    }

    /// The latest instant that is kept.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.instants().max()
    }

    /// The earliest instant after `now` at which the answer over the last `within` is other than
    /// `same` accepts, when nothing is later than `now`: each value goes with its last event.
    pub(crate) fn fading_change(
        &self,
        within: Span,
        now: Time,
        same: &dyn Fn(&Answer) -> bool,
    ) -> Option<Time> {
        let mut lasts: Vec<Time> = self.kept.iter().map(|seen| seen.last).collect();
        lasts.sort_unstable();
        let mut instants: Vec<Time> = lasts.iter().copied().chain(self.forgotten_last).collect();
        instants.sort_unstable();
        instants.dedup();
        let leaving = instants.into_iter().filter(|last| *last + within > now);
        let differs = |left: &Time| {
            let sure = (lasts.len() - lasts.partition_point(|last| last <= left)) as u64;
            let is_possible = self.forgotten_last.is_some_and(|last| last > *left);
            let most = sure + if is_possible { self.forgotten } else { 0 };
            let (low, high) = (Quantity::count(sure), Quantity::count(most));
            !same(&Answer::Number { low, high, nothing: false })
        };
        leaving.into_iter().find(differs).map(|left| left + within)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, base: i64) {
        put_unsigned(out, self.kept.len() as u64);
        for seen in &self.kept {
            out.extend_from_slice(&seen.identity.0.to_le_bytes());
            put_signed(out, seen.last.milliseconds() - base);
            put_signed(out, seen.last.milliseconds() - seen.first.milliseconds());
            put_unsigned(out, seen.count);
        }
        put_unsigned(out, self.forgotten);
        if let Some(last) = self.forgotten_last {
            put_signed(out, last.milliseconds() - base);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, base: i64) -> Result<DistinctValues, Damaged> {
        let length = reader.length()?;
        let mut kept = Vec::with_capacity(length);
        for _ in 0..length {
            let bytes = reader.bytes(16)?.try_into().map_err(|_| Damaged)?;
            let last = reader.time_after(base)?;
            let first = last.milliseconds().checked_sub(reader.signed()?).ok_or(Damaged)?;
            kept.push(Seen {
                identity: Identity(u128::from_le_bytes(bytes)),
                first: Time::from_milliseconds(first).ok_or(Damaged)?,
                last,
                count: reader.unsigned()?,
            });
        }
        let forgotten = reader.unsigned()?;
        let forgotten_last = if forgotten > 0 { Some(reader.time_after(base)?) } else { None };
        Ok(DistinctValues { kept, forgotten, forgotten_last })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "instants of a test are instants")]

    use super::*;
    use crate::interval::Edges;
    use crate::window::Window;

    fn time(milliseconds: i64) -> Time {
        Time::from_milliseconds(milliseconds).unwrap()
    }

    /// The first instant at which the answer is another, by looking at every one.
    fn next_by_looking(values: &DistinctValues, window: &Window, now: i64) -> Option<Time> {
        let answer = |at: i64| values.answer(window.extent(time(at)));
        (now + 1..now + 100).find(|at| answer(*at) != answer(now)).map(time)
    }

    #[test]
    fn values_fade_when_their_last_event_does() {
        let within = Span::from_milliseconds(40).unwrap();
        let window = Window { within: Some(within), ..Window::LIFETIME };
        for room in [3, 5, 100] {
            let mut values = DistinctValues::default();
            for now in 0..120 {
                let value = Value::Number((now * now % 7).into());
                if now % 3 == 0 {
                    values.insert(time(now), Identity::of(&value));
                }
                values.compact(&Edges::new(vec![window]), room, time(now));
                let answer = values.answer(window.extent(time(now)));
                let same = |other: &Answer| *other == answer;
                let next = values.fading_change(within, time(now), &same);
                assert_eq!(next, next_by_looking(&values, &window, now), "at {now}, room {room}");
            }
        }
    }
}
