//! Rules that change under traffic: versions, who is decided by which of them, and what is seen of it.
//!
//! The state of a workspace's rules ([`RulesState`]) is plain data, and so is what may be done with it
//! ([`Action`]). The [`manager`](crate::manager) carries actions out; the worker sees a
//! [`Deployment`].

mod deployment;
mod difference;
pub mod names;
mod observed;
mod sample;
mod share;
mod state;
mod verify;
mod version;

pub use deployment::{Arm, Deployment};
pub use difference::{Answer, Class, Difference, Ground};
pub use observed::{Failures, Observed, Sweep};
pub use sample::Sample;
pub use share::{Share, ShareError};
pub use state::{Action, Candidate, Refused, RulesState, Schedule, Shadow, Step, Subject};
pub use verify::{ANY, Row, Verification, verify};
pub use version::{ComponentRef, DefinitionFile, Version, VersionId};
