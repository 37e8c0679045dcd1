//! Where users, history, timers and transitions are kept: [`Store`], and three kinds of it.
//!
//! [`MemoryStore`] is gone with the process. [`EmbeddedStore`] is a folder that one process has for
//! itself. `CqlStore` (feature `cql`) is a database that any number of processes share: what they do to
//! one user at once is told apart by the version of her row, see [`Stamp`].

mod copy;
#[cfg(feature = "cql")]
mod cql;
mod embedded;
mod history;
mod memory;
mod stamp;
#[cfg(test)]
mod tests;

pub use copy::{Copied, CopyError, copy};
#[cfg(feature = "cql")]
pub use cql::{CqlError, CqlMetrics, CqlSettings, CqlStore, initialise};
pub use embedded::{EmbeddedStore, StoreOptions};
pub use memory::MemoryStore;
pub use stamp::{Line, Stamp, Untold, Version};

use muster_core::{Arrival, AudienceKey, Time};
use std::collections::HashMap;
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
    /// Where it stands among what others may have written since.
    pub stamp: Stamp,
}

impl UserRecord {
    /// Whether anything is known of the user. Of one who was never committed, a shared store may have a
    /// version alone.
    pub fn is_known(&self) -> bool {
        !self.state.is_empty()
    }
}

/// All that is kept of a user but her history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Her record; nothing when she is not known.
    pub record: Option<UserRecord>,
    /// What is kept of her beside that, for rules or an engine that are tried.
    pub shadow: Option<Arc<Vec<u8>>>,
}

/// A part of a user's history, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub key: UserKey,
    /// The events' name; all events when there is none.
    pub event: Option<Arc<str>>,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
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
    /// Transitions to be told, in order.
    pub transitions: Vec<Line>,
    /// How many transitions there were of her with these, by which a later word on who is in an audience
    /// is told from an earlier one.
    pub transition: u64,
    /// What is kept of her beside that, for rules or an engine that are tried; unchanged when there
    /// is none, and none from now on when there is none inside.
    pub shadow: Option<Option<Arc<Vec<u8>>>>,
    /// Whether nothing was kept of the user before.
    pub is_new: bool,
    /// The timer that brought this about, if one did: by the instant it was found under.
    pub fired: Option<Time>,
    /// The stamp of the record that this was made from, and that of what it makes of it.
    pub stamp: Stamp,
    /// The same afterwards.
    pub next: Stamp,
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
    /// For how many milliseconds after their time events are kept, by workspace and name: for stores
    /// that have to know when they write. What is not named is kept for ever.
    pub kept_ms: HashMap<(Arc<str>, Arc<str>), i64>,
}

/// What became of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Users whom somebody else wrote since their records were read. Nothing of theirs was kept.
    pub overtaken: Vec<UserKey>,
    /// What is to be told of the others, where the store does not tell it itself: theirs in order.
    pub told: Vec<(UserKey, Line)>,
    /// Where it is noted that this is yet to be told; see [`Store::settle`].
    pub note: Option<JournalNote>,
}

/// An entry of the journal of a process: its name, and the entry's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalNote {
    pub(crate) owner: Arc<str>,
    pub(crate) turn: u64,
}

/// The name of a document, and what is in it.
pub type NamedDocument = (Arc<str>, Vec<u8>);

/// Where a sweep over all histories goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryCursor(pub(crate) Vec<u8>);

/// A place for everything that lasts. Reads may go on beside one commit at a time.
///
/// A store that is shared waits where the database does not answer, and says so by
/// [`Store::outage`]; its reads and commits fail only for what waiting does not mend.
pub trait Store: Send + Sync {
    /// Whether other processes write what this one reads: then users are read many at a time, and a
    /// commit may find that somebody was quicker.
    fn is_shared(&self) -> bool {
        false
    }

    /// What is kept of many users, each in the place of her key.
    fn read(&self, keys: &[UserKey]) -> Result<Vec<Found>, StoreError> {
        let found = |key| Ok(Found { record: self.user(key)?, shadow: self.shadow(key)? });
        keys.iter().map(found).collect()
    }

    /// Parts of many histories, each in the place of what was wanted.
    fn histories(&self, wanted: &[Wanted]) -> Result<Vec<Vec<Arrival>>, StoreError> {
        let read =
            |part: &Wanted| self.history(&part.key, part.event.as_deref(), part.from, part.to);
        wanted.iter().map(read).collect()
    }

    /// Notes that what a commit gave to be told was told: until then it is found again after a crash.
    fn settle(&self, committed: &Committed) -> Result<(), StoreError> {
        debug_assert!(
            committed.told.is_empty(),
            "a store that gives what is to be told settles it"
        );
        Ok(())
    }

    /// Settles what processes that are gone left half done. What is to be told of it is for whoever
    /// calls to tell, and to settle as a commit; nothing when there is nothing.
    fn recover(&self) -> Result<Option<Committed>, StoreError> {
        Ok(None)
    }

    /// Whether work on a user that nobody asked for falls to this process, and not to another that
    /// shares the store.
    fn is_mine(&self, key: &UserKey) -> bool {
        let _ = key;
        true
    }

    /// Changes whenever users fall to other processes than before.
    fn division(&self) -> u64 {
        0
    }

    /// How many other processes share the store now, as far as is known.
    fn companions(&self) -> usize {
        0
    }

    /// Why the store does not answer, while it does not.
    fn outage(&self) -> Option<Arc<str>> {
        None
    }

    /// Waits for nothing from now on: whatever waits for the database fails.
    fn close(&self) {}

    /// Takes what only one process may have at a time, or says who has it. It is given back by
    /// [`Store::unlock`], or when the process is gone.
    fn lock(&self, name: &str) -> Result<(), StoreError> {
        let _ = name;
        Ok(())
    }

    /// Gives back what was taken.
    fn unlock(&self, name: &str) -> Result<(), StoreError> {
        let _ = name;
        Ok(())
    }

    /// The clock of the last commit, or of another process's that is known and further; 1970 when there was
    /// none.
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
    fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;

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

    /// Puts a document and others with it, all or none, if the one is as whoever asks has read it. Says
    /// whether it was: when somebody else has written it since, nothing is put. Not to be called beside a
    /// commit, but where a store is shared.
    fn replace(
        &self,
        (name, body): (&str, Vec<u8>),
        is_as_read: &dyn Fn(Option<&[u8]>) -> bool,
        mut others: Vec<(Arc<str>, Option<Vec<u8>>)>,
    ) -> Result<bool, StoreError> {
        if !is_as_read(self.document(name)?.as_deref()) {
            return Ok(false);
        }
        others.push((name.into(), Some(body)));
        let clock = self.clock();
        self.commit(Commit {
            clock,
            made: clock,
            users: Vec::new(),
            dead_letters: Vec::new(),
            audiences: Vec::new(),
            documents: others,
            kept_ms: HashMap::new(),
        })?;
        Ok(true)
    }

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
    /// A database cannot be used.
    #[cfg(feature = "cql")]
    #[error(transparent)]
    Cql(#[from] CqlError),
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
