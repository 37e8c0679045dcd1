//! Where users, history, timers and transitions are kept.

mod embedded;
mod memory;
#[cfg(test)]
mod tests;

pub use embedded::{EmbeddedStore, StoreOptions};
pub use memory::MemoryStore;

use muster_core::{Arrival, AudienceKey, Time};
use std::path::PathBuf;
use std::sync::Arc;

/// Dead letters that are kept; the oldest go first. Enough to find out what is wrong with a source,
/// and at their largest 40 MB.
const DEAD_LETTERS_MAX: u64 = 10_000;
/// Transitions of a workspace deleted in one call, so that a commit is not held up for long.
const EXPIRED_MAX: usize = 4_096;

/// A user of a workspace. Both parts are 1 to 256 bytes without NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey {
    /// The tenant.
    pub workspace: Arc<str>,
    /// The user.
    pub user: Arc<str>,
}

/// What is kept of a user, in the core's own form. Shared, since a busy user's is large: she is
/// remembered while her commit is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// What changes with every batch.
    pub state: Arc<Vec<u8>>,
    /// What changes seldom.
    pub profile: Arc<Vec<u8>>,
}

/// What a commit changes of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCommit {
    /// Who.
    pub key: UserKey,
    /// The state; unchanged when there is none.
    pub state: Option<Arc<Vec<u8>>>,
    /// The profile; unchanged when there is none.
    pub profile: Option<Arc<Vec<u8>>>,
    /// When the user's timer was due before.
    pub due_before: Option<Time>,
    /// When it is due now.
    pub due: Option<Time>,
    /// Events to add to the history.
    pub history: Vec<Arrival>,
    /// Audiences entered, since when, and audiences left.
    pub members: Vec<(AudienceKey, Option<Time>)>,
    /// Transitions for the outbox, as JSON, in order.
    pub transitions: Vec<Vec<u8>>,
    /// What is kept of her beside that, for rules or an engine that are tried; unchanged when there
    /// is none, and none from now on when there is none inside.
    pub shadow: Option<Option<Arc<Vec<u8>>>>,
    /// Whether nothing was kept of the user before.
    pub is_new: bool,
}

/// A group of users, committed together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The clock.
    pub clock: Time,
    /// When it was made by the machine's clock, which may be another: transitions are kept for as long
    /// as people have to read them.
    pub made: Time,
    /// The users, each once.
    pub users: Vec<UserCommit>,
    /// What was refused, as JSON.
    pub dead_letters: Vec<Vec<u8>>,
    /// The ids of audiences, for when no rules define them any more.
    pub audiences: Vec<(AudienceKey, Arc<str>)>,
    /// Documents by name; none to delete one.
    pub documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
}

/// The name of a document, and what is in it.
pub type NamedDocument = (Arc<str>, Vec<u8>);

/// Where a sweep over all histories goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryCursor(pub(crate) Vec<u8>);

/// A place for everything that lasts. Reads may go on beside one commit at a time.
pub trait Store: Send + Sync {
    /// The clock of the last commit; 1970 when there was none.
    fn clock(&self) -> Time;

    /// What is kept of a user.
    fn user(&self, key: &UserKey) -> Result<Option<UserRecord>, StoreError>;

    /// What is kept of a user for rules or an engine that are tried.
    fn shadow(&self, key: &UserKey) -> Result<Option<Arc<Vec<u8>>>, StoreError>;

    /// A user's events of that name, or of all names, from one instant to another, both included:
    /// by time, and where times are equal in the order in which they arrived.
    fn history(
        &self,
        key: &UserKey,
        event: Option<&str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError>;

    /// The earliest timers due before an instant: by instant, workspace and user.
    fn due(&self, until: Time, limit: usize) -> Result<Vec<(Time, UserKey)>, StoreError>;

    /// Commits a group, durably.
    ///
    /// # Errors
    /// When it could not be written, or it is unknown whether it was; then nothing is accepted any
    /// more until the store is opened again.
    fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// The members of an audience and since when they are, by user, after one.
    fn members(
        &self,
        workspace: &str,
        audience: AudienceKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Time)>, StoreError>;

    /// The users of a workspace, in order, after one.
    fn users(
        &self,
        workspace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<str>>, StoreError>;

    /// The workspaces that have users, and how many.
    fn workspaces(&self) -> Result<Vec<(Arc<str>, u64)>, StoreError>;

    /// A document.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Documents whose names begin alike, by name, after one.
    fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError>;

    /// A workspace's transitions after a cursor, with their cursors.
    ///
    /// # Errors
    /// [`StoreError::CursorExpired`] when some after it were deleted, and [`StoreError::CursorAhead`]
    /// when it was never given by this store.
    fn transitions(
        &self,
        workspace: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// The cursor of a workspace's newest transition; 0 when there was none.
    fn cursor(&self, workspace: &str) -> Result<u64, StoreError>;

    /// Deletes a bounded number of the oldest transitions, those whose commit was made before an instant.
    /// Gives how many.
    ///
    /// # Errors
    /// When it failed or may have; then nothing is accepted any more, as with a commit, and nothing
    /// is said to have expired.
    fn expire_transitions(&self, made_before: Time) -> Result<u64, StoreError>;

    /// Looks at a number of rows of history and deletes those that are older than what is kept of
    /// their workspace and event name. Gives how many, and where to go on, if not at the end.
    ///
    /// # Errors
    /// When it failed or may have; then nothing is accepted any more, as with a commit.
    fn expire_history(
        &self,
        after: Option<HistoryCursor>,
        rows: usize,
        keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError>;

    /// Up to when events of a workspace may have been deleted from histories, by event name.
    fn forgotten(&self, workspace: &str) -> Result<Vec<(Arc<str>, Time)>, StoreError>;

    /// What was refused, after a sequence number, the oldest first. Only the newest are kept.
    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Every audience that was ever deployed.
    fn audience_ids(&self) -> Result<Vec<(AudienceKey, Arc<str>)>, StoreError>;

    /// Bytes on disk by table.
    fn sizes(&self) -> Result<Vec<(&'static str, u64)>, StoreError>;
}

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
