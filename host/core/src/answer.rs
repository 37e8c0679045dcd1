//! What a feature is worth, exactly or within bounds, and what that makes of a comparison.

use crate::comparison::Comparison;
use crate::decimal::Decimal;
use crate::feature::Aggregate;
use crate::value::Value;
use std::cmp::Ordering;

/// A number as a fraction: billionths over a positive count. Means stay exact this way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    billionths: i128,
    over: i128,
}

/// What is known of a feature's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// It has no value.
    Nothing,
    /// It is a number from `low` to `high`, both possible as far as is known, or, when `nothing`,
    /// it may also have no value.
    Number { low: Quantity, high: Quantity, nothing: bool },
    /// It is this value.
    Value(Value),
    /// It may be anything.
    Unknown,
}

impl Quantity {
    pub(crate) fn count(count: u64) -> Quantity {
        Quantity { billionths: Decimal::from(count as i64).billionths(), over: 1 }
    }

    pub(crate) fn number(billionths: i128) -> Quantity {
        Quantity { billionths, over: 1 }
    }

    /// A sum of billionths over a count of at least one.
    pub(crate) fn mean(billionths: i128, count: u64) -> Quantity {
        Quantity { billionths, over: i128::from(count.max(1)) }
    }

    pub(crate) fn compare(self, operand: Decimal) -> Ordering {
        if self.over == 1 {
            return self.billionths.cmp(&operand.billionths());
        }
        self.billionths.cmp(&(operand.billionths() * self.over))
    }

    /// The nearest decimal, halves away from zero.
    pub(crate) fn decimal(self) -> Decimal {
        let (quotient, rest) = (self.billionths / self.over, self.billionths % self.over);
        let away = if rest.abs() * 2 >= self.over { rest.signum() } else { 0 };
        Decimal::from_billionths(quotient + away)
    }

    fn middle(self, other: Quantity) -> Quantity {
        Quantity::number((self.decimal().billionths() + other.decimal().billionths()) / 2)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Quantity {
    /// Whole parts first, so that cross-multiplying is left to remainders and cannot overflow.
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        if self.over == other.over {
            return Some(self.billionths.cmp(&other.billionths));
        }
        let whole = |quantity: &Quantity| quantity.billionths.div_euclid(quantity.over);
        let rest = |quantity: &Quantity| quantity.billionths.rem_euclid(quantity.over);
        let by_rest = || (rest(self) * other.over).cmp(&(rest(other) * self.over));
        Some(whole(self).cmp(&whole(other)).then_with(by_rest))
    }
}

impl Answer {
    pub(crate) fn exactly(quantity: Quantity) -> Answer {
        Answer::Number { low: quantity, high: quantity, nothing: false }
    }

    /// What an aggregate of nothing is worth.
    pub(crate) fn of_nothing(aggregate: Aggregate) -> Answer {
        match aggregate {
            Aggregate::Count | Aggregate::Distinct => Answer::exactly(Quantity::count(0)),
            _ => Answer::Nothing,
        }
    }

    /// Whether only one value is possible.
    pub(crate) fn is_exact(&self) -> bool {
        match self {
            Answer::Nothing | Answer::Value(_) => true,
            Answer::Number { low, high, nothing } => low == high && !nothing,
            Answer::Unknown => false,
        }
    }

    /// The value, when only one is possible.
    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Answer::Value(value) => Some(value.clone()),
            Answer::Number { low, .. } => Some(Value::Number(low.decimal())),
            Answer::Nothing | Answer::Unknown => None,
        }
    }

    /// Whether the comparison holds, when every possible value gives it the same truth.
    pub(crate) fn truth(&self, comparison: &Comparison) -> Option<bool> {
        match self {
            Answer::Nothing => Some(comparison.holds(None)),
            Answer::Value(value) => Some(comparison.holds(Some(value))),
            Answer::Unknown => None,
            Answer::Number { low, high, nothing } => {
                let same_side = |operand| low.compare(operand) == high.compare(operand);
                let truth = holds(comparison, *low);
                let decided = (low == high || comparison.thresholds().all(same_side))
                    && (!nothing || comparison.holds(None) == truth);
                decided.then_some(truth)
            }
        }
    }

    /// How far the middle may lie from the true value, as a share of the middle: at most 1, which
    /// says that nothing is known.
    pub(crate) fn error_bound(&self) -> f64 {
        match self {
            Answer::Nothing | Answer::Value(_) => 0.0,
            Answer::Number { low, high, nothing: false } => {
                let [low, high] = [low, high].map(|end| end.decimal().billionths() as f64);
                let (half, middle) = ((high - low) / 2.0, ((high + low) / 2.0).abs());
                if half < middle { half / middle } else { f64::from(u8::from(half > 0.0)) }
            }
            Answer::Number { .. } | Answer::Unknown => 1.0,
        }
    }

    /// The truth in the middle of what is possible: the best guess when history may not be read.
    pub(crate) fn likely_truth(&self, comparison: &Comparison) -> bool {
        match self {
            Answer::Number { low, high, .. } => holds(comparison, low.middle(*high)),
            Answer::Value(value) => comparison.holds(Some(value)),
            Answer::Nothing | Answer::Unknown => comparison.holds(None),
        }
    }
}

fn holds(comparison: &Comparison, quantity: Quantity) -> bool {
    comparison.tests().iter().all(|test| test.holds_number(|operand| quantity.compare(operand)))
}
