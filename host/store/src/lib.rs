//! Where users, history, timers and transitions are kept: [`Store`], and three kinds of it.
//!
//! [`MemoryStore`] is gone with the process. [`EmbeddedStore`] is a folder that one process has for
//! itself. `CqlStore` (feature `cql`) is a database that any number of processes share: what they do to
//! one user at once is told apart by the version of her row, see [`Stamp`].

mod copy;
#[cfg(feature = "cql")]
mod cql;
mod embedded;
mod error;
mod history;
mod memory;
mod record;
mod stamp;
#[cfg(test)]
mod tests;

pub use copy::{Copied, CopyError, copy};
#[cfg(feature = "cql")]
pub use cql::{CqlError, CqlMetrics, CqlSettings, CqlStore, Damage, Repair, Repaired, initialise};
pub use embedded::{EmbeddedStore, StoreOptions};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use record::{
    Commit, Committed, Found, HistoryCursor, JournalNote, NamedDocument, UserCommit, UserKey,
    UserRecord, Wanted,
};
pub use stamp::{Line, Stamp, Untold, Version};

use muster_core::{Arrival, AudienceKey, Time};
use std::collections::HashMap;
use std::sync::Arc;

/// Dead letters that are kept; the oldest go first. Enough to find out what is wrong with a source,
/// and at their largest 40 MB.
const DEAD_LETTERS_MAX: u64 = 10_000;
/// Transitions of a workspace deleted in one call, so that a commit is not held up for long.
const EXPIRED_MAX: usize = 4_096;

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
        let found = |key| {
            let (record, shadow) = (self.user(key)?, self.shadow(key)?);
            Ok(Found { record, shadow, is_damaged: false })
        };
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

    /// Notes that all users of a workspace who fall to this process, by that [`Store::division`], have gone over
    /// to rules of that revision.
    fn note_swept(&self, workspace: &str, revision: u64, division: u64) {
        let _ = (workspace, revision, division);
    }

    /// Whether every process that shares the store, as far as is known, has noted that of its users.
    fn is_swept(&self, workspace: &str, revision: u64) -> bool {
        let _ = (workspace, revision);
        true
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
            forgotten: HashMap::new(),
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
