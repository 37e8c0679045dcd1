//! Instants and windows as definitions write them.

use crate::diagnostic::quoted;
use crate::operand::Misfit;
use crate::span::format_span;
use jiff::{SignedDuration, Timestamp};
use muster_core::{Time, Window};

/// Reads an instant: `2026-01-03`, at 00:00 UTC, or an RFC 3339 date and time.
pub(crate) fn parse_time(text: &str) -> Result<Time, Misfit> {
    let parsed = if is_shaped(text, DATE) {
        format!("{text}T00:00:00Z").parse::<Timestamp>().ok()
    } else if is_date_time(text) {
        text.parse::<Timestamp>().ok()
    } else {
        None
    };
    let Some(timestamp) = parsed else {
        return Err(Misfit {
            message: format!("{} is not a date or an instant", quoted(text)),
            help: "write `2026-01-03` or `2026-01-03T09:00:00Z`".to_owned(),
        });
    };
    let whole = SignedDuration::from_millis(timestamp.as_millisecond());
    if timestamp.as_duration() != whole {
        return Err(Misfit {
            message: format!("{} is finer than a millisecond", quoted(text)),
            help: "write at most three places after the seconds".to_owned(),
        });
    }
    Time::from_milliseconds(timestamp.as_millisecond()).ok_or_else(|| Misfit {
        message: format!("{} lies beyond the years that count", quoted(text)),
        help: "write a year between 0000 and 9999".to_owned(),
    })
}

/// The instant as [`parse_time`] reads it, when its year has four digits.
pub(crate) fn format_time(time: Time) -> Option<String> {
    let timestamp = Timestamp::from_millisecond(time.milliseconds()).ok()?;
    let text = format!("{timestamp:.3}");
    parse_time(&text).ok().map(|_| text)
}

/// Reads an instant as definitions write it: a date, for 00:00 UTC, or an RFC 3339 time.
///
/// ```
/// let time = muster_rules::parse_instant("2026-01-03").unwrap();
/// assert_eq!(muster_rules::format_instant(time).unwrap(), "2026-01-03T00:00:00.000Z");
/// ```
pub fn parse_instant(text: &str) -> Option<Time> {
    parse_time(text).ok()
}

/// The instant as [`parse_instant`] reads it, unless it lies beyond the years that can be written.
pub fn format_instant(time: Time) -> Option<String> {
    format_time(time)
}

/// What contradicts itself in a window, and the key that is at fault.
pub(crate) fn check_window(window: &Window) -> Result<(), (&'static str, Misfit)> {
    if let (Some(within), Some(older_than)) = (window.within, window.older_than)
        && older_than >= within
    {
        let message = format!(
            "`older_than: {}` leaves nothing of `within: {}`",
            format_span(older_than),
            format_span(within)
        );
        let help = "write an `older_than` that is shorter than `within`".to_owned();
        return Err(("older_than", Misfit { message, help }));
    }
    if let (Some(from), Some(to)) = (window.from, window.to)
        && from >= to
    {
        let message = "`from` is not before `to`".to_owned();
        let help = "write the earlier one as `from`; `to` itself is left out".to_owned();
        return Err(("between", Misfit { message, help }));
    }
    Ok(())
}

/// A digit for each `0`, anything else for itself.
const DATE: &str = "0000-00-00";
const DATE_TIME: &str = "0000-00-00T00:00:00";
const OFFSET: &str = "00:00";

fn is_shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte.eq_ignore_ascii_case(&shape),
        })
}

/// The time library reads much more than RFC 3339 allows, and what only it reads would not be
/// portable to other tools.
fn is_date_time(text: &str) -> bool {
    let Some((start, rest)) = text.split_at_checked(DATE_TIME.len()) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    let has_offset = zone.strip_prefix(['+', '-']).is_some_and(|offset| is_shaped(offset, OFFSET));
    is_shaped(start, DATE_TIME) && (has_offset || zone.eq_ignore_ascii_case("z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match parse_time(text) {
            Ok(time) => format_time(time).unwrap(),
            Err(misfit) => misfit.message,
        };
        assert_eq!(shown, expected, "`{text}`");
    }

    #[test]
    fn reads_dates_and_instants() {
        check("2026-01-03", "2026-01-03T00:00:00.000Z");
        check("2026-01-03T09:00:00Z", "2026-01-03T09:00:00.000Z");
        check("2026-01-03t09:00:00.25+02:00", "2026-01-03T07:00:00.250Z");
        check("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        for wrong in
            ["2026-02-30", "2026-1-3", "2026-01-03 09:00:00Z", "2026-01-03T09:00:00", "today"]
        {
            check(wrong, &format!("`{wrong}` is not a date or an instant"));
        }
        check(
            "2026-01-03T09:00:00.0001Z",
            "`2026-01-03T09:00:00.0001Z` is finer than a millisecond",
        );
    }
}
