//! Checked definitions: what a file of audiences means.

use muster_core::Condition;
use std::fmt;
use std::sync::Arc;

/// A place in a definition file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

/// Checked audiences: ids are unique, every reference leads to one of them, and none to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// The audiences, sorted by id.
    pub audiences: Vec<Definition>,
}

/// One audience as it was defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its id, once per workspace.
    pub id: Arc<str>,
    /// Its name for people; the id when none was given.
    pub name: Arc<str>,
    /// Who belongs to it.
    pub rule: Rule,
    /// Where it begins.
    pub location: Location,
}

/// A boolean rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All of these hold.
    All(Vec<Rule>),
    /// At least one of these holds.
    Any(Vec<Rule>),
    /// This does not hold.
    Not(Box<Rule>),
    /// This condition holds.
    Condition(Condition, Location),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
