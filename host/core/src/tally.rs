//! Counts and sums over the intervals of a window, with bounds for those that straddle its edges.

use crate::answer::{Answer, Quantity};
use crate::feature::Aggregate;
use crate::interval::{Counted, Interval, Intervals, Numbers, Total};
use crate::window::Extent;

/// A total whose part can be bounded.
pub(crate) trait Measured: Total {
    fn numbers(&self) -> Numbers;
}

/// Intervals that lie in a window altogether, and those of which only a part does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    inside: Sum,
    /// How many events of the straddling intervals are inside at least, and at most.
    part_least: u64,
    part_most: u64,
    part: Sum,
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    count: u64,
    numbers: Numbers,
}

impl Measured for Counted {
    fn numbers(&self) -> Numbers {
        Numbers::one(0)
    }
}

impl Measured for Numbers {
    fn numbers(&self) -> Numbers {
        *self
    }
}

impl Sum {
    const NOTHING: Sum = Sum {
        count: 0,
        numbers: Numbers { positive: 0, negative: 0, min: i128::MAX, max: i128::MIN },
    };

    fn with<T: Measured>(mut self, interval: &Interval<T>) -> Sum {
        self.count += interval.count;
        self.numbers.append(&interval.total.numbers());
        self
    }

    fn sum(&self) -> i128 {
        self.numbers.positive + self.numbers.negative
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { inside: Sum::NOTHING, part_least: 0, part_most: 0, part: Sum::NOTHING }
    }
}

impl Tally {
    /// The tally of the intervals in the extent.
    pub(crate) fn of<T: Measured>(intervals: &Intervals<T>, extent: Extent) -> Tally {
        let mut tally = Tally::default();
        for interval in &intervals.0[intervals.within(extent)] {
            let ends_inside =
                u64::from(interval.first >= extent.first) + u64::from(interval.last <= extent.last);
            tally = match ends_inside {
                2 => tally.with(interval),
                ends => tally.with_part(interval, ends),
            };
        }
        tally
    }

    /// This and an interval that lies inside altogether.
    pub(crate) fn with<T: Measured>(mut self, interval: &Interval<T>) -> Tally {
        self.inside = self.inside.with(interval);
        self
    }

    /// This and an interval that straddles the window's edges, one or none of whose ends is inside.
    pub(crate) fn with_part<T: Measured>(mut self, interval: &Interval<T>, ends: u64) -> Tally {
        self.part_least += ends;
        // Each end that is outside has at least one event.
        self.part_most += interval.count.saturating_sub(2 - ends);
        self.part = self.part.with(interval);
        self
    }

    /// The least and the most that the aggregate can be.
    pub(crate) fn answer(&self, aggregate: Aggregate) -> Answer {
        let least = self.inside.count + self.part_least;
        let most = self.inside.count + self.part_most;
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
        let sum = self.inside.sum();
        if self.part_most == 0 {
            return (Quantity::number(sum), Quantity::number(sum));
        }
        let part = self.part.numbers;
        (Quantity::number(sum + part.negative), Quantity::number(sum + part.positive))
    }

    fn min(&self) -> (Quantity, Quantity) {
        let inside = self.inside.numbers.min;
        if self.part_most == 0 {
            return (Quantity::number(inside), Quantity::number(inside));
        }
        let part = self.part.numbers;
        let high = if self.inside.count > 0 { inside } else { part.max };
        (Quantity::number(inside.min(part.min)), Quantity::number(high))
    }

    fn max(&self) -> (Quantity, Quantity) {
        let inside = self.inside.numbers.max;
        if self.part_most == 0 {
            return (Quantity::number(inside), Quantity::number(inside));
        }
        let part = self.part.numbers;
        let low = if self.inside.count > 0 { inside } else { part.min };
        (Quantity::number(low), Quantity::number(inside.max(part.max)))
    }

    /// The mean moves farthest when the most events of the part join, all of its extreme value.
    fn avg(&self) -> (Quantity, Quantity) {
        let (sum, count) = (self.inside.sum(), self.inside.count);
        let joined = |extreme: i128| {
            let part = extreme * i128::from(self.part_most);
            Quantity::mean(sum + part, count + self.part_most)
        };
        if self.part_most == 0 {
            return (Quantity::mean(sum, count), Quantity::mean(sum, count));
        }
        let part = self.part.numbers;
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
