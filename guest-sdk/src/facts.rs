//! What a module is told of a user.

use crate::{Decimal, Value};

/// One, in billionths: numbers have nine places and are handed over as whole billionths.
pub const ONE: i128 = 1_000_000_000;

/// What is known of the user at the instant of the call. Conditions and values are named by their
/// index in the manifest.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Ascending.
    conditions: &'a [u32],
    values: &'a [Value],
}

impl<'a> Facts<'a> {
    /// Those conditions hold, in ascending order, and no others; and those are the values, in the
    /// order of the manifest. Rules are tested with facts made by hand:
    ///
    /// ```
    /// use muster_guest_sdk::{Facts, Value};
    /// let values = [Value::None, Value::Text("US".to_owned())];
    /// let facts = Facts::new(&[0, 2], &values);
    /// assert!(facts.holds(2) && !facts.holds(1));
    /// assert_eq!(facts.text(1), Some("US"));
    /// assert_eq!(facts.text(0), None);
    /// ```
    pub fn new(conditions: &'a [u32], values: &'a [Value]) -> Facts<'a> {
        Facts { conditions, values }
    }

    /// Whether that condition holds.
    pub fn holds(&self, condition: u32) -> bool {
        self.conditions.binary_search(&condition).is_ok()
    }

    /// That value; `Value::None` when there is none, and when the manifest lists no such value.
    pub fn value(&self, index: usize) -> &'a Value {
        self.values.get(index).unwrap_or(&Value::None)
    }

    /// That value in billionths, if it is a number.
    pub fn number(&self, index: usize) -> Option<i128> {
        match self.value(index) {
            Value::Number(number) => Some(number.billionths()),
            _ => None,
        }
    }

    /// That value, if it is a text.
    pub fn text(&self, index: usize) -> Option<&'a str> {
        match self.value(index) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// That value, if it is true or false.
    pub fn boolean(&self, index: usize) -> Option<bool> {
        match self.value(index) {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }
}

impl Decimal {
    /// The number as a whole number of billionths.
    pub fn billionths(self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    /// The number of that many billionths.
    pub fn from_billionths(billionths: i128) -> Decimal {
        Decimal { high: (billionths >> 64) as i64, low: billionths as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_sign_and_size() {
        for billionths in [0, 1, -1, 12 * ONE, -12 * ONE, i128::from(u64::MAX) + 1, i128::MIN] {
            assert_eq!(Decimal::from_billionths(billionths).billionths(), billionths);
        }
    }
}
