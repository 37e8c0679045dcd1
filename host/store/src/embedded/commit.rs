//! Commits: one batch, synced, and then the mark. After a failure nothing is accepted any more.

use super::EmbeddedStore;
use super::keys;
use super::rows::UserRows;
use super::tables::{CLOCK, COMMITS, LAST_DEAD_LETTER, NEWEST, USERS};
use crate::{Commit, DEAD_LETTERS_MAX, StoreError};
use fjall::{OwnedWriteBatch, PersistMode};
use std::collections::HashMap;
use std::sync::Arc;

impl EmbeddedStore {
    pub(super) fn put(&self, commit: Commit) -> Result<(), StoreError> {
        self.check_writable()?;
        let (number, mut last_dead_letter) = {
            let state = self.state();
            (state.commits + 1, state.last_dead_letter)
        };
        let mut cursors: HashMap<Arc<str>, u64> = HashMap::new();
        let mut users: HashMap<Arc<str>, u64> = HashMap::new();
        let mut batch = self.database.batch();
        let mut rows = UserRows::default();
        let mut value = Vec::new();
        let earliest = commit.users.iter().filter_map(|user| user.due).min();
        for mut user in commit.users {
            if user.is_new {
                let workspace = &user.key.workspace;
                *users.entry(workspace.clone()).or_insert_with(|| self.users_of(workspace)) += 1;
            }
            for transition in std::mem::take(&mut user.transitions) {
                let workspace = &user.key.workspace;
                let newest = cursors.entry(workspace.clone()).or_insert_with(|| {
                    self.state().cursors.get(workspace).map_or(0, |cursor| cursor.newest)
                });
                *newest += 1;
                value.clear();
                value.extend_from_slice(&keys::ordered(commit.made));
                value.extend_from_slice(&transition.json);
                let key = keys::outbox(workspace, *newest);
                batch.insert(&self.tables.outbox, key, value.as_slice());
            }
            rows.add(user);
        }
        rows.write(&mut batch, &self.tables);
        for letter in commit.dead_letters {
            last_dead_letter += 1;
            batch.insert(&self.tables.dead_letters, last_dead_letter.to_be_bytes(), letter);
            if let Some(oldest) = last_dead_letter.checked_sub(DEAD_LETTERS_MAX) {
                batch.remove(&self.tables.dead_letters, oldest.to_be_bytes());
            }
        }
        for (key, id) in commit.audiences {
            batch.insert(&self.tables.audiences, key.bits().to_be_bytes(), id.as_bytes());
        }
        for (name, document) in commit.documents {
            match document {
                Some(document) => batch.insert(&self.tables.documents, name.as_bytes(), document),
                None => batch.remove(&self.tables.documents, name.as_bytes()),
            }
        }
        let forgotten = commit.forgotten.into_iter();
        let forgotten = forgotten
            .map(|((workspace, event), until)| (keys::forgotten(&workspace, &event), until));
        self.forget(&mut batch, forgotten)?;
        let meta = &self.tables.meta;
        batch.insert(meta, CLOCK, keys::ordered(commit.clock));
        batch.insert(meta, COMMITS, number.to_be_bytes());
        batch.insert(meta, LAST_DEAD_LETTER, last_dead_letter.to_be_bytes());
        for (workspace, newest) in &cursors {
            batch.insert(meta, keys::per_workspace(NEWEST, workspace), newest.to_be_bytes());
        }
        for (workspace, count) in &users {
            batch.insert(meta, keys::per_workspace(USERS, workspace), count.to_be_bytes());
        }
        self.write(batch, number)?;
        let mut state = self.state();
        state.clock = commit.clock;
        state.commits = number;
        state.last_dead_letter = last_dead_letter;
        for (workspace, newest) in cursors {
            state.cursors.entry(workspace).or_default().newest = newest;
        }
        state.users.extend(users);
        // Only now that they can be read: a look in between must not pass them by.
        state.timers_from = earliest.map_or(state.timers_from, |due| due.min(state.timers_from));
        Ok(())
    }

    pub(super) fn users_of(&self, workspace: &str) -> u64 {
        self.state().users.get(workspace).copied().unwrap_or(0)
    }

    /// Writes a batch durably; when that fails, nothing is accepted any more.
    fn write(&self, batch: OwnedWriteBatch, commit: u64) -> Result<(), StoreError> {
        let written = batch.durability(Some(PersistMode::SyncData)).commit();
        written.map_err(|error| self.fail(&error))?;
        self.mark.write(commit).map_err(|error| self.fail(&error.into()))
    }

    /// Whether no write has failed.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.state().failed.clone().map_or(Ok(()), |reason| Err(self.write_failed(reason)))
    }

    /// Notes that a write failed or may have: nothing is accepted from now on.
    pub(super) fn fail(&self, error: &fjall::Error) -> StoreError {
        let reason = self.state().failed.get_or_insert_with(|| error_text(error).into()).clone();
        self.write_failed(reason)
    }

    fn write_failed(&self, reason: Arc<str>) -> StoreError {
        StoreError::WriteFailed { path: self.directory.path.clone(), reason }
    }
}

/// What the tree says, in words of its own.
fn error_text(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            error.to_string()
        }
        // What failed was the writing of tables in the background, whose reason is in the log.
        fjall::Error::Poisoned => {
            "its tables could not be written, perhaps because the disk is full".to_string()
        }
        other => other.to_string(),
    }
}
