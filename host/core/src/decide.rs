//! How the core asks rule modules for decisions.

use crate::value::Value;
use std::sync::Arc;

/// One crossing into a rule module: its audiences that may have changed, and what they look at.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The module's place in the plan.
    pub module: usize,
    /// The audiences to decide: indices into the module's own list, ascending.
    pub audiences: &'a [u32],
    /// The conditions that hold, of those that the audiences list: indices into the module's own
    /// list, ascending.
    pub conditions: &'a [u32],
    /// One value for each that the module's manifest lists; empty when it lists none.
    pub values: &'a [Option<Value>],
}

/// Answers questions: the runtime does so by calling the module's component.
pub trait Decide {
    /// Decides the audiences asked for: one decision for each, in their order.
    ///
    /// # Errors
    /// When the module failed to answer; nothing is decided then.
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError>;
}

/// A rule module gave no usable answer. The reason is one line, lowercase, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecideError {
    /// What went wrong.
    pub reason: Arc<str>,
}
