//! The connection: requests that are bounded in number and time, and made again until they are answered.

use super::error::CqlError;
use super::metrics::CqlMetrics;
use super::settings::CqlSettings;
use super::tls;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, NewSessionError, RequestAttemptError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::Batch;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The first wait before a request is made again, and the longest. Each is drawn from the upper half of
/// its length, so that requests that failed together do not come again together.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// By what a process says that it is there, and sees who is. It does not wait behind the thousands of requests
/// of a turn: whoever says it late is taken to be gone, and then what it writes does not count.
pub(super) const HEARTBEAT: &str = "heartbeat";
/// Rows of a page.
const PAGE_ROWS: i32 = 2_000;
/// Connections to each node: one answers in order, so that a large row holds up the others.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The database, connected.
pub(super) struct Database {
    pub(super) session: Session,
    pub(super) keyspace: String,
    consistency: Consistency,
    serial: SerialConsistency,
    room: Semaphore,
    metrics: CqlMetrics,
    outage: Mutex<Outage>,
    closing: watch::Sender<bool>,
    pub(super) silence_max: Duration,
}

/// What is waited for.
#[derive(Default)]
struct Outage {
    /// Why, since the last answer that all of them got.
    reason: Option<Arc<str>>,
    /// Requests that are made again and again: while there are some, the answer of another does not end it,
    /// which may be of a node that is well.
    again: usize,
}

/// A request that is made again.
struct Again<'a>(&'a Database);

impl<'a> Again<'a> {
    fn begin(database: &'a Database) -> Again<'a> {
        super::lock(&database.outage).again += 1;
        Again(database)
    }
}

impl Drop for Again<'_> {
    fn drop(&mut self) {
        super::lock(&self.0.outage).again -= 1;
    }
}

impl Database {
    /// Connects.
    pub(super) async fn connect(
        settings: &CqlSettings,
        metrics: CqlMetrics,
    ) -> Result<Database, CqlError> {
        let consistency = settings.consistency()?;
        let serial = settings.serial_consistency()?;
        check_keyspace(&settings.keyspace)?;
        let mut routing = DefaultPolicy::builder().token_aware(true);
        if let Some(name) = &settings.datacenter {
            routing = routing.prefer_datacenter(name.clone()).permit_dc_failover(false);
        }
        let profile = ExecutionProfile::builder()
            .load_balancing_policy(routing.build())
            .consistency(consistency)
            .serial_consistency(Some(serial))
            .request_timeout(Some(settings.request_time))
            // Requests are made again here, where it is known what each of them may do twice.
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&settings.nodes)
            .default_execution_profile_handle(profile.into_handle())
            .connection_timeout(settings.request_time)
            .pool_size(PoolSize::PerHost(CONNECTIONS))
            .keepalive_interval(settings.request_time)
            .keepalive_timeout(settings.request_time)
            .driver_config_reporting(false)
            // What routing by token needs, and of no other keyspace.
            .keyspaces_to_fetch([&settings.keyspace])
            .fetch_full_schema_metadata(false);
        if let Some((user, password)) = &settings.user {
            builder = builder.user(user, password);
        }
        if let Some(authority) = &settings.authority {
            builder = builder.tls_context(Some(tls::trusting(authority)?));
        }
        let session = builder.build().await.map_err(|error| not_connected(settings, &error))?;
        let state = session.get_cluster_state();
        let found = state.get_nodes_info().iter().filter_map(|node| node.datacenter.clone());
        settings.check_datacenter(&found.collect())?;
        Ok(Database {
            session,
            keyspace: settings.keyspace.clone(),
            consistency,
            serial,
            room: Semaphore::new(settings.in_flight_max),
            metrics,
            outage: Mutex::default(),
            closing: watch::Sender::new(false),
            silence_max: settings.silence_max,
        })
    }

    /// Prepares a statement. `{}` in it stands for the keyspace.
    pub(super) async fn prepare(&self, cql: &str) -> Result<PreparedStatement, CqlError> {
        let cql = cql.replace("{}", &self.keyspace);
        let prepared = self.session.prepare(cql.as_str()).await;
        let mut prepared = prepared.map_err(|error| request(&error))?;
        prepared.set_page_size(PAGE_ROWS);
        Ok(prepared)
    }

    /// The same, to be read so that what is being decided is decided first.
    pub(super) async fn prepare_serial(&self, cql: &str) -> Result<PreparedStatement, CqlError> {
        let mut prepared = self.prepare(cql).await?;
        prepared.set_consistency(match self.serial {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        });
        Ok(prepared)
    }

    /// Does something that may be done twice, until the database answers.
    pub(super) async fn execute(
        &self,
        kind: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryResult, CqlError> {
        self.persist(kind, async || self.session.execute_unpaged(statement, &values).await).await
    }

    /// Reads all rows of a query.
    pub(super) async fn rows<R>(
        &self,
        kind: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, CqlError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut all = Vec::new();
        let mut state = PagingState::start();
        loop {
            let page =
                async || self.session.execute_single_page(statement, &values, state.clone()).await;
            let (result, next) = self.persist(kind, page).await?;
            let rows = result.into_rows_result().map_err(|error| request(&error))?;
            for row in rows.rows::<R>().map_err(|error| request(&error))? {
                all.push(row.map_err(|error| request(&error))?);
            }
            match next {
                PagingStateResponse::HasMorePages { state: more } => state = more,
                PagingStateResponse::NoMorePages => return Ok(all),
            }
        }
    }

    /// Makes a conditional batch once: what became of it is for the caller to find out when it is not
    /// told, which is `None`.
    pub(super) async fn decide(
        &self,
        kind: &'static str,
        batch: &Batch,
        values: impl scylla::serialize::batch::BatchValues,
    ) -> Result<Option<QueryResult>, CqlError> {
        let _room = self.room().await?;
        let started = Instant::now();
        let answer = self.session.batch(batch, values).await;
        self.metrics.observe(kind, started.elapsed());
        self.told(answer)
    }

    /// The same of one statement.
    pub(super) async fn decide_one(
        &self,
        kind: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<QueryResult>, CqlError> {
        let _room = self.room().await?;
        let started = Instant::now();
        let answer = self.session.execute_unpaged(statement, values).await;
        self.metrics.observe(kind, started.elapsed());
        self.told(answer)
    }

    fn told(
        &self,
        answer: Result<QueryResult, ExecutionError>,
    ) -> Result<Option<QueryResult>, CqlError> {
        match answer {
            Ok(result) => {
                self.answered();
                Ok(Some(result))
            }
            Err(error) if waiting_mends(&error) => {
                self.silent(&error);
                Ok(None)
            }
            Err(error) => Err(request(&error)),
        }
    }

    /// A conditional batch is in force for whoever reads by a quorum once it was told to count.
    pub(super) fn consistencies(&self) -> (Consistency, SerialConsistency) {
        (self.consistency, self.serial)
    }

    async fn persist<T>(
        &self,
        kind: &'static str,
        request: impl AsyncFn() -> Result<T, ExecutionError>,
    ) -> Result<T, CqlError> {
        let mut wait = Backoff::default();
        let mut again = None;
        loop {
            let room = match kind {
                HEARTBEAT => None,
                _ => Some(self.room().await?),
            };
            let started = Instant::now();
            let answer = request().await;
            self.metrics.observe(kind, started.elapsed());
            drop(room);
            match answer {
                Ok(answer) => {
                    drop(again.take());
                    self.answered();
                    return Ok(answer);
                }
                Err(error) if waiting_mends(&error) => self.silent(&error),
                Err(error) => return Err(self::request(&error)),
            }
            again.get_or_insert_with(|| Again::begin(self));
            self.pause(&mut wait).await?;
        }
    }

    async fn room(&self) -> Result<tokio::sync::SemaphorePermit<'_>, CqlError> {
        self.room.acquire().await.map_err(|_| CqlError::Closed)
    }

    /// Waits before something is tried again, the longer the more often it was.
    pub(super) async fn pause(&self, backoff: &mut Backoff) -> Result<(), CqlError> {
        self.sleep(backoff.next()).await
    }

    /// Waits, unless the store is closed.
    pub(super) async fn sleep(&self, time: Duration) -> Result<(), CqlError> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = closing.wait_for(|closing| *closing) => Err(CqlError::Closed),
        }
    }

    fn answered(&self) {
        let mut outage = super::lock(&self.outage);
        if outage.again == 0 && outage.reason.take().is_some() {
            tracing::info!("the database answers again");
        }
    }

    fn silent(&self, error: &ExecutionError) {
        let mut outage = super::lock(&self.outage);
        if outage.reason.is_none() {
            tracing::warn!("the database does not answer, waiting: {error}");
        }
        outage.reason = Some(error.to_string().into());
    }

    pub(super) fn outage(&self) -> Option<Arc<str>> {
        super::lock(&self.outage).reason.clone()
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// How long to wait before something is tried again.
#[derive(Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    fn next(&mut self) -> Duration {
        let longest = RETRY_WAIT_MIN.saturating_mul(1 << self.0.min(16)).min(RETRY_WAIT_MAX);
        self.0 += 1;
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

/// Whether a request that failed so may be answered later.
fn waiting_mends(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::EmptyPlan
        | ExecutionError::RequestTimeout(_)
        | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(error) => match error {
            RequestAttemptError::BrokenConnectionError(_)
            | RequestAttemptError::UnableToAllocStreamId => true,
            RequestAttemptError::DbError(error, _) => matches!(
                error,
                DbError::Unavailable { .. }
                    | DbError::Overloaded
                    | DbError::IsBootstrapping
                    | DbError::TruncateError
                    | DbError::ReadTimeout { .. }
                    | DbError::WriteTimeout { .. }
                    | DbError::ReadFailure { .. }
                    | DbError::WriteFailure { .. }
                    | DbError::ServerError
                    | DbError::RateLimitReached { .. }
                    // How version 5 of the protocol says that a conditional write may count or not.
                    | DbError::Other(0x1700)
            ),
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn request(error: &dyn std::error::Error) -> CqlError {
    CqlError::Request { reason: one_line(error) }
}

/// What an error and those behind it say.
fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn not_connected(settings: &CqlSettings, error: &NewSessionError) -> CqlError {
    let reason = one_line(error);
    let is_refusal = matches!(
        error,
        NewSessionError::MetadataError(_) if reason.contains("credentials") || reason.contains("Authentication")
    );
    match is_refusal || reason.contains("uthenticat") {
        true => CqlError::Refused { reason },
        false => CqlError::Unreachable { nodes: settings.nodes.join(", "), reason },
    }
}

/// A keyspace's name goes into statements as it is.
pub(super) fn check_keyspace(name: &str) -> Result<(), CqlError> {
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= 48;
    match is_name {
        true => Ok(()),
        false => Err(CqlError::Keyspace(name.to_string())),
    }
}
