//! Transitions: a user entering or leaving an audience.

use crate::module::AudienceKey;
use crate::plan::Engine;
use crate::time::Time;
use std::sync::Arc;

/// A user entered or left an audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Its number among the user's transitions, from 1.
    pub number: u64,
    /// The audience's id.
    pub audience: Arc<str>,
    /// What the audience is called in stores.
    pub key: AudienceKey,
    /// Entered or left.
    pub change: Change,
    /// When it took effect.
    pub at: Time,
    /// What brought it about.
    pub cause: Cause,
    /// Which engine said so.
    pub engine: Engine,
    /// The version of the audience's rules.
    pub rules: Arc<str>,
}

/// Entered or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The user became a member.
    Entered,
    /// The user is a member no more.
    Left,
}

/// What brought a transition about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A message with an event that counted.
    Event,
    /// A message without one.
    Attribute,
    /// The passing of time.
    Timer,
    /// A change of rules.
    Rules,
}

impl Change {
    /// Its name in transitions.
    pub fn name(self) -> &'static str {
        match self {
            Change::Entered => "entered",
            Change::Left => "left",
        }
    }
}

impl Cause {
    /// Its name in transitions.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Event => "event",
            Cause::Attribute => "attribute",
            Cause::Timer => "timer",
            Cause::Rules => "rules",
        }
    }
}

/// The id of a user's transition of that number: the same whenever it is published again, so that
/// consumers can drop repetitions. 32 hexadecimal digits.
pub fn transition_id(workspace: &str, user: &str, number: u64) -> String {
    let mut content = Vec::with_capacity(workspace.len() + user.len() + 18);
    for part in [workspace, user] {
        content.extend_from_slice(&(part.len() as u32).to_be_bytes());
        content.extend_from_slice(part.as_bytes());
    }
    content.extend_from_slice(&number.to_be_bytes());
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&content))
}
