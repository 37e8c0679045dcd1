//! What the documents of a workspace's rules are called. A workspace's name has no NUL.

use super::version::VersionId;
use std::sync::Arc;

/// The state of its rules.
pub fn state(workspace: &str) -> Arc<str> {
    format!("{STATE}{workspace}").into()
}

/// What the names of all states begin with.
pub const STATE: &str = "rules\0";

/// A version.
pub fn version(workspace: &str, id: &VersionId) -> Arc<str> {
    format!("{}{}", versions(workspace), id.as_str()).into()
}

/// What the names of all its versions begin with.
pub fn versions(workspace: &str) -> String {
    format!("version\0{workspace}\0")
}

/// A component, whichever workspaces use it.
pub fn component(digest: &str) -> Arc<str> {
    format!("component\0{digest}").into()
}

/// A change of its rules.
pub fn change(workspace: &str, revision: u64) -> Arc<str> {
    format!("{}{revision:020}", changes(workspace)).into()
}

/// What the names of all its changes begin with.
pub fn changes(workspace: &str) -> String {
    format!("change\0{workspace}\0")
}

/// A difference between what counts and its shadow.
pub fn difference(workspace: &str, sequence: u64) -> Arc<str> {
    format!("{}{sequence:020}", differences(workspace)).into()
}

/// What the names of all its differences begin with.
pub fn differences(workspace: &str) -> String {
    format!("difference\0{workspace}\0")
}

/// How many differences there were.
pub fn differences_count(workspace: &str) -> Arc<str> {
    format!("differences\0{workspace}").into()
}
