//! Exact decimal numbers, as the host hands them over.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};

/// A decimal number with nine places, held as a whole number of billionths. It compares with whole
/// numbers, and adds without rounding:
///
/// ```
/// use muster_guest_sdk::Decimal;
/// let spent = Decimal::from(499) + Decimal::parse("0.99").unwrap();
/// assert!(spent < 500 && spent > 499);
/// assert_eq!(spent.to_string(), "499.99");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// Billionths in one.
const ONE: i128 = 1_000_000_000;
/// How many places there are.
const PLACES: usize = 9;
/// Digits before the point: numbers stay below 10^18.
const WHOLE_DIGITS_MAX: usize = 18;

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal(0);

    /// The number of that many billionths.
    pub const fn from_billionths(billionths: i128) -> Decimal {
        Decimal(billionths)
    }

    /// The number as a whole number of billionths.
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// The nearest floating-point number, for what needs no exactness: distances, logarithms.
    pub fn to_f64(self) -> f64 {
        // Dividing the parts apart keeps what lies behind the point.
        (self.0 / ONE) as f64 + (self.0 % ONE) as f64 / ONE as f64
    }

    /// A number as in `-12.5`: digits, and a point with up to nine more. Nothing when the text is
    /// something else, or the number is 10^18 or more.
    pub const fn parse(text: &str) -> Option<Decimal> {
        let bytes = text.as_bytes();
        let negative = !bytes.is_empty() && bytes[0] == b'-';
        let mut at = if negative { 1 } else { 0 };
        let (mut whole, mut places, mut value) = (0, None, 0i128);
        while at < bytes.len() {
            match (bytes[at], places) {
                (b'.', None) if whole > 0 => places = Some(0),
                (b'0'..=b'9', None) if whole < WHOLE_DIGITS_MAX => whole += 1,
                (b'0'..=b'9', Some(some)) if some < PLACES => places = Some(some + 1),
                _ => return None,
            }
            if bytes[at] != b'.' {
                value = value * 10 + (bytes[at] - b'0') as i128;
            }
            at += 1;
        }
        let mut places = match places {
            Some(0) => return None,
            Some(places) => places,
            None => 0,
        };
        if whole == 0 {
            return None;
        }
        while places < PLACES {
            value *= 10;
            places += 1;
        }
        Some(Decimal(if negative { -value } else { value }))
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Decimal {
        Decimal(i128::from(whole) * ONE)
    }
}

impl PartialEq<i64> for Decimal {
    fn eq(&self, other: &i64) -> bool {
        *self == Decimal::from(*other)
    }
}

impl PartialOrd<i64> for Decimal {
    fn partial_cmp(&self, other: &i64) -> Option<Ordering> {
        Some(self.cmp(&Decimal::from(*other)))
    }
}

impl Add for Decimal {
    type Output = Decimal;

    fn add(self, other: Decimal) -> Decimal {
        Decimal(self.0 + other.0)
    }
}

impl Sub for Decimal {
    type Output = Decimal;

    fn sub(self, other: Decimal) -> Decimal {
        Decimal(self.0 - other.0)
    }
}

impl Neg for Decimal {
    type Output = Decimal;

    fn neg(self) -> Decimal {
        Decimal(-self.0)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / ONE as u128, magnitude % ONE as u128);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let places = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", places.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let shown = Decimal::parse(text).map(|decimal| decimal.to_string());
        assert_eq!(shown.as_deref(), expected, "`{text}`");
    }

    #[test]
    fn reads_what_it_can_hold_exactly() {
        check("0", Some("0"));
        check("-3.10", Some("-3.1"));
        check("0.000000001", Some("0.000000001"));
        check("999999999999999999.999999999", Some("999999999999999999.999999999"));
        for malformed in ["", "-", ".5", "1.", "1e3", "+1", "0.0000000001", "1000000000000000000"] {
            check(malformed, None);
        }
    }
}
