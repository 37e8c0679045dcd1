//! Differences between what counts and what is evaluated beside it.

use super::state::Subject;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A user whom two evaluations put on different sides of an audience.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// When it appeared, as RFC 3339.
    pub at: String,
    /// The user.
    pub user: Arc<str>,
    /// The audience's id.
    pub audience: Arc<str>,
    /// Whether rules or engines were compared.
    pub of: Subject,
    /// Why they differ, as far as it is known.
    pub class: Class,
    /// What counts.
    pub counts: Answer,
    /// What was evaluated beside it.
    pub shadow: Answer,
}

/// One evaluation's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether she is a member.
    pub member: bool,
    /// The version of the workspace's rules.
    pub version: String,
    /// The engine.
    pub engine: String,
    /// The version of the audience; nothing where there is no such audience.
    pub rules: Option<Arc<str>>,
    /// What the audience looks at, what it is worth, and which comparisons hold.
    pub grounds: Vec<Ground>,
}

/// What an audience looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// Which feature, attribute or audience.
    pub of: String,
    /// What it is worth, as text; nothing where there is no value.
    pub value: Option<String>,
    /// The comparisons made on it, and whether they hold.
    pub conditions: Vec<(String, bool)>,
}

/// Why two evaluations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The audience, or one that it refers to, has other rules on the other side.
    DefinitionChanged,
    /// A module failed to decide on one side.
    Failed,
    /// History does not reach as far back as a window yet.
    Filling,
    /// It appeared with an event that was older than the last evaluation.
    LateEvent,
    /// Nothing of these: one of them is wrong.
    Unexplained,
}

impl Class {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::DefinitionChanged => "definition_changed",
            Class::Failed => "failed",
            Class::Filling => "filling",
            Class::LateEvent => "late_event",
            Class::Unexplained => "unexplained",
        }
    }
}
