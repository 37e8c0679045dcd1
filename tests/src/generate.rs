//! Random definitions and messages, as proptest strategies.
//!
//! Everything is small and close together, so that events meet windows' edges, values meet
//! thresholds, and times are equal: times are whole units of a random size, now and then a
//! millisecond off; there are few users, event names, properties and values.

mod definitions;
mod messages;

pub use definitions::definitions;
pub use messages::{hot_user, timeline};

/// The unit of time of a generated case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// How definitions write it.
    pub name: &'static str,
    /// Its length in milliseconds.
    pub length_ms: i64,
}

/// Every unit that durations are written in.
pub const UNITS: [Unit; 6] = [
    Unit { name: "ms", length_ms: 1 },
    Unit { name: "s", length_ms: 1_000 },
    Unit { name: "m", length_ms: 60_000 },
    Unit { name: "h", length_ms: 3_600_000 },
    Unit { name: "d", length_ms: 86_400_000 },
    Unit { name: "w", length_ms: 7 * 86_400_000 },
];

/// When generated events begin: 2026-01-01 00:00 UTC, in milliseconds since 1970.
pub const BEGINNING_MS: i64 = 1_767_225_600_000;

/// How many units generated events spread over, about.
const UNITS_MAX: i64 = 120;

const NAMES: [&str; 3] = ["buy", "view", "refund"];
const PROPERTIES: [&str; 3] = ["amount", "item", "odd"];
const CONTEXT_KEYS: [&str; 2] = ["platform", "app"];
const TEXTS: [&str; 4] = ["red", "Red", "green tea", "3"];
