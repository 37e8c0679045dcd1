//! The store that processes share: tables of a CQL database, ScyllaDB or Apache Cassandra.
//!
//! A user is one partition of the table `users`: her state, profile, shadow, timer and what is yet to be
//! told are static columns with a version, her history is the rows. A commit writes all of it by one
//! conditional batch that counts only from the version that was read; so nothing has to be owned, and a
//! process that slept through anything finds that somebody was quicker.
//!
//! What lies elsewhere is either written before, and checked against the row when it is looked at (timers,
//! users by workspace), or after, and written again from the row when a process ends in between (members by
//! audience). Which users those are is in the process's journal, a row for each commit under way.

mod commit;
mod division;
mod documents;
mod error;
mod index;
mod kept;
mod locks;
mod metrics;
mod pending;
mod recovery;
mod repair;
mod replace;
mod rows;
mod schema;
mod session;
mod settings;
mod statements;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod tls;

pub use error::CqlError;
pub use metrics::CqlMetrics;
pub use repair::{Damage, Repair, Repaired};
pub use schema::initialise;
pub use settings::CqlSettings;

use crate::{
    Commit, Committed, Found, HistoryCursor, NamedDocument, Store, StoreError, UserKey, UserRecord,
    Wanted,
};
use commit::Turns;
use division::Division;
use index::Users;
use kept::Kept;
use muster_core::{Arrival, AudienceKey, Time};
use session::Database;
use statements::Statements;
use std::collections::HashSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use timers::Timers;
use tokio::runtime::Runtime;

/// A store in a database, shared with other processes.
pub struct CqlStore {
    // Before the runtime, which its tasks run on.
    division: Arc<Division>,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// What its requests share.
struct Shared {
    database: Database,
    statements: Statements,
    /// This process.
    owner: Arc<str>,
    /// When it began to say last that it is there, of the times that it was heard.
    beaten: Mutex<Option<Instant>>,
    turns: Mutex<Turns>,
    clock: AtomicI64,
    timers: Mutex<Timers>,
    users: Mutex<Users>,
    kept: Mutex<Kept>,
    /// Workspaces and audiences that are known to be written.
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    workspaces: HashSet<Arc<str>>,
    audiences: HashSet<AudienceKey>,
    letters: u64,
}

/// Threads of requests: they only wait, and take answers apart.
const THREADS: usize = 2;

impl CqlStore {
    /// Connects, and looks whether the tables are there and of this version.
    ///
    /// # Errors
    /// When the database cannot be reached, refuses the user, has no such tables, or has them of another
    /// version.
    pub fn open(settings: &CqlSettings, metrics: CqlMetrics) -> Result<CqlStore, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("muster-cql")
            .enable_all()
            .build()
            .map_err(CqlError::Threads)?;
        let (shared, division) = runtime.block_on(async {
            let database = Database::connect(settings, metrics).await?;
            schema::check(&database).await?;
            let statements = Statements::prepare(&database).await?;
            let owner: Arc<str> = format!("{:016x}", fastrand::u64(..)).into();
            let shared = Arc::new(Shared {
                database,
                statements,
                owner,
                beaten: Mutex::default(),
                turns: Mutex::default(),
                clock: AtomicI64::new(Time::EPOCH.milliseconds()),
                timers: Mutex::default(),
                users: Mutex::default(),
                kept: Mutex::default(),
                written: Mutex::default(),
            });
            let division = Division::join(shared.clone()).await?;
            // By this name others tell who has what only one may have.
            tracing::info!(instance = &*shared.owner, "sharing the store");
            Ok::<_, CqlError>((shared, division))
        })?;
        Ok(CqlStore { division, shared, runtime: Some(runtime) })
    }

    /// Repairs a user of whom something does not decode, from what is left of her; see
    /// [`Repaired`]. Others may go on meanwhile. Shadows are bytes to a store: whether one decodes is told by
    /// `is_shadow`. She is decided as of the clock, or of `clock_max` where that is earlier: a machine's clock
    /// may have been ahead once.
    ///
    /// # Errors
    /// When her history is damaged, which is where everything else of her comes from, or the database refuses
    /// a request.
    pub fn repair(
        &self,
        key: &UserKey,
        is_shadow: &dyn Fn(&[u8]) -> bool,
        clock_max: Time,
    ) -> Result<Repair, StoreError> {
        self.wait(self.shared.repair(key, is_shadow, clock_max))
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, CqlError>>) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or(CqlError::Closed)?;
        Ok(runtime.block_on(request)?)
    }
}

impl Drop for CqlStore {
    fn drop(&mut self) {
        self.shared.database.close();
        if let Some(runtime) = self.runtime.take() {
            self.division.end();
            // Whoever comes next need not wait until this process is found to be gone. On a thread of its
            // own, since this one may belong to another runtime.
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.block_on(self.division.leave()));
            });
            runtime.shutdown_background();
        }
    }
}

/// Nothing panics while it holds one of these locks halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for CqlStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn read(&self, keys: &[UserKey]) -> Result<Vec<Found>, StoreError> {
        self.wait(self.shared.read_users(keys))
    }

    fn histories(&self, wanted: &[Wanted]) -> Result<Vec<Vec<Arrival>>, StoreError> {
        self.wait(self.shared.read_histories(wanted))
    }

    fn settle(&self, committed: &Committed) -> Result<(), StoreError> {
        self.wait(self.shared.settle(committed))
    }

    fn recover(&self) -> Result<Option<Committed>, StoreError> {
        self.wait(self.shared.recover(&self.division))
    }

    fn is_mine(&self, key: &UserKey) -> bool {
        self.division.is_mine(index::shard_of(key))
    }

    fn division(&self) -> u64 {
        self.division.number()
    }

    fn note_swept(&self, workspace: &str, revision: u64, division: u64) {
        self.division.note_swept(workspace, revision, division);
    }

    fn is_swept(&self, workspace: &str, revision: u64) -> bool {
        self.division.is_swept(workspace, revision)
    }

    fn companions(&self) -> usize {
        self.division.companions()
    }

    fn outage(&self) -> Option<Arc<str>> {
        self.shared.database.outage()
    }

    fn close(&self) {
        self.shared.database.close();
    }

    fn lock(&self, name: &str) -> Result<(), StoreError> {
        let owner = self.wait(self.shared.take_lock(name, &self.division))?;
        match owner {
            None => Ok(()),
            Some(owner) => Err(StoreError::Locked { name: name.into(), owner }),
        }
    }

    fn unlock(&self, name: &str) -> Result<(), StoreError> {
        self.wait(self.shared.give_lock(name))
    }

    fn clock(&self) -> Time {
        self.shared.clock()
    }

    fn user(&self, key: &UserKey) -> Result<Option<UserRecord>, StoreError> {
        let record = self.wait(self.shared.read_user(key))?.record;
        Ok(record.filter(UserRecord::is_known))
    }

    fn shadow(&self, key: &UserKey) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        Ok(self.wait(self.shared.read_user(key))?.shadow)
    }

    fn history(
        &self,
        key: &UserKey,
        event: Option<&str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError> {
        let event = event.map(Into::into);
        let part = Wanted { key: key.clone(), event, from, to };
        self.wait(self.shared.read_history(&part))
    }

    fn due(&self, until: Time, limit: usize) -> Result<Vec<(Time, UserKey)>, StoreError> {
        self.wait(self.shared.read_due(&self.division, until, limit))
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.wait(self.shared.put(commit))
    }

    fn members(
        &self,
        workspace: &str,
        audience: AudienceKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        self.wait(self.shared.read_members(workspace, audience, after, limit))
    }

    fn users(
        &self,
        workspace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        self.wait(self.shared.read_user_ids(workspace, after, limit))
    }

    fn workspaces(&self) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        self.wait(self.shared.read_workspaces())
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.wait(self.shared.read_document(name))
    }

    fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError> {
        self.wait(self.shared.read_documents(prefix, after, limit))
    }

    fn replace(
        &self,
        document: (&str, Vec<u8>),
        is_as_read: &dyn Fn(Option<&[u8]>) -> bool,
        others: Vec<(Arc<str>, Option<Vec<u8>>)>,
    ) -> Result<bool, StoreError> {
        self.wait(self.shared.replace_document(document, is_as_read, others))
    }

    /// Always refused: they are told as they are committed.
    fn transitions(
        &self,
        _workspace: &str,
        _after: u64,
        _limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        Err(StoreError::ToldElsewhere)
    }

    fn cursor(&self, _workspace: &str) -> Result<u64, StoreError> {
        Err(StoreError::ToldElsewhere)
    }

    /// There are none to expire.
    fn expire_transitions(&self, _made_before: Time) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// The database does it by itself: each row is written with the time that it has left.
    fn expire_history(
        &self,
        _after: Option<HistoryCursor>,
        _rows: usize,
        _keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError> {
        Ok((0, None))
    }

    fn forgotten(&self, workspace: &str) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        self.wait(self.shared.read_forgotten(workspace))
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.wait(self.shared.read_dead_letters(after, limit))
    }

    fn audience_ids(&self) -> Result<Vec<(AudienceKey, Arc<str>)>, StoreError> {
        self.wait(self.shared.read_audience_ids())
    }

    /// Of the database's disks nothing is known here.
    fn sizes(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        Ok(Vec::new())
    }
}
