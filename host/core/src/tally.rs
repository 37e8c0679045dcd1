//! Counts and sums over the intervals of a window, with bounds for those that straddle its edges.

use crate::answer::{Answer, Quantity};
use crate::feature::Aggregate;
use crate::interval::{Counted, Interval, Intervals, Numbers, Total};
use crate::window::Extent;

/// A total whose part can be bounded.
pub(crate) trait Measured: Total {
    /// What is summed up: nothing where only events are counted.
    type Sum: Summed;

    fn sum(&self) -> Self::Sum;
}

/// Sums of a few intervals.
pub(crate) trait Summed: Copy {
    const NOTHING: Self;

    fn add(&mut self, other: &Self);

    fn numbers(&self) -> Numbers;
}

/// Intervals that lie in a window altogether, and those of which only a part does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally<S> {
    count: u64,
    inside: S,
    /// How many events of the straddling intervals are inside at least, and at most.
    part_least: u64,
    part_most: u64,
    part: S,
}

impl Measured for Counted {
    type Sum = ();

    fn sum(&self) {}
}

impl Summed for () {
    const NOTHING: () = ();

    fn add(&mut self, (): &()) {}

    fn numbers(&self) -> Numbers {
        Numbers::NOTHING
    }
}

impl Measured for Numbers {
    type Sum = Numbers;

    fn sum(&self) -> Numbers {
        *self
    }
}

impl Summed for Numbers {
    const NOTHING: Numbers = Numbers { positive: 0, negative: 0, min: i128::MAX, max: i128::MIN };

    fn add(&mut self, other: &Numbers) {
        self.append(other);
    }

    fn numbers(&self) -> Numbers {
        *self
    }
}

impl<S: Summed> Default for Tally<S> {
    fn default() -> Tally<S> {
        Tally { count: 0, inside: S::NOTHING, part_least: 0, part_most: 0, part: S::NOTHING }
    }
}

impl<S: Summed> Tally<S> {
    /// The tally of the intervals in the extent.
    pub(crate) fn of<T: Measured<Sum = S>>(intervals: &Intervals<T>, extent: Extent) -> Tally<S> {
        let mut tally = Tally::default();
        for interval in &intervals.0[intervals.within(extent)] {
            let ends_inside =
                u64::from(interval.first >= extent.first) + u64::from(interval.last <= extent.last);
            match ends_inside {
                2 => tally.add(interval),
                ends => tally.add_part(interval, ends),
            }
        }
        tally
    }

    /// Adds an interval that lies inside altogether.
    pub(crate) fn add<T: Measured<Sum = S>>(&mut self, interval: &Interval<T>) {
        self.count += interval.count;
        self.inside.add(&interval.total.sum());
    }

    /// Adds an interval that straddles the window's edges, one or none of whose ends is inside.
    pub(crate) fn add_part<T: Measured<Sum = S>>(&mut self, interval: &Interval<T>, ends: u64) {
        self.part_least += ends;
        // Each end that is outside has at least one event.
        self.part_most += interval.count.saturating_sub(2 - ends);
        self.part.add(&interval.total.sum());
    }

    /// The least and the most that the aggregate can be.
    pub(crate) fn answer(&self, aggregate: Aggregate) -> Answer {
        let least = self.count + self.part_least;
        let most = self.count + self.part_most;
        if aggregate == Aggregate::Count {
            let (low, high) = (Quantity::count(least), Quantity::count(most));
            return Answer::Number { low, high, nothing: false };
        }
        if most == 0 {
            return Answer::Nothing;
        }
        let (low, high) = match aggregate {
            Aggregate::Sum => self.sum(),
            Aggregate::Min => self.min(),
            Aggregate::Max => self.max(),
            _ => self.avg(),
        };
        Answer::Number { low, high, nothing: least == 0 }
    }

    fn sum(&self) -> (Quantity, Quantity) {
        let numbers = self.inside.numbers();
        let sum = numbers.positive + numbers.negative;
        if self.part_most == 0 {
            return (Quantity::number(sum), Quantity::number(sum));
        }
        let part = self.part.numbers();
        (Quantity::number(sum + part.negative), Quantity::number(sum + part.positive))
    }

    fn min(&self) -> (Quantity, Quantity) {
        let inside = self.inside.numbers().min;
        if self.part_most == 0 {
            return (Quantity::number(inside), Quantity::number(inside));
        }
        let part = self.part.numbers();
        let high = if self.count > 0 { inside } else { part.max };
        (Quantity::number(inside.min(part.min)), Quantity::number(high))
    }

    fn max(&self) -> (Quantity, Quantity) {
        let inside = self.inside.numbers().max;
        if self.part_most == 0 {
            return (Quantity::number(inside), Quantity::number(inside));
        }
        let part = self.part.numbers();
        let low = if self.count > 0 { inside } else { part.min };
        (Quantity::number(low), Quantity::number(inside.max(part.max)))
    }

    /// The mean moves farthest when the most events of the part join, all of its extreme value.
    fn avg(&self) -> (Quantity, Quantity) {
        let numbers = self.inside.numbers();
        let (sum, count) = (numbers.positive + numbers.negative, self.count);
        let joined = |extreme: i128| {
            let part = extreme * i128::from(self.part_most);
            Quantity::mean(sum + part, count + self.part_most)
        };
        if self.part_most == 0 {
            return (Quantity::mean(sum, count), Quantity::mean(sum, count));
        }
        let part = self.part.numbers();
        if count == 0 {
            return (Quantity::number(part.min), Quantity::number(part.max));
        }
        let (low, high) = (joined(part.min), joined(part.max));
        let alone = Quantity::mean(sum, count);
        let least = if low < alone { low } else { alone };
        let greatest = if high > alone { high } else { alone };
        (least, greatest)
    }
}
