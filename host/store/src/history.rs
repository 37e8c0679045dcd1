//! How a user's events are divided into rows.

use muster_core::{Arrival, Time};

/// How much time one row of history spans at the most, so that a read of a span need look only so
/// far before it for rows that reach into it.
pub(crate) const HISTORY_ROW_SPAN_MS: i64 = 3_600_000;

/// Gives each row that events make: they have one name, and are in the order of time and arrival.
pub(crate) fn each_row(mut events: Vec<Arrival>, mut row: impl FnMut(&[Arrival])) {
    events.sort_by(|one, other| {
        let order = |a: &Arrival| (a.event.time, a.number);
        one.event.name.cmp(&other.event.name).then(order(one).cmp(&order(other)))
    });
    let in_one_row = |one: &[Arrival], next: &Arrival| {
        let first = one[0].event.time.milliseconds();
        one[0].event.name == next.event.name
            && next.event.time.milliseconds() - first <= HISTORY_ROW_SPAN_MS
    };
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let length = (1..rest.len()).find(|at| !in_one_row(rest, &rest[*at]));
        let (of_row, after) = rest.split_at(length.unwrap_or(rest.len()));
        row(of_row);
        rest = after;
    }
}

/// The earliest that a row may begin which reaches to that instant.
pub(crate) fn reaching(from: Time) -> Time {
    let before = from.milliseconds().saturating_sub(HISTORY_ROW_SPAN_MS);
    Time::from_milliseconds(before).unwrap_or(Time::MIN)
}
