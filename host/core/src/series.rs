//! A series: one user's accumulated values for a selector and a value property.

mod change;

use crate::answer::{Answer, Quantity};
use crate::codec::{Damaged, Reader, put_billionths, put_signed, put_unsigned};
use crate::distinct::{DistinctValues, Identity};
use crate::event::Arrival;
use crate::feature::{Aggregate, Selector};
use crate::interval::{Counted, Edges, Ends, Interval, Intervals, Numbers, Room, Total};
use crate::tally::Tally;
use crate::time::Time;
use crate::value::Value;
use crate::window::{Extent, Window};

/// What a series accumulates; a few aggregates share each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SeriesKind {
    Count,
    Numbers,
    Ends,
    Distinct,
}

/// What a series is stored under: a hash of its kind, selector and value property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesKey(pub(crate) u64);

/// The accumulated values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    Count(Intervals<Counted>),
    Numbers(Intervals<Numbers>),
    Ends(Intervals<Ends>),
    Distinct(DistinctValues),
}

/// How much a series may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesRoom {
    pub(crate) intervals: Room,
    /// Different values kept beside each other.
    pub(crate) values: usize,
}

impl SeriesKind {
    pub(crate) fn of(aggregate: Aggregate) -> SeriesKind {
        match aggregate {
            Aggregate::Count => SeriesKind::Count,
            Aggregate::Sum | Aggregate::Min | Aggregate::Max | Aggregate::Avg => {
                SeriesKind::Numbers
            }
            Aggregate::First | Aggregate::Last => SeriesKind::Ends,
            Aggregate::Distinct => SeriesKind::Distinct,
        }
    }

    pub(crate) fn empty(self) -> Series {
        match self {
            SeriesKind::Count => Series::Count(Intervals(Vec::new())),
            SeriesKind::Numbers => Series::Numbers(Intervals(Vec::new())),
            SeriesKind::Ends => Series::Ends(Intervals(Vec::new())),
            SeriesKind::Distinct => Series::Distinct(DistinctValues::default()),
        }
    }
}

impl SeriesKey {
    pub(crate) fn of(kind: SeriesKind, selector: &Selector, of: Option<&str>) -> SeriesKey {
        let content = format!("{kind:?} {:?} {selector}", of.unwrap_or_default());
        SeriesKey(xxhash_rust::xxh3::xxh3_64(content.as_bytes()))
    }
}

impl Series {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Series::Count(intervals) => intervals.0.is_empty(),
            Series::Numbers(intervals) => intervals.0.is_empty(),
            Series::Ends(intervals) => intervals.0.is_empty(),
            Series::Distinct(values) => values.is_empty(),
        }
    }

    /// Adds a selected event by its value; one whose value the kind skips changes nothing.
    pub(crate) fn insert(&mut self, time: Time, value: Option<&Value>) {
        match (self, value) {
            (Series::Count(intervals), _) => intervals.insert(time, Counted),
            (Series::Numbers(intervals), Some(Value::Number(number))) => {
                intervals.insert(time, Numbers::one(number.billionths()));
            }
            (Series::Ends(intervals), Some(value)) => {
                intervals.insert(time, Ends { first: value.clone(), last: value.clone() });
            }
            (Series::Distinct(values), Some(value)) => values.insert(time, Identity::of(value)),
            _ => {}
        }
    }

    pub(crate) fn compact(&mut self, edges: &Edges, room: SeriesRoom, now: Time) {
        match self {
            Series::Count(intervals) => intervals.compact(edges, room.intervals, now),
            Series::Numbers(intervals) => intervals.compact(edges, room.intervals, now),
            Series::Ends(intervals) => intervals.compact(edges, room.intervals, now),
            Series::Distinct(values) => values.compact(edges, room.values, now),
        }
    }

    /// What the aggregate is worth over a window at `now`.
    pub(crate) fn answer(&self, aggregate: Aggregate, window: &Window, now: Time) -> Answer {
        let extent = window.extent(now);
        match self {
            Series::Count(intervals) => Tally::of(intervals, extent).answer(aggregate),
            Series::Numbers(intervals) => Tally::of(intervals, extent).answer(aggregate),
            Series::Ends(intervals) => intervals.answer(aggregate, extent),
            Series::Distinct(values) => values.answer(extent),
        }
    }

    /// When no window of these edges will see any of the events any more, if that is certain.
    pub(crate) fn empty_from(&self, edges: &Edges) -> Option<Time> {
        let mut newest = None;
        self.for_each_instant(|instant| newest = newest.max(Some(instant)));
        edges.leaves(newest?)
    }

    /// The spans of history to read for an exact answer: those of the intervals that straddle the
    /// window's edges, or all from its beginning for values that were forgotten.
    pub(crate) fn straddled(&self, window: &Window, now: Time) -> Vec<Extent> {
        let extent = window.extent(now);
        match self {
            Series::Count(intervals) => intervals.straddled(extent),
            Series::Numbers(intervals) => intervals.straddled(extent),
            Series::Ends(intervals) => intervals.straddled(extent),
            // With what is yet to come into the window, so that the next change is known too.
            Series::Distinct(_) => vec![Extent { first: extent.first, last: Time::MAX }],
        }
    }

    /// Puts what history says of a span in the place of what the series kept of it. Values are
    /// given in the order of time and arrival. Different values are not refined: see
    /// [`count_distinct`].
    pub(crate) fn refine(&mut self, extent: Extent, events: &[(Time, Option<&Value>)]) {
        let events = events.iter().copied();
        match self {
            Series::Count(intervals) => {
                intervals.refine(extent, events.map(|(time, _)| (time, Counted)));
            }
            Series::Numbers(intervals) => intervals.refine(
                extent,
                events.filter_map(|(time, value)| {
                    Some((time, Numbers::one(value?.number()?.billionths())))
                }),
            ),
            Series::Ends(intervals) => intervals.refine(
                extent,
                events.filter_map(|(time, value)| {
                    Some((time, Ends { first: value?.clone(), last: value?.clone() }))
                }),
            ),
            Series::Distinct(_) => {}
        }
    }

    fn for_each_instant(&self, mut see: impl FnMut(Time)) {
        fn bounds<T>(intervals: &Intervals<T>, see: &mut impl FnMut(Time)) {
            for interval in &intervals.0 {
                see(interval.first);
                see(interval.last);
            }
        }
        match self {
            Series::Count(intervals) => bounds(intervals, &mut see),
            Series::Numbers(intervals) => bounds(intervals, &mut see),
            Series::Ends(intervals) => bounds(intervals, &mut see),
            Series::Distinct(values) => values.instants().for_each(see),
        }
    }
}

/// How many different values the arrivals have, exactly, and the first instant after `now` at which
/// one of them comes into view or goes out of it.
pub(crate) fn count_distinct(
    arrivals: &[Arrival],
    property: &str,
    window: &Window,
    now: Time,
) -> (Answer, Option<Time>) {
    let extent = window.extent(now);
    let mut identities = Vec::new();
    let mut next: Option<Time> = None;
    for arrival in arrivals {
        let Some(value) = arrival.event.property(property) else { continue };
        if extent.contains(arrival.event.time) {
            identities.push(Identity::of(value));
        }
        if let Some((enters, leaves)) = window.visibility(arrival.event.time) {
            let instants = [Some(enters), leaves].into_iter().flatten();
            next = instants.filter(|instant| *instant > now).chain(next).min();
        }
    }
    identities.sort_unstable();
    identities.dedup();
    (Answer::exactly(Quantity::count(identities.len() as u64)), next)
}

impl<T: Total> Intervals<T> {
    fn straddled(&self, extent: Extent) -> Vec<Extent> {
        self.0[self.within(extent)]
            .iter()
            .filter(|interval| interval.first < extent.first || interval.last > extent.last)
            .map(|interval| Extent { first: interval.first, last: interval.last })
            .collect()
    }
}

impl Intervals<Ends> {
    fn answer(&self, aggregate: Aggregate, extent: Extent) -> Answer {
        let inside = &self.0[self.within(extent)];
        let [oldest, ..] = inside else { return Answer::Nothing };
        let newest = &inside[inside.len() - 1];
        // Between the ends of one straddling interval there may be events or not.
        if inside.len() == 1 && oldest.first < extent.first && oldest.last > extent.last {
            return if oldest.count > 2 { Answer::Unknown } else { Answer::Nothing };
        }
        match aggregate {
            Aggregate::First if oldest.first >= extent.first => {
                Answer::Value(oldest.total.first.clone())
            }
            Aggregate::Last if newest.last <= extent.last => {
                Answer::Value(newest.total.last.clone())
            }
            _ => Answer::Unknown,
        }
    }
}

const KIND_COUNT: u8 = 0;
const KIND_NUMBERS: u8 = 1;
const KIND_ENDS: u8 = 2;
const KIND_DISTINCT: u8 = 3;

impl Series {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Series::Count(intervals) => {
                out.push(KIND_COUNT);
                encode_intervals(intervals, out, |_, _| {});
            }
            Series::Numbers(intervals) => {
                out.push(KIND_NUMBERS);
                encode_intervals(intervals, out, |interval, out| {
                    let total = interval.total;
                    put_billionths(out, 0, total.max);
                    if interval.count > 1 {
                        put_billionths(out, 0, total.min);
                        put_billionths(out, 0, total.positive);
                        put_billionths(out, 0, total.negative);
                    }
                });
            }
            Series::Ends(intervals) => {
                out.push(KIND_ENDS);
                encode_intervals(intervals, out, |interval, out| {
                    crate::codec::put_value(out, &interval.total.first);
                    if interval.count > 1 {
                        crate::codec::put_value(out, &interval.total.last);
                    }
                });
            }
            Series::Distinct(values) => {
                out.push(KIND_DISTINCT);
                values.encode(out, 0);
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Series, Damaged> {
        let mut reader = Reader::new(bytes);
        let series = match reader.byte()? {
            KIND_COUNT => Series::Count(decode_intervals(&mut reader, |_, _| Ok(Counted))?),
            KIND_NUMBERS => Series::Numbers(decode_intervals(&mut reader, |reader, count| {
                let max = reader.billionths()?;
                if count == 1 {
                    return Ok(Numbers::one(max));
                }
                let (min, positive) = (reader.billionths()?, reader.billionths()?);
                Ok(Numbers { positive, negative: reader.billionths()?, min, max })
            })?),
            KIND_ENDS => Series::Ends(decode_intervals(&mut reader, |reader, count| {
                let first = reader.value()?;
                let last = if count > 1 { reader.value()? } else { first.clone() };
                Ok(Ends { first, last })
            })?),
            KIND_DISTINCT => Series::Distinct(DistinctValues::decode(&mut reader, 0)?),
            _ => return Err(Damaged),
        };
        if reader.is_empty() { Ok(series) } else { Err(Damaged) }
    }
}

/// From the newest backwards, each by its distance to the one after it.
fn encode_intervals<T>(
    intervals: &Intervals<T>,
    out: &mut Vec<u8>,
    put_total: impl Fn(&Interval<T>, &mut Vec<u8>),
) {
    put_unsigned(out, intervals.0.len() as u64);
    let mut after = 0;
    for interval in intervals.0.iter().rev() {
        let single = interval.count == 1;
        let distance = after - interval.last.milliseconds();
        put_signed(out, (distance << 1) | i64::from(single));
        if !single {
            put_unsigned(out, interval.count);
            put_unsigned(
                out,
                (interval.last.milliseconds() - interval.first.milliseconds()) as u64,
            );
        }
        put_total(interval, out);
        after = interval.first.milliseconds();
    }
}

fn decode_intervals<T>(
    reader: &mut Reader<'_>,
    take_total: impl Fn(&mut Reader<'_>, u64) -> Result<T, Damaged>,
) -> Result<Intervals<T>, Damaged> {
    let length = reader.length()?;
    let mut intervals = Vec::with_capacity(length);
    let mut after = 0i64;
    for _ in 0..length {
        let packed = reader.signed()?;
        let last = after.checked_sub(packed >> 1).ok_or(Damaged)?;
        let (count, width) =
            if packed & 1 == 1 { (1, 0) } else { (reader.unsigned()?, reader.unsigned()?) };
        let first = last.checked_sub_unsigned(width).ok_or(Damaged)?;
        intervals.push(Interval {
            first: Time::from_milliseconds(first).ok_or(Damaged)?,
            last: Time::from_milliseconds(last).ok_or(Damaged)?,
            count,
            total: take_total(reader, count)?,
        });
        after = first;
    }
    intervals.reverse();
    Ok(Intervals(intervals))
}
