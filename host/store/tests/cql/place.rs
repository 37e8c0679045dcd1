//! Where the tests keep things: a node, keyspaces of it, and what else can be asked of it.

use muster_store::{CqlMetrics, CqlSettings, CqlStore, initialise};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::Row;
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long something may take that must come about.
const DEADLINE: Duration = Duration::from_secs(40);
/// A keyspace that a test has for itself is one of so many: making one takes seconds.
static OWN: [LazyLock<Mutex<CqlSettings>>; 4] = [const { LazyLock::new(made) }; 4];
/// The one that tests share which keep to a workspace of their own.
static SHARED: LazyLock<CqlStore> = LazyLock::new(|| open(&made_settings()));
static CLIENT: LazyLock<(Runtime, Session)> = LazyLock::new(|| client(node()));

/// The node that tests share.
pub(crate) fn node() -> &'static str {
    muster_rig::cassandra::shared().unwrap()
}

/// How a keyspace of that name is reached there.
pub(crate) fn settings(node: &str, keyspace: &str) -> CqlSettings {
    CqlSettings {
        nodes: vec![node.to_string()],
        datacenter: None,
        keyspace: keyspace.to_string(),
        replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".to_string(),
        user: None,
        authority: None,
        consistency: "LOCAL_QUORUM".to_string(),
        serial_consistency: "LOCAL_SERIAL".to_string(),
        request_time: Duration::from_secs(10),
        in_flight_max: 256,
        silence_max: Duration::from_secs(2),
    }
}

/// A name that no keyspace has.
pub(crate) fn name() -> String {
    format!("k{:016x}", fastrand::u64(..))
}

fn made_settings() -> CqlSettings {
    let settings = settings(node(), &name());
    initialise(&settings).unwrap();
    settings
}

fn made() -> Mutex<CqlSettings> {
    Mutex::new(made_settings())
}

pub(crate) fn open(settings: &CqlSettings) -> CqlStore {
    CqlStore::open(settings, CqlMetrics::default()).unwrap()
}

/// The store that tests share which keep to a workspace of their own.
pub(crate) fn shared() -> &'static CqlStore {
    &SHARED
}

/// A keyspace that nobody else uses meanwhile. Others have used it before.
pub(crate) struct Own(MutexGuard<'static, CqlSettings>);

impl Own {
    pub(crate) fn take() -> Own {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let order = (0..OWN.len()).map(|at| &OWN[(next + at) % OWN.len()]);
        let free = order.clone().find_map(|keyspace| keyspace.try_lock().ok());
        let last = || OWN[next % OWN.len()].lock().unwrap_or_else(PoisonError::into_inner);
        let own = Own(free.unwrap_or_else(last));
        // Those that an earlier test left without a word are to be gone.
        eventually("nobody else is there", || {
            rows(&format!("SELECT owner FROM {}.instances", own.keyspace)).is_empty()
        });
        // And so is what it left half done.
        for row in rows(&format!("SELECT DISTINCT owner FROM {}.journal", own.keyspace)) {
            let owner = row.columns[0].as_ref().unwrap().as_text().unwrap();
            run(&format!("DELETE FROM {}.journal WHERE owner = '{owner}'", own.keyspace));
        }
        run(&format!("DELETE FROM {}.owners WHERE id = 0", own.keyspace));
        own
    }

    pub(crate) fn open(&self) -> CqlStore {
        open(self)
    }
}

/// A keyspace for one test, which goes with it: a node that has hundreds of tables does nothing but
/// look after them.
pub(crate) struct Fresh(CqlSettings);

impl Fresh {
    /// In which there is nothing, nor is it there itself.
    pub(crate) fn unmade() -> Fresh {
        Fresh(settings(node(), &name()))
    }

    /// In which there are tables.
    pub(crate) fn made() -> Fresh {
        let fresh = Fresh::unmade();
        initialise(&fresh).unwrap();
        fresh
    }

    pub(crate) fn open(&self) -> CqlStore {
        open(self)
    }
}

impl Deref for Fresh {
    type Target = CqlSettings;

    fn deref(&self) -> &CqlSettings {
        &self.0
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        run(&format!("DROP KEYSPACE IF EXISTS {}", self.keyspace));
    }
}

impl Deref for Own {
    type Target = CqlSettings;

    fn deref(&self) -> &CqlSettings {
        &self.0
    }
}

/// Asks until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn client(node: &str) -> (Runtime, Session) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let profile = ExecutionProfile::builder().request_timeout(Some(DEADLINE)).build();
    let builder = SessionBuilder::new()
        .known_node(node)
        .default_execution_profile_handle(profile.into_handle())
        .fetch_schema_metadata(false);
    let session = runtime.block_on(builder.build()).unwrap();
    (runtime, session)
}

/// Does something in the database past the store.
pub(crate) fn run(cql: &str) {
    let (runtime, session) = &*CLIENT;
    runtime.block_on(session.query_unpaged(cql, ())).unwrap();
}

/// What the database has, past the store.
pub(crate) fn rows(cql: &str) -> Vec<Row> {
    let (runtime, session) = &*CLIENT;
    let result = runtime.block_on(session.query_unpaged(cql, ())).unwrap();
    let rows = result.into_rows_result().unwrap();
    rows.rows::<Row>().unwrap().map(Result::unwrap).collect()
}
