//! All case files, on tables of Cassandra.

use muster::ruleset::Ruleset;
use muster::store::{CqlMetrics, CqlSettings, CqlStore, Store, initialise};
use muster_core::{Engine, Settings};
use muster_rig::cassandra;
use muster_tests::case::{Case, first_difference, read_all};
use muster_tests::subject;
use muster_tests::timeline::{Entry, Outcome};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A keyspace that is emptied between two cases, which is quicker than making another.
struct Tables {
    settings: CqlSettings,
    session: Session,
    runtime: tokio::runtime::Runtime,
}

impl Tables {
    fn new() -> Tables {
        let address = cassandra::shared().unwrap();
        let settings = CqlSettings {
            nodes: vec![address.to_string()],
            datacenter: None,
            keyspace: format!("c{:016x}", fastrand::u64(..)),
            replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".to_string(),
            user: None,
            authority: None,
            consistency: "LOCAL_QUORUM".to_string(),
            serial_consistency: "LOCAL_SERIAL".to_string(),
            request_time: Duration::from_secs(10),
            in_flight_max: 64,
            silence_max: Duration::from_secs(60),
        };
        initialise(&settings).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = runtime.block_on(SessionBuilder::new().known_node(address).build()).unwrap();
        Tables { settings, session, runtime }
    }

    /// An empty store. Each table that a replay writes is emptied.
    fn open(&self) -> CqlStore {
        const WRITTEN: [&str; 8] = [
            "users",
            "timers",
            "timer_spans",
            "members",
            "user_ids",
            "workspaces",
            "audiences",
            "clocks",
        ];
        for table in WRITTEN {
            let cql = format!("TRUNCATE {}.{table}", self.settings.keyspace);
            self.runtime.block_on(self.session.query_unpaged(cql, ())).unwrap();
        }
        CqlStore::open(&self.settings, CqlMetrics::default()).unwrap()
    }
}

/// How few intervals the state engine gets, so that it must merge and read history.
const INTERVALS: usize = 1;

fn hold_cases(
    engine: Engine,
    evaluate: impl Fn(&Ruleset, Arc<dyn Store>, &[Entry]) -> anyhow::Result<Outcome>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let cases = read_all(&folder).unwrap();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    let tables = Tables::new();
    let mut failures = Vec::new();
    for case in &cases {
        let found = case.run(&mut |case: &Case, _, timeline| {
            let settings = subject::settings(case.limits);
            let settings = Settings { engine, intervals: INTERVALS, ..settings };
            let ruleset = subject::load(&case.sources, settings).unwrap();
            evaluate(&ruleset, Arc::new(tables.open()), timeline).unwrap()
        });
        let difference = first_difference(&case.text, &found);
        failures.extend(difference.map(|difference| format!("{}: {difference}", case.file)));
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

fn through(
    ruleset: &Ruleset,
    store: Arc<dyn Store>,
    timeline: &[Entry],
) -> anyhow::Result<Outcome> {
    subject::evaluate(ruleset, &*store, timeline)
}

/// Each message by a replay that remembers nothing of those before it.
fn stepwise(
    ruleset: &Ruleset,
    store: Arc<dyn Store>,
    timeline: &[Entry],
) -> anyhow::Result<Outcome> {
    subject::evaluate_stepwise(ruleset, &|| Ok(store.clone()), timeline)
}

#[test]
fn state_engine_says_what_cases_expect() {
    hold_cases(Engine::State, through);
}

#[test]
fn scan_engine_says_what_cases_expect() {
    hold_cases(Engine::Scan, through);
}

#[test]
fn state_engine_says_what_cases_expect_with_nothing_remembered_between_steps() {
    hold_cases(Engine::State, stepwise);
}
