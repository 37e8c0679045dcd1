//! Versions of users' rows, by which processes that share a store find out that another was quicker.

use muster_core::{AudienceKey, Time};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Bits of a version by which processes are told apart, and as many for the writes of one: what is left of
/// 128 counts.
const UNIQUE_BITS: u32 = 48;

/// A version of a user's row. No two writes ever make the same one, so a write that counts only from
/// the version that was read can never rest on something else. Its highest bits count the versions of the
/// row, by which what is written beside it is told from what was written for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u128);

impl Version {
    /// A version that there never was, as the first of a row.
    pub fn fresh() -> Version {
        Version::after(None)
    }

    /// A version that there never was, as the next after one.
    pub fn after(before: Option<Version>) -> Version {
        Version::beyond(before.map_or(0, Version::generation))
    }

    /// A version that there never was, of a row of which there were so many.
    pub(crate) fn beyond(generation: u32) -> Version {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..1 << UNIQUE_BITS));
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let write = WRITES.fetch_add(1, Ordering::Relaxed) % (1 << UNIQUE_BITS);
        let generation = generation.saturating_add(1);
        let unique = u128::from(*PROCESS) << UNIQUE_BITS | u128::from(write);
        Version(u128::from(generation) << (2 * UNIQUE_BITS) | unique)
    }

    /// How many versions of the row there were with this one.
    pub fn generation(self) -> u32 {
        (self.0 >> (2 * UNIQUE_BITS)) as u32
    }

    /// Its stored form.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: [u8; 16]) -> Version {
        Version(u128::from_be_bytes(bytes))
    }
}

/// A transition to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number among the user's transitions, from 1.
    pub number: u64,
    /// The transition as JSON, without the line's end.
    pub json: Vec<u8>,
}

/// What was committed of a user, and perhaps not told: whoever commits next tells it before its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Transitions, in order.
    pub lines: Vec<Line>,
    /// Audiences entered, since when, and audiences left.
    pub members: Vec<(AudienceKey, Option<Time>)>,
}

/// What a shared store has to know of a record that a step begins from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The version of the row; none when there was no row.
    pub version: Option<Version>,
    /// The instant under which her timer is found. It may lie before it is due, never after.
    pub hint: Option<Time>,
    /// What is yet to be told.
    pub untold: Option<Arc<Untold>>,
}

impl Stamp {
    /// The stamp after a commit that leaves a timer due at that instant, brought about by the timer found
    /// under another, if it was one. A hint that lies early enough is left where it is: moving it costs
    /// two writes, and looking once too often costs one.
    pub fn after(&self, due: Option<Time>, fired: Option<Time>) -> Stamp {
        let is_used_up = fired.is_some_and(|fired| self.hint.is_none_or(|hint| hint <= fired));
        let hint = if is_used_up { None } else { self.hint };
        let hint = hint.into_iter().chain(due).min();
        Stamp { version: Some(Version::after(self.version)), hint, untold: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Option<Time> {
        Time::from_milliseconds(milliseconds)
    }

    #[test]
    fn a_hint_lies_never_after_what_is_due() {
        let of = |hint| Stamp { hint, ..Stamp::default() };
        assert_eq!(of(None).after(at(5), None).hint, at(5));
        assert_eq!(of(at(3)).after(at(5), None).hint, at(3));
        assert_eq!(of(at(7)).after(at(5), None).hint, at(5));
        assert_eq!(of(at(3)).after(None, None).hint, at(3));
        assert_eq!(of(at(3)).after(at(5), at(3)).hint, at(5));
        assert_eq!(of(at(3)).after(None, at(3)).hint, None);
        // A hint that somebody else wrote, and that is not this user's any more.
        assert_eq!(of(at(4)).after(at(5), at(3)).hint, at(4));
    }

    #[test]
    fn versions_are_never_made_twice() {
        let made: std::collections::HashSet<Version> =
            (0..1_000).map(|_| Version::fresh()).collect();
        assert_eq!(made.len(), 1_000);
        let version = Version::fresh();
        assert_eq!(Version::from_bytes(version.to_bytes()), version);
    }

    #[test]
    fn versions_of_a_row_are_counted() {
        let first = Version::fresh();
        let second = Version::after(Some(first));
        assert_eq!([first, second].map(Version::generation), [1, 2]);
        let last = Version::from_bytes([0xff; 16]);
        assert_eq!(Version::after(Some(last)).generation(), u32::MAX);
    }
}
