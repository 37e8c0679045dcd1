//! When a user is evaluated again in what a module failed to decide.

use crate::codec::{Damaged, Reader, put_signed, put_unsigned};
use crate::time::Time;

/// The first wait: long enough for a moment of overload to pass, and hardly noticed.
const FIRST_MS: i64 = 1_000;
/// The longest wait. A module fails a user as long as her conditions and its code stay what they
/// are, and both bring an evaluation about when they change; so asking rarely is enough.
const LONGEST_MS: i64 = 3_600_000;

/// A user's next attempt. Each wait is twice the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    due: Time,
    wait_ms: i64,
}

impl Retry {
    /// The attempt after one that failed at that instant; none beyond the end of time.
    pub(crate) fn after(before: Option<Retry>, at: Time) -> Option<Retry> {
        let wait_ms = before.map_or(FIRST_MS, |before| (2 * before.wait_ms).min(LONGEST_MS));
        let due = at.milliseconds().saturating_add(wait_ms);
        Time::from_milliseconds(due).map(|due| Retry { due, wait_ms })
    }

    pub(crate) fn due(&self) -> Time {
        self.due
    }

    /// Encodes an attempt, or that there is none, beside the instant of the last evaluation.
    pub(crate) fn encode(retry: Option<Retry>, evaluated_at: Time, out: &mut Vec<u8>) {
        let (wait_ms, after_ms) = retry.map_or((0, 0), |retry| {
            (retry.wait_ms, retry.due.milliseconds() - evaluated_at.milliseconds())
        });
        put_unsigned(out, wait_ms as u64);
        if retry.is_some() {
            put_signed(out, after_ms);
        }
    }

    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        evaluated_at: Time,
    ) -> Result<Option<Retry>, Damaged> {
        let wait_ms = i64::try_from(reader.unsigned()?).map_err(|_| Damaged)?;
        match wait_ms {
            0 => Ok(None),
            FIRST_MS..=LONGEST_MS => {
                let due = evaluated_at.milliseconds().checked_add(reader.signed()?);
                let due = due.and_then(Time::from_milliseconds).ok_or(Damaged)?;
                Ok(Some(Retry { due, wait_ms }))
            }
            _ => Err(Damaged),
        }
    }
}
