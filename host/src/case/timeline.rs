//! What a replay reads and what it must say: the common ground of the naive evaluator and of what
//! is tested against it.

use muster_core::{Cause, Change, Message, Time};
use std::sync::Arc;

/// Whose message, membership or transition it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey {
    /// The tenant.
    pub workspace: Arc<str>,
    /// The user within it.
    pub user: Arc<str>,
}

/// One thing that happens in a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message arrives.
    Message(UserKey, Message),
    /// A run ends: at this instant, or where the clock stands. What follows is read by another run
    /// that goes on from where this one left off.
    End(Option<Time>),
}

/// A transition, and which entry of the timeline brought it about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The index of the entry; timers belong to the one that moved the clock past them.
    pub entry: usize,
    /// Who entered or left.
    pub user: UserKey,
    /// Its number among the user's transitions, from 1.
    pub number: u64,
    /// The audience's id.
    pub audience: Arc<str>,
    /// Entered or left.
    pub change: Change,
    /// When it took effect.
    pub at: Time,
    /// What brought it about.
    pub cause: Cause,
}

/// A user in an audience.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// Who.
    pub user: UserKey,
    /// In which audience.
    pub audience: Arc<str>,
    /// Since when.
    pub since: Time,
}

/// All that a replay says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Who entered and left, in order.
    pub transitions: Vec<Told>,
    /// The memberships at each end of a run, sorted.
    pub memberships: Vec<Vec<Membership>>,
    /// The first decision that a module failed to give, and why.
    pub failure: Option<String>,
}

/// What of an event's or a message's id is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdLimits {
    /// For how long an id is remembered after it came, in milliseconds of the clock.
    pub horizon_ms: i64,
    /// How many ids of a user are remembered; the oldest is forgotten first.
    pub count: usize,
}

impl Default for IdLimits {
    /// What Muster does unless it is told otherwise: 24 hours and 256 ids.
    fn default() -> IdLimits {
        IdLimits { horizon_ms: 24 * 3_600_000, count: 256 }
    }
}

impl UserKey {
    /// That user of that workspace.
    pub fn new(workspace: &str, user: &str) -> UserKey {
        UserKey { workspace: workspace.into(), user: user.into() }
    }
}
