//! The same audiences in YAML and in Rust: the same transitions, on both engines. Builds the example,
//! which needs a toolchain for WebAssembly; what is missing is named.

use muster::case::timeline::{Entry, Outcome, UserKey};
use muster::case::{evaluate, first_difference, read_beside_rules};
use muster::decode::decode;
use muster::guest::{GuestEngine, GuestSettings};
use muster::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use muster::store::MemoryStore;
use muster::traffic::Traffic;
use muster_core::{Engine, Settings, Time};
use muster_tests::examples;
use std::sync::OnceLock;

const EXAMPLE: &str = "recent-ios-buyers";
/// 2026-01-01, and some minutes between messages: months of traffic, so that windows pass.
const BEGINNING_MS: i64 = 1_767_225_600_000;
const PAUSE_MS: i64 = 11 * 60_000;
const MESSAGES: i64 = 20_000;
const USERS: u64 = 60;
/// What the traffic must bring about at the least, for the comparison to mean something.
const TRANSITIONS_MIN: usize = 1_000;

fn in_rust() -> RuleFiles {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    let build = || examples::component(EXAMPLE).unwrap_or_else(|error| panic!("{error:#}"));
    examples::rules_of(COMPONENT.get_or_init(build).clone())
}

fn in_yaml() -> RuleFiles {
    RuleFiles::read(&[examples::folder(EXAMPLE).join("audiences.yaml")])
        .expect("the definitions are readable")
}

fn load(files: &RuleFiles, engine: Engine) -> Ruleset {
    let guests = GuestEngine::new(GuestSettings::default()).expect("modules run here");
    let settings = Settings { engine, ..Settings::default() };
    RulesetLoader::new(guests, settings).load(files, Vec::new()).expect("the rules load")
}

fn traffic(seed: u64) -> Vec<Entry> {
    let mut traffic = Traffic::new(seed, USERS);
    let mut timeline: Vec<Entry> = (0..MESSAGES)
        .filter_map(|at| {
            let now = Time::from_milliseconds(BEGINNING_MS + at * PAUSE_MS)?;
            let decoded = decode(traffic.message("shop", now).as_bytes(), None).ok()?;
            Some(Entry::Message(UserKey::new("shop", &decoded.user), decoded.message?))
        })
        .collect();
    timeline.push(Entry::End(Time::from_milliseconds(BEGINNING_MS + 2 * MESSAGES * PAUSE_MS)));
    timeline
}

fn outcome(files: &RuleFiles, engine: Engine, timeline: &[Entry]) -> Outcome {
    evaluate(&load(files, engine), &MemoryStore::new(), timeline).expect("memory does not fail")
}

#[test]
fn yaml_and_rust_say_the_same_on_generated_traffic() {
    for seed in [1, 2] {
        let timeline = traffic(seed);
        let expected = outcome(&in_yaml(), Engine::State, &timeline);
        assert!(expected.transitions.len() > TRANSITIONS_MIN, "{}", expected.transitions.len());
        for audience in ["recent-ios-buyers", "big-ios-spenders"] {
            let told = expected.transitions.iter().filter(|told| &*told.audience == audience);
            assert!(told.count() > TRANSITIONS_MIN / 10, "few of {audience}");
        }
        for engine in [Engine::State, Engine::Scan] {
            let found = outcome(&in_rust(), engine, &timeline);
            let pairs = expected.transitions.iter().zip(&found.transitions);
            let differing = pairs.clone().find(|(one, other)| one != other);
            assert!(differing.is_none(), "the first difference: {differing:#?}");
            assert_eq!(expected, found);
        }
    }
}

#[test]
fn yaml_and_rust_say_what_the_cases_expect() {
    let cases =
        read_beside_rules(&examples::folder(EXAMPLE).join("cases")).expect("cases are readable");
    assert!(!cases.is_empty());
    for case in &cases {
        for files in [in_yaml(), in_rust()] {
            for engine in [Engine::State, Engine::Scan] {
                let found = case.run(&mut |_, _, timeline| outcome(&files, engine, timeline));
                assert_eq!(first_difference(&case.text, &found), None, "{}", case.file);
            }
        }
    }
}

#[test]
fn the_version_of_an_audience_is_that_of_the_code() {
    let guests = GuestEngine::new(GuestSettings::default()).expect("modules run here");
    let loaded = guests.load(&in_rust().components[0].bytes).expect("the component is sound");
    let versions: Vec<&str> =
        loaded.module().audiences.iter().map(|audience| &*audience.version).collect();
    let (number, code) = versions[0].split_once('+').expect("a number, and a hash of the code");
    assert_eq!(number, "0.1.0");
    assert!(code.len() == 32 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "{code}");
    assert_eq!(versions[0], versions[1]);
}
