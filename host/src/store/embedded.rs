//! The embedded store: tables of an LSM tree (fjall), a mark of the last commit, and a lock.
//!
//! A commit is one write batch, synced to disk, and then the mark, synced. See [`mark`] for why.

mod directory;
mod keys;
mod mark;
mod rows;
mod tables;
#[cfg(test)]
mod tests;

use super::{Commit, HistoryCursor, Store, StoreError, UserKey, UserRecord};
use directory::Directory;
use fjall::{Database, Guard, Keyspace, OwnedWriteBatch, PersistMode};
use keys::Parts;
use mark::Mark;
use muster_core::{Arrival, AudienceKey, Time};
use rows::HISTORY_ROW_SPAN_MS;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::{CLOCK, COMMITS, Cursor, EXPIRED, LAST_DEAD_LETTER, NEWEST, State, Tables};

/// Dead letters that are kept; the oldest go first.
const DEAD_LETTERS_MAX: u64 = 10_000;
/// Transitions deleted in one call, so that a commit is not held up for long.
const EXPIRED_MAX: usize = 4_096;
/// Bytes of the journal: enough that its files are not cut often.
const JOURNAL_BYTES: u64 = 1 << 30;
/// Bytes of memory for blocks read, unless it is set otherwise.
const CACHE_BYTES: u64 = 256 << 20;

/// What an embedded store may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { cache_bytes: CACHE_BYTES }
    }
}

/// A store in a directory of its own.
pub struct EmbeddedStore {
    database: Database,
    tables: Tables,
    mark: Mark,
    state: Mutex<State>,
    // Given up last, when the database is closed.
    directory: Directory,
}

impl EmbeddedStore {
    /// Opens the store in a directory, or makes one in an empty or missing directory.
    ///
    /// # Errors
    /// When the directory is something else, of another version, in use, damaged, or behind the
    /// last commit that was acknowledged. Nothing is written to it then.
    pub fn open(path: &Path, options: StoreOptions) -> Result<EmbeddedStore, StoreError> {
        let directory = Directory::open(path)?;
        let unusable = |source| StoreError::Unusable { path: path.to_path_buf(), source };
        let mark = Mark::open(&path.join("mark")).map_err(unusable)?;
        let marked = mark.read().map_err(unusable)?;
        if marked > 0 && !has_tables(path) {
            return Err(StoreError::Lost { path: path.to_path_buf(), commits: 0, marked });
        }
        let broken = |source| StoreError::Broken { path: path.to_path_buf(), source };
        let database = Database::builder(path.join("tables"))
            .cache_size(options.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(broken)?;
        let tables = Tables::open(&database).map_err(broken)?;
        let state = State::read(&tables, path)?;
        if state.commits < marked {
            let path = path.to_path_buf();
            return Err(StoreError::Lost { path, commits: state.commits, marked });
        }
        Ok(EmbeddedStore { database, tables, mark, state: Mutex::new(state), directory })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed in one go, after everything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, source: fjall::Error) -> StoreError {
        StoreError::Broken { path: self.directory.path.clone(), source }
    }

    fn get(&self, table: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = table.get(key).map_err(|error| self.broken(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn pair(&self, guard: Guard) -> Result<(fjall::Slice, fjall::Slice), StoreError> {
        guard.into_inner().map_err(|error| self.broken(error))
    }

    /// Writes a batch durably; when that fails, nothing is accepted any more.
    fn write(&self, batch: OwnedWriteBatch, commit: u64) -> Result<(), StoreError> {
        let written = batch.durability(Some(PersistMode::SyncData)).commit();
        let written = written.map_err(|error| error_text(&error));
        let marked = written.and_then(|()| self.mark.write(commit).map_err(|e| e.to_string()));
        marked.map_err(|reason| {
            let reason: Arc<str> = reason.into();
            self.state().failed = Some(reason.clone());
            StoreError::WriteFailed { path: self.directory.path.clone(), reason }
        })
    }
}

/// Whether the tables' folder holds anything.
fn has_tables(path: &Path) -> bool {
    path.join("tables").read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

/// What the tree says, in words of its own.
fn error_text(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

impl Store for EmbeddedStore {
    fn clock(&self) -> Time {
        self.state().clock
    }

    fn user(&self, key: &UserKey) -> Result<Option<UserRecord>, StoreError> {
        let key = keys::user(key);
        let Some(state) = self.get(&self.tables.users, &key)? else { return Ok(None) };
        let profile = self.get(&self.tables.profiles, &key)?;
        let profile = profile.ok_or(StoreError::Damaged { table: "profiles" })?;
        Ok(Some(UserRecord { state, profile }))
    }

    fn history(
        &self,
        key: &UserKey,
        event: Option<&str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError> {
        let names = match event {
            Some(event) => vec![event.into()],
            None => self.names(key)?,
        };
        let mut events = Vec::new();
        for name in &names {
            let prefix = keys::history_prefix(key, Some(name));
            events.extend(self.rows(&prefix, name, from, to)?);
        }
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        Ok(events)
    }

    fn due(&self, until: Time, limit: usize) -> Result<Vec<(Time, UserKey)>, StoreError> {
        let mut state = self.state();
        let range = keys::ordered(state.timers_from).to_vec()..keys::ordered(until).to_vec();
        if range.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut due = Vec::new();
        for guard in self.tables.timers.range(range).take(limit) {
            let (key, _) = self.pair(guard)?;
            let mut parts = Parts(&key);
            let timer = parts.time().zip(parts.user());
            due.push(timer.ok_or(StoreError::Damaged { table: "timers" })?);
        }
        state.timers_from = due.first().map_or(until, |(first, _)| *first);
        Ok(due)
    }

    fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let (number, mut cursors, mut last_dead_letter) = {
            let state = self.state();
            if let Some(reason) = &state.failed {
                let path = self.directory.path.clone();
                return Err(StoreError::WriteFailed { path, reason: reason.clone() });
            }
            (state.commits + 1, HashMap::<Arc<str>, u64>::new(), state.last_dead_letter)
        };
        let mut batch = self.database.batch();
        let earliest = commit.users.iter().filter_map(|user| user.due).min();
        for mut user in commit.users {
            for transition in std::mem::take(&mut user.transitions) {
                let workspace = &user.key.workspace;
                let newest = cursors.entry(workspace.clone()).or_insert_with(|| {
                    self.state().cursors.get(workspace).map_or(0, |cursor| cursor.newest)
                });
                *newest += 1;
                let mut value = keys::ordered(commit.clock).to_vec();
                value.extend_from_slice(&transition);
                batch.insert(&self.tables.outbox, keys::outbox(workspace, *newest), value);
            }
            self.put_user(&mut batch, user);
        }
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
        let meta = &self.tables.meta;
        batch.insert(meta, CLOCK, keys::ordered(commit.clock));
        batch.insert(meta, COMMITS, number.to_be_bytes());
        batch.insert(meta, LAST_DEAD_LETTER, last_dead_letter.to_be_bytes());
        for (workspace, newest) in &cursors {
            batch.insert(meta, keys::per_workspace(NEWEST, workspace), newest.to_be_bytes());
        }
        self.write(batch, number)?;
        let mut state = self.state();
        state.clock = commit.clock;
        state.commits = number;
        state.last_dead_letter = last_dead_letter;
        for (workspace, newest) in cursors {
            state.cursors.entry(workspace).or_default().newest = newest;
        }
        // Only now that they can be read: a look in between must not pass them by.
        state.timers_from = earliest.map_or(state.timers_from, |due| due.min(state.timers_from));
        Ok(())
    }

    fn members(
        &self,
        workspace: &str,
        audience: AudienceKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        let prefix = keys::members_prefix(workspace, audience);
        let mut from = match after.filter(|after| !after.is_empty()) {
            Some(after) => keys::member(workspace, audience, after),
            None => prefix.clone(),
        };
        from.push(0);
        let mut members = Vec::new();
        for guard in self.tables.members.range(from..).take(limit) {
            let (key, value) = self.pair(guard)?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
            let member = Parts(rest).text().zip(Parts(&value).time());
            members.push(member.ok_or(StoreError::Damaged { table: "members" })?);
        }
        Ok(members)
    }

    fn users(&self, after: Option<&UserKey>, limit: usize) -> Result<Vec<UserKey>, StoreError> {
        let mut from = after.map(keys::user).unwrap_or_default();
        from.push(0);
        let mut users = Vec::new();
        for guard in self.tables.users.range(from..).take(limit) {
            let key = guard.key().map_err(|error| self.broken(error))?;
            users.push(Parts(&key).user().ok_or(StoreError::Damaged { table: "users" })?);
        }
        Ok(users)
    }

    fn transitions(
        &self,
        workspace: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let cursor = self.state().cursors.get(workspace).copied().unwrap_or_default();
        if after < cursor.expired {
            return Err(StoreError::CursorExpired { oldest: cursor.expired });
        }
        if after >= cursor.newest {
            return Ok(Vec::new());
        }
        let range = keys::outbox(workspace, after + 1)..=keys::outbox(workspace, cursor.newest);
        let mut transitions = Vec::new();
        for (sequence, guard) in (after + 1..).zip(self.tables.outbox.range(range).take(limit)) {
            let (_, value) = self.pair(guard)?;
            let json = value.get(8..).ok_or(StoreError::Damaged { table: "outbox" })?;
            transitions.push((sequence, json.to_vec()));
        }
        Ok(transitions)
    }

    fn cursor(&self, workspace: &str) -> Result<u64, StoreError> {
        Ok(self.state().cursors.get(workspace).map_or(0, |cursor| cursor.newest))
    }

    fn expire_transitions(&self, committed_before: Time) -> Result<u64, StoreError> {
        let cursors: Vec<(Arc<str>, Cursor)> =
            self.state().cursors.iter().map(|(name, cursor)| (name.clone(), *cursor)).collect();
        let mut deleted = 0;
        for (workspace, cursor) in cursors {
            let range = keys::outbox(&workspace, cursor.expired + 1)
                ..=keys::outbox(&workspace, cursor.newest);
            if range.is_empty() {
                continue;
            }
            let mut batch = self.database.batch();
            let mut expired = cursor.expired;
            for guard in self.tables.outbox.range(range).take(EXPIRED_MAX) {
                let (key, value) = self.pair(guard)?;
                if Parts(&value).time().is_some_and(|clock| clock >= committed_before) {
                    break;
                }
                batch.remove(&self.tables.outbox, key);
                expired += 1;
            }
            if expired == cursor.expired {
                continue;
            }
            let meta = keys::per_workspace(EXPIRED, &workspace);
            batch.insert(&self.tables.meta, meta, expired.to_be_bytes());
            // Told before it is done, so that no reader takes a gap for the beginning.
            self.state().cursors.entry(workspace).or_default().expired = expired;
            batch.commit().map_err(|error| self.broken(error))?;
            deleted += expired - cursor.expired;
        }
        Ok(deleted)
    }

    fn expire_history(
        &self,
        after: Option<HistoryCursor>,
        rows: usize,
        keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError> {
        let mut from = after.map(|cursor| cursor.0).unwrap_or_default();
        from.push(0);
        let mut batch = self.database.batch();
        let (mut deleted, mut looked_at, mut last) = (0, 0, None);
        for guard in self.tables.history.range(from..).take(rows) {
            let key = guard.key().map_err(|error| self.broken(error))?;
            let mut parts = Parts(&key);
            let row = parts.user().zip(parts.text()).zip(parts.time());
            let ((user, name), first) = row.ok_or(StoreError::Damaged { table: "history" })?;
            let keep_from = keep_from(&user.workspace, &name).milliseconds();
            looked_at += 1;
            last = Some(HistoryCursor(key.to_vec()));
            if first.milliseconds() + HISTORY_ROW_SPAN_MS < keep_from {
                batch.remove(&self.tables.history, key);
                deleted += 1;
            }
        }
        if deleted > 0 {
            batch.commit().map_err(|error| self.broken(error))?;
        }
        Ok((deleted, last.filter(|_| looked_at == rows)))
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut letters = Vec::new();
        let from = after.saturating_add(1).to_be_bytes();
        for guard in self.tables.dead_letters.range(from..).take(limit) {
            let (key, value) = self.pair(guard)?;
            let sequence = Parts(&key).number();
            let sequence = sequence.ok_or(StoreError::Damaged { table: "dead letters" })?;
            letters.push((sequence, value.to_vec()));
        }
        Ok(letters)
    }

    fn audience_ids(&self) -> Result<Vec<(AudienceKey, Arc<str>)>, StoreError> {
        let mut ids = Vec::new();
        for guard in self.tables.audiences.iter() {
            let (key, value) = self.pair(guard)?;
            let id = std::str::from_utf8(&value).ok().zip(Parts(&key).number());
            let (id, bits) = id.ok_or(StoreError::Damaged { table: "audiences" })?;
            ids.push((AudienceKey::from_bits(bits), id.into()));
        }
        Ok(ids)
    }

    fn sizes(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let tables = &self.tables;
        let journal = self.database.journal_disk_space().map_err(|error| self.broken(error))?;
        Ok(vec![
            ("users", tables.users.disk_space()),
            ("profiles", tables.profiles.disk_space()),
            ("history", tables.history.disk_space()),
            ("members", tables.members.disk_space()),
            ("timers", tables.timers.disk_space()),
            ("outbox", tables.outbox.disk_space()),
            ("dead_letters", tables.dead_letters.disk_space()),
            ("journal", journal),
        ])
    }
}
