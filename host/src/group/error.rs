//! Why a step could not be taken.

use crate::store::{StoreError, UserKey};
use muster_core::codec::Damaged;
use std::sync::Arc;

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's stored state does not decode.
    #[error(
        "the stored state of user `{user}` in workspace `{workspace}` is damaged: restore it from a backup, or run `muster store repair` where the store is a database"
    )]
    Damaged {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
        /// What the core said.
        source: Damaged,
    },
    /// History of a shared store is to be read first, that of other users at the same time: see
    /// [`Group::supply`](crate::group::Group::supply). Nothing was changed.
    #[error("history is yet to be read")]
    Awaits,
    /// Somebody else wrote the user where nobody may.
    #[error(
        "user `{user}` in workspace `{workspace}` was written by another process: end that first"
    )]
    Overtaken {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
    },
    /// The step asked for history again and again.
    #[error("user `{user}` in workspace `{workspace}` needs more history than can be read")]
    Endless {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
    },
}

impl StepError {
    pub(super) fn damaged(key: &UserKey, source: Damaged) -> StepError {
        let (workspace, user) = (key.workspace.clone(), key.user.clone());
        StepError::Damaged { workspace, user, source }
    }

    /// The user whom it is of, where nobody else is concerned.
    pub fn user(&self) -> Option<UserKey> {
        match self {
            StepError::Store(StoreError::UserDamaged { key, .. }) => Some(key.clone()),
            StepError::Damaged { workspace, user, .. } | StepError::Endless { workspace, user } => {
                Some(UserKey { workspace: workspace.clone(), user: user.clone() })
            }
            StepError::Store(_) | StepError::Awaits | StepError::Overtaken { .. } => None,
        }
    }

    /// Somebody else wrote a user.
    pub fn overtaken(key: &UserKey) -> StepError {
        StepError::Overtaken { workspace: key.workspace.clone(), user: key.user.clone() }
    }

    pub(super) fn endless(key: &UserKey) -> StepError {
        StepError::Endless { workspace: key.workspace.clone(), user: key.user.clone() }
    }
}
