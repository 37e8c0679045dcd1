//! Windows and aggregates, computed as they are defined.

use muster_core::{Aggregate, Comparison, Decimal, Event, Test, Time, Value, Window};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Whether the window holds that event time at `now`.
pub(super) fn in_window(window: &Window, time: Time, now: Time) -> bool {
    time <= now
        && window.within.is_none_or(|within| now - within < time)
        && window.older_than.is_none_or(|older_than| time <= now - older_than)
        && window.from.is_none_or(|from| from <= time)
        && window.to.is_none_or(|to| time < to)
}

/// Whether the comparison holds for the aggregate of these events, given by time and arrival.
pub(super) fn is_true(
    comparison: &Comparison,
    aggregate: Aggregate,
    of: Option<&str>,
    events: &[&Event],
) -> bool {
    let present: Vec<&Value> =
        events.iter().filter_map(|event| event.property(of.unwrap_or_default())).collect();
    let numbers: Vec<i128> =
        present.iter().filter_map(|value| value.number()).map(Decimal::billionths).collect();
    let sum: i128 = numbers.iter().sum();
    let number = |billionths: i128| Value::Number(Decimal::from_billionths(billionths));
    let whole = |count: usize| Value::Number(Decimal::from(count as i64));
    let value: Option<Value> = match aggregate {
        Aggregate::Count => Some(whole(events.len())),
        Aggregate::Distinct => Some(whole(present.iter().collect::<BTreeSet<_>>().len())),
        Aggregate::Sum if numbers.is_empty() => None,
        Aggregate::Sum => Some(number(sum)),
        Aggregate::Min => numbers.iter().min().copied().map(number),
        Aggregate::Max => numbers.iter().max().copied().map(number),
        Aggregate::First => present.first().copied().cloned(),
        Aggregate::Last => present.last().copied().cloned(),
        Aggregate::Avg if numbers.is_empty() => None,
        Aggregate::Avg => {
            let mean = Mean { sum, count: numbers.len() as i128 };
            return comparison.tests().iter().all(|test| mean.passes(test));
        }
    };
    comparison.holds(value.as_ref())
}

/// A mean that is never divided.
struct Mean {
    sum: i128,
    count: i128,
}

impl Mean {
    fn compare(&self, threshold: Decimal) -> Ordering {
        self.sum.cmp(&(threshold.billionths() * self.count))
    }

    fn equals(&self, operand: &Value) -> bool {
        operand.number().is_some_and(|number| self.compare(number).is_eq())
    }

    fn passes(&self, test: &Test) -> bool {
        match test {
            Test::Equal(operand) => self.equals(operand),
            Test::NotEqual(operand) => !self.equals(operand),
            Test::Greater(number) => self.compare(*number).is_gt(),
            Test::GreaterOrEqual(number) => self.compare(*number).is_ge(),
            Test::Less(number) => self.compare(*number).is_lt(),
            Test::LessOrEqual(number) => self.compare(*number).is_le(),
            Test::In(operands) => operands.iter().any(|operand| self.equals(operand)),
            Test::NotIn(operands) => !operands.iter().any(|operand| self.equals(operand)),
            Test::Exists(expected) => *expected,
            Test::Contains(_) | Test::StartsWith(_) | Test::EndsWith(_) | Test::Matches(_) => false,
            Test::NotContains(_)
            | Test::NotStartsWith(_)
            | Test::NotEndsWith(_)
            | Test::NotMatches(_) => true,
        }
    }
}
