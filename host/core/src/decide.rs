//! How the core asks rule modules for decisions.

use crate::event::Event;
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

/// One crossing into a rule module about events that its predicates may select.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The module's place in the plan.
    pub module: usize,
    /// The events, in the order in which the user's came.
    pub candidates: &'a [Candidate<'a>],
}

/// An event that passed the comparisons of selectors, and the predicates that they name beside.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The event.
    pub event: &'a Event,
    /// The predicates to decide of it: indices into the module's own list, ascending.
    pub predicates: Vec<u32>,
}

impl Selection<'_> {
    /// How many answers are asked for.
    pub fn answers(&self) -> usize {
        self.candidates.iter().map(|candidate| candidate.predicates.len()).sum()
    }
}

/// Answers questions: the runtime does so by calling the module's component.
pub trait Decide {
    /// Decides the audiences asked for: one decision for each, in their order.
    ///
    /// # Errors
    /// When the module failed to answer; nothing is decided then.
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError>;

    /// Decides which events predicates accept: one answer for each predicate of each candidate, in
    /// their order. Asked only of modules that name predicates in their selectors.
    ///
    /// # Errors
    /// When the module failed to answer; nothing is decided then.
    fn select(&mut self, selection: Selection<'_>) -> Result<Vec<bool>, DecideError>;
}

/// A rule module gave no usable answer. The reason is one line, lowercase, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecideError {
    /// What went wrong.
    pub reason: Arc<str>,
}
