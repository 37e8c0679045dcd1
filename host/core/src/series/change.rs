//! When an aggregate may next change by itself, as time passes.

use super::Series;
use crate::answer::Answer;
use crate::feature::Aggregate;
use crate::interval::Intervals;
use crate::tally::{Measured, Tally};
use crate::time::{Span, Time};
use crate::window::Window;

/// When there may be fewer events, if ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fewer(pub(crate) Option<Time>);

impl Series {
    /// The earliest instant after `now` at which the aggregate's answer may be other than `same`
    /// accepts, if nothing more happens.
    pub(crate) fn next_change(
        &self,
        aggregate: Aggregate,
        window: &Window,
        now: Time,
        same: &dyn Fn(&Answer) -> bool,
    ) -> Option<Time> {
        match self {
            Series::Count(intervals) if can_only_fade(intervals, window, now) => {
                fading_change(intervals, aggregate, window.within?, now, same)
            }
            Series::Numbers(intervals) if can_only_fade(intervals, window, now) => {
                fading_change(intervals, aggregate, window.within?, now, same)
            }
            Series::Distinct(values) if is_rolling(window) && values.newest() <= Some(now) => {
                values.fading_change(window.within?, now, same)
            }
            _ => self.change_at_edges(aggregate, window, now, same),
        }
    }

    /// The earliest instant after `now` at which there may be fewer events than that many in a
    /// window, of which there are as many at least now; looked for from the newest backwards, as
    /// far as those many.
    pub(crate) fn fewer_than(&self, least: u64, window: &Window, now: Time) -> Option<Fewer> {
        let Series::Count(intervals) = self else {
            return None;
        };
        if !can_only_fade(intervals, window, now) {
            return None;
        }
        let Some(within) = window.within.filter(|_| least > 0) else { return Some(Fewer(None)) };
        let mut newer = 0;
        for interval in intervals.0.iter().rev() {
            if newer + interval.count < least {
                newer += interval.count;
                continue;
            }
            // While an interval straddles the edge, no more than its last event is certain.
            let is_certain = interval.first == interval.last || newer + 1 >= least;
            let leaves = if is_certain { interval.last } else { interval.first };
            return Some(Fewer(Some(leaves + within).filter(|leaves| *leaves > now)));
        }
        None
    }

    /// [`Series::next_change`] by trying every instant at which something comes or goes. Of an
    /// interval that reaches beyond a fixed bound of the window, what lies inside comes and goes with
    /// that bound at the earliest and the latest.
    fn change_at_edges(
        &self,
        aggregate: Aggregate,
        window: &Window,
        now: Time,
        same: &dyn Fn(&Answer) -> bool,
    ) -> Option<Time> {
        let mut instants: Vec<Time> = Vec::new();
        let mut note = |instant: Time| {
            if let Some((enters, leaves)) = window.visibility(instant) {
                instants.extend(Some(enters).filter(|enters| *enters > now));
                instants.extend(leaves.filter(|leaves| *leaves > now));
            }
        };
        self.for_each_instant(&mut note);
        window.from.into_iter().chain(window.to.map(Time::previous)).for_each(note);
        instants.sort_unstable();
        instants.dedup();
        instants.into_iter().find(|instant| !same(&self.answer(aggregate, window, *instant)))
    }
}

/// Whether from now on the window can lose events and not gain any.
fn can_only_fade<T>(intervals: &Intervals<T>, window: &Window, now: Time) -> bool {
    intervals.0.last().is_none_or(|newest| newest.last <= now) && is_rolling(window)
}

/// Whether the window loses events and gains those alone that come.
fn is_rolling(window: &Window) -> bool {
    window.older_than.is_none() && window.from.is_none() && window.to.is_none()
}

/// [`Series::next_change`] for a window that can only lose events: from the newest backwards each
/// suffix of the intervals is summed once, and the walk visits each edge in order.
fn fading_change<T: Measured>(
    intervals: &Intervals<T>,
    aggregate: Aggregate,
    within: Span,
    now: Time,
    same: &dyn Fn(&Answer) -> bool,
) -> Option<Time> {
    let intervals = &intervals.0;
    let visible = intervals.partition_point(|interval| interval.last + within <= now);
    let visible = &intervals[visible..];
    // What is inside when all up to an interval are gone.
    let mut rests = vec![Tally::<T::Sum>::default(); visible.len()];
    for at in (1..visible.len()).rev() {
        rests[at - 1] = rests[at];
        rests[at - 1].add(&visible[at]);
    }
    for (interval, rest) in visible.iter().zip(&rests) {
        if interval.first < interval.last && interval.first + within > now {
            let mut straddled = *rest;
            straddled.add_part(interval, 1);
            if !same(&straddled.answer(aggregate)) {
                return Some(interval.first + within);
            }
        }
        if !same(&rest.answer(aggregate)) {
            return Some(interval.last + within);
        }
    }
    None
}
