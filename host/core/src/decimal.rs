//! Exact decimal numbers to nine places.

use std::fmt;

/// A decimal number with nine places, held as a whole number of billionths.
///
/// Numbers are rounded to nine places (half away from zero) when they arrive, so that sums over
/// any number of events are sums of whole numbers and do not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// Why a text is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a decimal number.
    #[error("not a number")]
    Malformed,
    /// The number is 10^18 or more, either side of zero.
    #[error("number too large: its size must stay below 10^18")]
    TooLarge,
}

/// How many places a [`Decimal`] keeps.
const PLACES: i64 = 9;
/// Billionths in one.
pub(crate) const ONE: i128 = 1_000_000_000;
/// Digits before the point that a [`Decimal`] may have. Leaves room in 128 bits for the sum of
/// 10^11 of the largest numbers, and for a threshold times a count.
const INTEGER_DIGITS_MAX: i64 = 18;

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal(0);

    /// A whole number of billionths, as [`Decimal::billionths`] gives it.
    pub const fn from_billionths(billionths: i128) -> Decimal {
        Decimal(billionths)
    }

    /// How many billionths the number holds.
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// A decimal literal as JSON writes it (`-12.5e3`), rounded half away from zero.
    ///
    /// ```
    /// use muster_core::Decimal;
    /// assert_eq!(Decimal::parse("1.5"), Decimal::parse("15e-1"));
    /// assert_eq!(Decimal::parse("0.0000000005").unwrap().to_string(), "0.000000001");
    /// ```
    ///
    /// # Errors
    /// When the text is no number, or one of 10^18 and more.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let literal = Literal::split(unsigned).ok_or(DecimalError::Malformed)?;
        let magnitude = literal.billionths()?;
        Ok(Decimal(if negative { -magnitude } else { magnitude }))
    }

    /// Whether the literal needs more than nine places, so that parsing it would round.
    pub fn is_rounded(text: &str) -> bool {
        Literal::split(text.trim_start_matches('-')).is_some_and(|literal| {
            let significant = literal.fraction.trim_end_matches('0');
            let places = if significant.is_empty() {
                -(literal.whole.len() as i64 - literal.whole.trim_end_matches('0').len() as i64)
            } else {
                significant.len() as i64
            };
            !(literal.whole.bytes().chain(literal.fraction.bytes())).all(|b| b == b'0')
                && places - literal.exponent > PLACES
        })
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Decimal {
        Decimal(i128::from(whole) * ONE)
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

/// An unsigned literal taken apart: `whole . fraction e exponent`.
struct Literal<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Literal<'a> {
    fn split(text: &'a str) -> Option<Literal<'a>> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        (!whole.is_empty() && digits(whole) && digits(fraction)).then_some(Literal {
            whole,
            fraction,
            exponent,
        })
    }

    fn billionths(&self) -> Result<i128, DecimalError> {
        let leading_zeros =
            (self.whole.bytes().chain(self.fraction.bytes())).take_while(|b| *b == b'0').count();
        let digits = (self.whole.bytes().chain(self.fraction.bytes()))
            .skip(leading_zeros)
            .map(|b| i128::from(b - b'0'));
        if leading_zeros == self.whole.len() + self.fraction.len() {
            return Ok(0);
        }
        let integer_digits = self.whole.len() as i64 - leading_zeros as i64 + self.exponent;
        if integer_digits > INTEGER_DIGITS_MAX {
            return Err(DecimalError::TooLarge);
        }
        let kept = integer_digits + PLACES;
        if kept < 0 {
            return Ok(0);
        }
        let mut digits = digits.chain(std::iter::repeat(0));
        let whole = (0..kept).fold(0i128, |sum, _| sum * 10 + digits.next().unwrap_or(0));
        let half = digits.next().unwrap_or(0) >= 5;
        let rounded = whole + i128::from(half);
        if rounded >= 10i128.pow((INTEGER_DIGITS_MAX + PLACES) as u32) {
            return Err(DecimalError::TooLarge);
        }
        Ok(rounded)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond this every number is nothing or too large, whatever its digits.
    let size = unsigned.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000_000);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Decimal::parse(text) {
            Ok(decimal) => decimal.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "`{text}`");
    }

    #[test]
    fn parses_rounds_and_prints() {
        check("0", "0");
        check("-0.0", "0");
        check("11.77", "11.77");
        check("-3.10", "-3.1");
        check("1e3", "1000");
        check("12.5E-1", "1.25");
        check("0.0000000004", "0");
        check("0.0000000005", "0.000000001");
        check("-0.0000000015", "-0.000000002");
        check("0.9999999999", "1");
        check("999999999999999999.999999999", "999999999999999999.999999999");
        check("999999999999999999.9999999999", "number too large: its size must stay below 10^18");
        check("1e18", "number too large: its size must stay below 10^18");
        check("0e99999999999999999999", "0");
        check("1e-99999999999999999999", "0");
        for malformed in ["", "-", ".5", "1.", "1e", "0x1", "NaN", "+1", "1 "] {
            check(malformed, "not a number");
        }
    }

    #[test]
    fn says_when_a_literal_would_be_rounded() {
        assert!(Decimal::is_rounded("0.1234567891"));
        assert!(Decimal::is_rounded("1e-10"));
        assert!(!Decimal::is_rounded("0.123456789000"));
        assert!(!Decimal::is_rounded("10e-10"));
        assert!(!Decimal::is_rounded("0e-99"));
    }
}
