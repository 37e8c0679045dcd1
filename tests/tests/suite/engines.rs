//! Both engines, on every store: over the case files, and against the naive evaluator over random
//! definitions and messages.

use muster::ruleset::Ruleset;
use muster::store::{EmbeddedStore, MemoryStore, Store, StoreOptions};
use muster_core::{Change, Engine, Settings};
use muster_rules::{Source, check};
use muster_tests::case::{Case, first_difference, read_all};
use muster_tests::generate::{UNITS, Unit, definitions, hot_user, timeline};
use muster_tests::timeline::{Entry, IdLimits, Outcome, Told, UserKey};
use muster_tests::{naive, subject};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

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
    let open = || -> anyhow::Result<Arc<dyn Store>> {
        let path = folder.path().join("store");
        Ok(Arc::new(EmbeddedStore::open(&path, StoreOptions::default())?))
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

/// Merged intervals: so few that they merge at once, and as many as there are unless it is set.
fn intervals() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1usize..5, 1 => Just(Settings::default().intervals)]
}

/// How many rules are compared at how many instants of some messages, at the least.
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
            TestRunner::new(config).run(&(drawn, intervals()), |((yaml, timeline), intervals)| {
                hold(&yaml, &timeline, Engine::State, intervals);
                compared.set(compared.get() + timeline.len());
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

/// Who is in what at the end, without since when: that is another instant after a change of rules.
fn members(outcome: &Outcome) -> Vec<(UserKey, Arc<str>)> {
    let last = outcome.memberships.last().cloned().unwrap_or_default();
    last.into_iter().map(|member| (member.user, member.audience)).collect()
}

/// Rules that take the place of others in the middle put everybody where they would have been put
/// had they been there from the beginning.
fn hold_change(rules: [&str; 2], messages: &[Entry], at: usize, intervals: usize) {
    let source = |yaml: &str| [Source { name: "generated.yaml".into(), text: yaml.to_string() }];
    let definitions = check(&source(rules[1])).expect("generated definitions check");
    let whole = [messages, &[Entry::End(None)]].concat();
    let expected = naive::evaluate(&definitions.audiences, LIMITS, &whole);
    let store = MemoryStore::new();
    let settings = Settings { engine: Engine::State, intervals, ..subject::settings(LIMITS) };
    let run = |yaml: &str, messages: &[Entry]| {
        let known = store.audience_ids().expect("a store in memory does not fail");
        let loaded = subject::load_after(&source(yaml), settings, known);
        let ruleset = loaded.expect("checked rules load");
        let timeline = [messages, &[Entry::End(None)]].concat();
        subject::evaluate(&ruleset, &store, &timeline).expect("a replay in memory does not fail")
    };
    let mut told = run(rules[0], &messages[..at]).transitions;
    let found = run(rules[1], &messages[at..]);
    assert_eq!(members(&expected), members(&found), "{}\n{}", rules[0], rules[1]);
    told.extend(found.transitions);
    let mut folded = BTreeSet::new();
    for Told { user, audience, change, .. } in told {
        let is_news = match change {
            Change::Entered => folded.insert((user, audience)),
            Change::Left => folded.remove(&(user, audience)),
        };
        assert!(is_news, "{}\n{}", rules[0], rules[1]);
    }
    assert_eq!(folded.into_iter().collect::<Vec<_>>(), members(&expected));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_rules_say_what_the_naive_evaluator_says_of_them(
        (first, second, timeline) in unit().prop_flat_map(|unit| {
            (definitions(unit), definitions(unit), timeline(unit))
        }),
        at in any::<prop::sample::Index>(),
        intervals in intervals(),
    ) {
        let messages: Vec<Entry> =
            timeline.into_iter().filter(|entry| matches!(entry, Entry::Message(..))).collect();
        hold_change([&first, &second], &messages, at.index(messages.len() + 1), intervals);
    }
}
