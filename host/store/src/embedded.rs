//! The embedded store: tables of an LSM tree (fjall), a mark of the last commit, and a lock.
//!
//! A commit is one write batch, synced to disk, and then the mark, synced. See [`mark`] for why.

mod commit;
mod directory;
mod expiry;
mod keys;
mod mark;
mod rows;
mod tables;
#[cfg(test)]
mod tests;

use super::{
    Commit, Committed, HistoryCursor, NamedDocument, Stamp, Store, StoreError, UserKey, UserRecord,
};
use directory::{Directory, has_entries};
use fjall::{Database, Guard, Keyspace, PersistMode};
use keys::Parts;
use mark::Mark;
use muster_core::{Arrival, AudienceKey, Time};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::{State, Tables};

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
        if marked > 0 && !has_entries(&directory.tables()) {
            return Err(StoreError::Lost { path: path.to_path_buf(), commits: 0, marked });
        }
        if marked == 0 {
            directory.remove_half_made_tables().map_err(unusable)?;
        }
        let not_opened = |error| not_opened(path, error);
        let database = Database::builder(directory.tables())
            .cache_size(options.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(not_opened)?;
        let tables = Tables::open(&database).map_err(not_opened)?;
        let state = State::read(&tables, path)?;
        if state.commits < marked {
            let path = path.to_path_buf();
            return Err(StoreError::Lost { path, commits: state.commits, marked });
        }
        // A commit is written when the one before it is marked: more than one without a mark shows
        // that the mark is not what was written.
        if state.commits > marked + 1 {
            let path = path.to_path_buf();
            return Err(StoreError::Unmarked { path, commits: state.commits, marked });
        }
        if state.commits > marked {
            database.persist(PersistMode::SyncAll).map_err(not_opened)?;
            mark.write(state.commits).map_err(unusable)?;
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
}

/// Why tables cannot be opened: where the system says why, that is no damage.
fn not_opened(path: &Path, error: fjall::Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
            if source.raw_os_error().is_some() =>
        {
            StoreError::Unusable { path, source }
        }
        source => StoreError::Broken { path, source },
    }
}

impl Store for EmbeddedStore {
    fn clock(&self) -> Time {
        self.state().clock
    }

    fn user(&self, key: &UserKey) -> Result<Option<UserRecord>, StoreError> {
        let bytes = keys::user(key);
        let Some(state) = self.get(&self.tables.users, &bytes)? else { return Ok(None) };
        let profile = self.get(&self.tables.profiles, &bytes)?;
        let damaged = || StoreError::UserDamaged { key: key.clone(), table: "profiles" };
        let profile = profile.ok_or_else(damaged)?;
        let (state, profile, stamp) = (Arc::new(state), Arc::new(profile), Stamp::default());
        Ok(Some(UserRecord { state, profile, stamp }))
    }

    fn shadow(&self, key: &UserKey) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        Ok(self.get(&self.tables.shadows, &keys::user(key))?.map(Arc::new))
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
            events.extend(self.rows(key, name, from, to)?);
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

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.put(commit)?;
        Ok(Committed::default())
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

    fn users(
        &self,
        workspace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        let prefix = keys::users_prefix(workspace);
        let mut from = prefix.clone();
        from.extend_from_slice(after.unwrap_or_default().as_bytes());
        if after.is_some() {
            // What follows the user's own key, which ends with the separator.
            from.extend_from_slice(&[0, 0]);
        }
        let mut users = Vec::new();
        for guard in self.tables.users.range(from..).take(limit) {
            let key = guard.key().map_err(|error| self.broken(error))?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
            users.push(Parts(rest).text().ok_or(StoreError::Damaged { table: "users" })?);
        }
        Ok(users)
    }

    fn workspaces(&self) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        Ok(self
            .state()
            .users
            .iter()
            .map(|(workspace, users)| (workspace.clone(), *users))
            .collect())
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(&self.tables.documents, name.as_bytes())
    }

    fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError> {
        let mut from = after.unwrap_or(prefix).as_bytes().to_vec();
        if after.is_some() {
            from.push(0);
        }
        let mut documents = Vec::new();
        for guard in self.tables.documents.range(from..).take(limit) {
            let (key, document) = self.pair(guard)?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let name = std::str::from_utf8(&key).ok();
            let name = name.ok_or(StoreError::Damaged { table: "documents" })?;
            documents.push((name.into(), document.to_vec()));
        }
        Ok(documents)
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
        if after > cursor.newest {
            return Err(StoreError::CursorAhead { after, newest: cursor.newest });
        }
        if after == cursor.newest {
            return Ok(Vec::new());
        }
        let range = keys::outbox(workspace, after + 1)..=keys::outbox(workspace, cursor.newest);
        let mut transitions = Vec::new();
        for (expected, guard) in (after + 1..).zip(self.tables.outbox.range(range).take(limit)) {
            let (key, value) = self.pair(guard)?;
            let sequence = keys::outbox_sequence(&key);
            let json = value.get(8..).zip(sequence);
            let (json, sequence) = json.ok_or(StoreError::Damaged { table: "outbox" })?;
            if sequence != expected {
                // Those between were deleted since the cursor was looked at.
                return Err(StoreError::CursorExpired { oldest: sequence - 1 });
            }
            transitions.push((sequence, json.to_vec()));
        }
        if transitions.is_empty() && limit > 0 {
            return Err(StoreError::CursorExpired { oldest: cursor.newest });
        }
        Ok(transitions)
    }

    fn cursor(&self, workspace: &str) -> Result<u64, StoreError> {
        Ok(self.state().cursors.get(workspace).map_or(0, |cursor| cursor.newest))
    }

    fn expire_transitions(&self, made_before: Time) -> Result<u64, StoreError> {
        self.delete_transitions(made_before)
    }

    fn expire_history(
        &self,
        after: Option<HistoryCursor>,
        rows: usize,
        keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError> {
        self.delete_history(after, rows, keep_from)
    }

    fn forgotten(&self, workspace: &str) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        self.read_forgotten(workspace)
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
            ("shadows", tables.shadows.disk_space()),
            ("documents", tables.documents.disk_space()),
            ("history", tables.history.disk_space()),
            ("members", tables.members.disk_space()),
            ("timers", tables.timers.disk_space()),
            ("outbox", tables.outbox.disk_space()),
            ("dead_letters", tables.dead_letters.disk_space()),
            ("journal", journal),
        ])
    }
}
