//! What keeps something from being done with rules.

use crate::lifecycle::Refused;
use crate::ruleset::RulesetError;
use crate::store::StoreError;
use crate::worker::Unavailable;
use std::path::PathBuf;
use std::sync::Arc;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// It makes no sense now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such version.
    #[error("no version `{0}`: see the history for those that there are")]
    UnknownVersion(String),
    /// There are several.
    #[error("`{0}` begins the names of several versions: write more of it")]
    AmbiguousVersion(String),
    /// There is no such audience.
    #[error("no audience `{0}` in the active version")]
    UnknownAudience(String),
    /// There is no such workspace.
    #[error("workspace `{0}` has no rules yet: deploy some")]
    UnknownWorkspace(String),
    /// The workspace's name is none.
    #[error("`{0}` is not a workspace's name: write 1 to 256 bytes without NUL")]
    BadWorkspace(String),
    /// The rules are refused.
    #[error(transparent)]
    Rules(#[from] RulesetError),
    /// A folder that held rules holds none.
    #[error(
        "no rules are left in `{}`: put them back, or take audiences away with `muster remove`",
        path.display()
    )]
    Emptied {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else was quicker.
    #[error("another instance changed the rules of `{0}` meanwhile: look at their status again")]
    Overtaken(String),
    /// Another process changes rules, and does not come to an end.
    #[error(
        "instance {owner}, as it is called in its log, has been changing rules for {waited_s} s: wait until it is \
         done or end it, and start this one again"
    )]
    Busy {
        /// Which.
        owner: Arc<str>,
        /// For how many seconds it was waited for.
        waited_s: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The worker did not take it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ActError {
    /// Whether it is only that another process changes the rules, or has changed them meanwhile.
    pub fn is_for_another(&self) -> bool {
        matches!(
            self,
            ActError::Overtaken(_)
                | ActError::Refused(Refused::Conflict { .. })
                | ActError::Store(StoreError::Locked { .. })
        )
    }
}
