//! Why a store does not do what it is asked.

#[cfg(feature = "cql")]
use crate::CqlError;
use crate::UserKey;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made, read or written.
    #[error("cannot use `{}` for a store: {source}", path.display())]
    Unusable {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory holds something else.
    #[error("`{}` is not empty and not a store: name another directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store is of another version.
    #[error(
        "the store in `{}` has format {found}, and this version knows format {known}: use the version that wrote it",
        path.display()
    )]
    OtherVersion {
        /// The store's directory.
        path: PathBuf,
        /// The format that it has.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// Another process has the store open.
    #[error("the store in `{}` is in use by another process: stop that first", path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
    },
    /// Commits that were acknowledged are missing.
    #[error(
        "the store in `{}` is damaged: {marked} commits were acknowledged and {commits} are there: restore it from a backup",
        path.display()
    )]
    Lost {
        /// The store's directory.
        path: PathBuf,
        /// Commits that are there.
        commits: u64,
        /// Commits that were acknowledged.
        marked: u64,
    },
    /// The mark of the last commit is damaged or gone, and with it the proof that nothing is missing.
    #[error(
        "the store in `{}` is damaged: its file `mark` tells of {marked} commits and {commits} are there: restore it from a backup",
        path.display()
    )]
    Unmarked {
        /// The store's directory.
        path: PathBuf,
        /// Commits that are there.
        commits: u64,
        /// Commits that the mark tells of.
        marked: u64,
    },
    /// Files of the store cannot be read.
    #[error("the store in `{}` cannot be read: {source}: restore it from a backup", path.display())]
    Broken {
        /// The store's directory.
        path: PathBuf,
        /// What the tables said.
        source: fjall::Error,
    },
    /// An entry does not decode.
    #[error("table `{table}` of the store is damaged: restore it from a backup")]
    Damaged {
        /// Which table.
        table: &'static str,
    },
    /// What is kept of a user does not decode.
    #[error(
        "table `{table}` is damaged in what it keeps of user `{}` of workspace `{}`: restore it from a backup, or run `muster store repair` where the store is a database",
        key.user,
        key.workspace
    )]
    UserDamaged {
        /// Of whom.
        key: UserKey,
        /// Which table.
        table: &'static str,
    },
    /// A write failed, or its outcome is unknown.
    #[error(
        "writing to the store in `{}` failed: {reason}: mend that, and start again",
        path.display()
    )]
    WriteFailed {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// A database cannot be used.
    #[cfg(feature = "cql")]
    #[error(transparent)]
    Cql(CqlError),
    /// Another process has what only one may have.
    #[error(
        "`{name}` is being changed by instance {owner}, as it is called in its log: try again when it is done"
    )]
    Locked {
        /// What.
        name: Arc<str>,
        /// Who has it.
        owner: Arc<str>,
    },
    /// Transitions are not kept to be read.
    #[error("transitions are not kept in this store: read them where they are published")]
    ToldElsewhere,
    /// The cursor is of another store, or of this one before it was restored.
    #[error("there is no transition {after}, the newest is {newest}: start from a snapshot")]
    CursorAhead {
        /// The cursor.
        after: u64,
        /// The newest one.
        newest: u64,
    },
    /// Transitions after the cursor were deleted.
    #[error("transitions up to {oldest} were deleted: start from a snapshot")]
    CursorExpired {
        /// The oldest cursor that still works.
        oldest: u64,
    },
}

#[cfg(feature = "cql")]
impl From<CqlError> for StoreError {
    fn from(error: CqlError) -> StoreError {
        match error {
            CqlError::UserDamaged { key } => StoreError::UserDamaged { key, table: "users" },
            error => StoreError::Cql(error),
        }
    }
}
