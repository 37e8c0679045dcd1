//! Both engines, on every store: over the case files, and against the naive evaluator over random
//! definitions and messages.

use muster::ruleset::Ruleset;
use muster::store::{EmbeddedStore, MemoryStore, Store, StoreOptions};
use muster_core::{Engine, Settings};
use muster_rules::{Source, check};
use muster_tests::case::{Case, first_difference, read_all};
use muster_tests::generate::{UNITS, Unit, definitions, hot_user, timeline};
use muster_tests::timeline::{Entry, IdLimits, Outcome};
use muster_tests::{naive, subject};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::path::Path;

const LIMITS: IdLimits = IdLimits { horizon_ms: 40, count: 6 };

/// How few intervals the state engine gets in cases, so that it must merge and read history.
const INTERVALS: usize = 1;

/// The engine says what every case expects, on the store that is opened for it.
fn hold_cases(engine: Engine, run: impl Fn(&Ruleset, &[Entry]) -> anyhow::Result<Outcome>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut failures = Vec::new();
    for case in read_all(&folder).expect("cases are readable") {
        let found = case.run(&mut |case: &Case, _, timeline| {
            let settings = subject::settings(case.limits);
            let settings = Settings { engine, intervals: INTERVALS, ..settings };
            let ruleset = subject::load(&case.sources, settings).expect("checked rules load");
            run(&ruleset, timeline).expect("a replay of a case does not fail")
        });
        let difference = first_difference(&case.text, &found);
        failures.extend(difference.map(|difference| format!("{}: {difference}", case.file)));
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

fn in_memory(ruleset: &Ruleset, timeline: &[Entry]) -> anyhow::Result<Outcome> {
    subject::evaluate(ruleset, &MemoryStore::new(), timeline)
}

fn on_disk(ruleset: &Ruleset, timeline: &[Entry]) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let store = EmbeddedStore::open(&folder.path().join("store"), StoreOptions::default())?;
    subject::evaluate(ruleset, &store, timeline)
}

/// With the store closed and opened again after every message.
fn on_disk_stepwise(ruleset: &Ruleset, timeline: &[Entry]) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let open = || -> anyhow::Result<Box<dyn Store>> {
        let path = folder.path().join("store");
        Ok(Box::new(EmbeddedStore::open(&path, StoreOptions::default())?))
    };
    subject::evaluate_stepwise(ruleset, &open, timeline)
}

#[test]
fn state_engine_says_what_cases_expect_with_a_restart_after_every_step() {
    hold_cases(Engine::State, on_disk_stepwise);
}

#[test]
fn scan_engine_says_what_cases_expect_with_a_restart_after_every_step() {
    hold_cases(Engine::Scan, on_disk_stepwise);
}

#[test]
fn state_engine_says_what_cases_expect_in_memory() {
    hold_cases(Engine::State, in_memory);
}

#[test]
fn scan_engine_says_what_cases_expect_in_memory() {
    hold_cases(Engine::Scan, in_memory);
}

#[test]
fn state_engine_says_what_cases_expect_on_disk() {
    hold_cases(Engine::State, on_disk);
}

#[test]
fn scan_engine_says_what_cases_expect_on_disk() {
    hold_cases(Engine::Scan, on_disk);
}

fn unit() -> impl Strategy<Value = Unit> {
    prop_oneof![3 => Just(UNITS[0]), 2 => proptest::sample::select(&UNITS[..])]
}

/// The engine with that room for merged intervals says what the naive evaluator says.
fn hold(yaml: &str, timeline: &[Entry], engine: Engine, intervals: usize) {
    let sources = [Source { name: "generated.yaml".into(), text: yaml.to_string() }];
    let definitions = check(&sources).expect("generated definitions check");
    let expected = naive::evaluate(&definitions.audiences, LIMITS, timeline);
    let settings = Settings { engine, intervals, ..subject::settings(LIMITS) };
    let ruleset = subject::load(&sources, settings).expect("checked rules load");
    let found = in_memory(&ruleset, timeline).expect("a replay in memory does not fail");
    let pairs = expected.transitions.iter().zip(&found.transitions);
    let differing = pairs.clone().find(|(one, other)| one != other);
    assert!(differing.is_none(), "the first difference:\n{differing:#?}\n{yaml}");
    assert_eq!(expected, found, "{yaml}");
}

/// How many audiences are compared at how many instants, at the least.
const TRIPLES_MIN: usize = 100_000;

#[test]
fn state_engine_says_what_the_naive_evaluator_says() {
    let mut triples = 0;
    while triples < TRIPLES_MIN {
        let config =
            ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
        let drawn = unit().prop_flat_map(|unit| (definitions(unit), timeline(unit)));
        let compared = std::cell::Cell::new(0);
        let run =
            TestRunner::new(config).run(&(drawn, 1usize..5), |((yaml, timeline), intervals)| {
                hold(&yaml, &timeline, Engine::State, intervals);
                compared.set(compared.get() + yaml.matches("- id:").count() * timeline.len());
                Ok(())
            });
        run.unwrap();
        triples += compared.get();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scan_engine_says_what_the_naive_evaluator_says(
        (yaml, timeline) in unit().prop_flat_map(|unit| (definitions(unit), timeline(unit))),
    ) {
        hold(&yaml, &timeline, Engine::Scan, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_engine_says_what_the_naive_evaluator_says_of_a_hot_user(
        (yaml, timeline) in unit().prop_flat_map(|unit| (definitions(unit), hot_user(unit))),
        intervals in 1usize..12,
    ) {
        hold(&yaml, &timeline, Engine::State, intervals);
    }
}
