//! Lengths of time as definitions write them: `30d`.

use crate::diagnostic::quoted;
use muster_core::Span;

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.message(), self.help())]
pub enum SpanError {
    /// It does not begin with a positive whole number.
    Malformed {
        /// What was written.
        text: String,
    },
    /// It has no unit.
    NoUnit {
        /// What was written.
        text: String,
    },
    /// Its unit is none of those there are.
    UnknownUnit {
        /// The number that was written.
        number: String,
        /// The unit that was written after it.
        unit: String,
    },
    /// It is zero.
    Zero {
        /// What was written.
        text: String,
    },
    /// It is longer than the distance between any two instants.
    TooLong {
        /// What was written.
        text: String,
    },
}

impl SpanError {
    /// What is wrong.
    pub(crate) fn message(&self) -> String {
        match self {
            SpanError::Malformed { text } => format!("{} is not a length of time", quoted(text)),
            SpanError::NoUnit { text } => format!("{} has no unit", quoted(text)),
            SpanError::UnknownUnit { number, unit } => {
                let text = format!("{number}{unit}");
                format!("unit {} of {} is unknown", quoted(unit.trim()), quoted(&text))
            }
            SpanError::Zero { text } => format!("{} is no time at all", quoted(text)),
            SpanError::TooLong { text } => format!("{} is too long", quoted(text)),
        }
    }

    /// What to write instead.
    pub(crate) fn help(&self) -> String {
        match self {
            SpanError::Malformed { .. } => {
                "write a positive whole number and a unit, as in `30d`".to_owned()
            }
            SpanError::NoUnit { text } => {
                format!("write a unit after the number, as in {}", quoted(&format!("{text}d")))
            }
            SpanError::UnknownUnit { number, unit } => unit_help(number, unit),
            SpanError::Zero { .. } => "write a number of 1 or more".to_owned(),
            SpanError::TooLong { .. } => {
                "write at most 20000 years, or leave the window out for the lifetime".to_owned()
            }
        }
    }
}

/// The units and their milliseconds, the largest first.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a length of time: a positive whole number and one of `ms s m h d w`. A day is 24 hours.
///
/// ```
/// let span = muster_rules::parse_span("30d").unwrap();
/// assert_eq!(span.milliseconds(), 30 * 24 * 60 * 60 * 1000);
/// assert_eq!(
///     muster_rules::parse_span("30 days").unwrap_err().to_string(),
///     "unit `days` of `30 days` is unknown: write `30d`",
/// );
/// ```
///
/// # Errors
/// When the text is something else, or the length is beyond [`Span::MAX`].
pub fn parse_span(text: &str) -> Result<Span, SpanError> {
    let owned = || text.to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || unit.starts_with(['.', ',', '_', '+', '-']) {
        return Err(SpanError::Malformed { text: owned() });
    }
    if unit.is_empty() {
        return Err(SpanError::NoUnit { text: owned() });
    }
    let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(SpanError::UnknownUnit { number: number.to_owned(), unit: unit.to_owned() });
    };
    if number.bytes().all(|digit| digit == b'0') {
        return Err(SpanError::Zero { text: owned() });
    }
    number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(*milliseconds))
        .and_then(Span::from_milliseconds)
        .ok_or_else(|| SpanError::TooLong { text: owned() })
}

/// The span as [`parse_span`] reads it, in the largest unit that divides it; weeks in days, since
/// nobody thinks of 30 days and of 4 weeks in two units.
pub fn format_span(span: Span) -> String {
    let length = span.milliseconds();
    let (unit, milliseconds) =
        UNITS[1..].iter().find(|(_, size)| length % size == 0).copied().unwrap_or(("ms", 1));
    format!("{}{unit}", length / milliseconds)
}

fn unit_help(number: &str, unit: &str) -> String {
    let word = unit.trim().to_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| word.starts_with(prefix));
    let meant = if starts(&["mo", "y", "q"]) {
        return "write days, as in `30d`, since months and years differ in length".to_owned();
    } else if starts(&["ms", "mil"]) {
        "ms"
    } else if starts(&["m"]) {
        "m"
    } else if starts(&["s"]) {
        "s"
    } else if starts(&["h"]) {
        "h"
    } else if starts(&["d"]) {
        "d"
    } else if starts(&["w"]) {
        "w"
    } else {
        return "write one of `ms`, `s`, `m`, `h`, `d`, `w`".to_owned();
    };
    format!("write `{number}{meant}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match parse_span(text) {
            Ok(span) => format_span(span),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn reads_and_writes_spans() {
        check("30d", "30d");
        check("14d", "14d");
        check("2w", "14d");
        check("90s", "90s");
        check("120s", "2m");
        check("1500ms", "1500ms");
        check("36h", "36h");
    }

    #[test]
    fn says_what_is_wrong() {
        check(
            "",
            "`` is not a length of time: write a positive whole number and a unit, as in `30d`",
        );
        check(
            "-1d",
            "`-1d` is not a length of time: write a positive whole number and a unit, as in `30d`",
        );
        check(
            "1.5d",
            "`1.5d` is not a length of time: write a positive whole number and a unit, as in `30d`",
        );
        check("30", "`30` has no unit: write a unit after the number, as in `30d`");
        check("0d", "`0d` is no time at all: write a number of 1 or more");
        check("3D", "unit `D` of `3D` is unknown: write `3d`");
        check("5min", "unit `min` of `5min` is unknown: write `5m`");
        check(
            "1month",
            "unit `month` of `1month` is unknown: write days, as in `30d`, since months and years differ in length",
        );
        check("9x", "unit `x` of `9x` is unknown: write one of `ms`, `s`, `m`, `h`, `d`, `w`");
        check(
            "99999999999999999999w",
            "`99999999999999999999w` is too long: write at most 20000 years, or leave the window out for the lifetime",
        );
    }
}
