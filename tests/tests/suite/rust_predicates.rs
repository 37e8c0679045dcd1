//! Predicates of a module in Rust: they select as a property would that said the same, on both
//! engines, with the store opened anew, and in the service. Builds the example.

use crate::http::{get, post, until};
use crate::process::Service;
use muster::case::timeline::{Entry, Outcome, UserKey};
use muster::case::{evaluate, first_difference, read_beside_rules};
use muster::decode::decode;
use muster::guest::{GuestEngine, GuestSettings};
use muster::ruleset::{RuleFiles, RulesetLoader};
use muster::store::MemoryStore;
use muster_core::{Engine, Settings};
use muster_rules::Source;
use muster_tests::examples;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

const EXAMPLE: &str = "store-visitors";
const ENGINES: [Engine; 2] = [Engine::State, Engine::Scan];
/// The example's audiences, of events and users that say by themselves what it finds out.
const TOLD: &str = "audiences:
  - id: store-visitors
    where:
      all:
        - { event: visit, with: { near: true }, count: { gte: 2 }, within: 30d }
        - not: { profile: { staff: true } }
  - id: savers
    where: { event: coupon, with: { genuine: true }, sum: { gte: 20 }, of: amount, within: 90d }
  - id: summer-savers
    where:
      all:
        - { event: coupon, with: { genuine: true }, last: { starts_with: 0706- }, of: code, within: 90d }
        - { event: visit, with: { near: true }, count: { gte: 2 }, within: 30d }
";
/// 2026-06-01, and some minutes between messages: half a year, so that windows pass.
const BEGINNING_MS: u64 = 1_780_272_000_000;
const PAUSE_MS: u64 = 75 * 60_000;
const MESSAGES: u64 = 3_500;
/// All but one, who sends half of the messages: of him so much is merged that history is read.
const QUIET_USERS: u64 = 12;
/// Long after everything.
const END: &str = "2027-06-01T00:00:00Z";
/// What the traffic must bring about at the least, for a comparison to mean something.
const TRANSITIONS_MIN: usize = 300;

fn component() -> Vec<u8> {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    let build = || examples::component(EXAMPLE).unwrap_or_else(|error| panic!("{error:#}"));
    COMPONENT.get_or_init(build).clone()
}

/// A number that looks like chance, of a message and what it is for.
fn chance(number: u64, of: u64) -> u64 {
    let mixed = (number * 8 + of + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

fn user(number: u64) -> String {
    match chance(number, 2) % (2 * QUIET_USERS) {
        quiet if quiet < QUIET_USERS => format!("u{quiet}"),
        _ => "busy".into(),
    }
}

fn message(number: u64) -> Value {
    let now = BEGINNING_MS + number * PAUSE_MS;
    let late = if chance(number, 0).is_multiple_of(20) { 40 * PAUSE_MS } else { 0 };
    let count = 1 + u64::from(chance(number, 1).is_multiple_of(5));
    let events: Vec<Value> =
        (0..count).map(|at| event(number + at * MESSAGES, now - late)).collect();
    let mut message = json!({
        "workspace": "shop",
        "user": user(number),
        "events": events,
    });
    if chance(number, 3).is_multiple_of(30) {
        let staff = chance(number, 4).is_multiple_of(2);
        let segments = if staff { json!(["new", "staff"]) } else { json!(["new"]) };
        message["attributes"] = json!({ "segments": segments, "staff": staff });
    }
    message
}

/// An event, and in properties of their own what predicates are to make of it.
fn event(number: u64, time: u64) -> Value {
    let coupons = if user(number % MESSAGES) == "busy" { 2 } else { 4 };
    if chance(number, 5).is_multiple_of(coupons) {
        let (code, genuine) = [
            (json!("0706-1245"), true),
            (json!("1111-1119"), true),
            (json!("0706-1246"), false),
            (json!("1111-111O"), false),
            (json!(7061245), false),
            (Value::Null, false),
        ][(chance(number, 6) % 6) as usize]
            .clone();
        let amount = (chance(number, 7) % 800) as f64 / 100.0;
        let properties = json!({ "code": code, "amount": amount, "genuine": genuine });
        return json!({ "name": "coupon", "time": time, "properties": properties });
    }
    let (latitude, near) = [
        (json!(48.1), false),
        (json!(52.5200), true),
        (json!(52.5263), true),
        (json!(52.5265), false),
        (json!("52.52"), false),
        (Value::Null, false),
        (json!(0), false),
        (json!(-52.52), false),
    ][(chance(number, 6) % 32).saturating_sub(24) as usize]
        .clone();
    let properties = json!({ "latitude": latitude, "longitude": 13.4132, "near": near });
    json!({ "name": "visit", "time": time, "properties": properties })
}

fn outcome(files: &RuleFiles, engine: Engine, timeline: &[Entry]) -> Outcome {
    let guests = GuestEngine::new(GuestSettings::default()).unwrap();
    let settings = Settings { engine, ..Settings::default() };
    let ruleset = RulesetLoader::new(guests, settings).load(files, Vec::new()).unwrap();
    evaluate(&ruleset, &MemoryStore::new(), timeline).unwrap()
}

#[test]
fn cases_are_as_expected() {
    let rules = examples::rules_of(component());
    let cases = read_beside_rules(&examples::folder(EXAMPLE).join("cases")).unwrap();
    assert_eq!(cases.len(), 2);
    for (case, engine) in cases.iter().flat_map(|case| ENGINES.map(|engine| (case, engine))) {
        let found = case.run(&mut |_, _, timeline| outcome(&rules, engine, timeline));
        assert_eq!(first_difference(&case.text, &found), None, "{}", case.file);
    }
}

#[test]
fn a_predicate_selects_as_a_property_that_says_the_same() {
    let mut timeline: Vec<Entry> = (0..MESSAGES)
        .map(|number| {
            let decoded = decode(message(number).to_string().as_bytes(), None).unwrap();
            Entry::Message(UserKey::new("shop", &decoded.user), decoded.message.unwrap())
        })
        .collect();
    timeline.push(Entry::End(muster::decode::parse_time(END)));
    let definitions = vec![Source { name: "told.yaml".into(), text: TOLD.into() }];
    let told = RuleFiles { definitions, ..RuleFiles::default() };
    let expected = outcome(&told, Engine::State, &timeline);
    for audience in ["store-visitors", "savers", "summer-savers"] {
        let told = expected.transitions.iter().filter(|told| &*told.audience == audience);
        assert!(told.count() > TRANSITIONS_MIN / 10, "few of {audience}");
    }
    for engine in ENGINES {
        let found = outcome(&examples::rules_of(component()), engine, &timeline);
        let mut pairs = expected.transitions.iter().zip(&found.transitions);
        let differing = pairs.find(|(one, other)| one != other);
        assert!(differing.is_none(), "the first difference: {differing:#?}");
        assert_eq!(expected, found);
    }
}

/// A folder with the module, and messages in as many files.
fn folder(messages: u64, files: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shop")).unwrap();
    fs::write(folder.path().join("shop/rules.wasm"), component()).unwrap();
    let settings = "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n\
                    [workspaces]\nshop = \"shop\"\n[time]\nclock = \"events\"\n";
    fs::write(folder.path().join("muster.toml"), settings).unwrap();
    for file in 0..files {
        let part = messages / files * file..messages / files * (file + 1);
        let lines: String = part.map(|number| format!("{}\n", message(number))).collect();
        fs::write(folder.path().join(format!("{file}.ndjson")), lines).unwrap();
    }
    folder
}

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_muster-service"))
        .args(["replay", "--rules", "shop"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    output
}

fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn engines_agree_and_a_reopened_store_goes_on() {
    const FILES: u64 = 4;
    let folder = folder(MESSAGES, FILES);
    let files: Vec<String> = (0..FILES).map(|file| format!("{file}.ndjson")).collect();
    let mut both = vec!["--engine", "both", "--until", END, "--events"];
    both.extend(files.iter().map(String::as_str));
    let both = replay(folder.path(), &both);
    let through = lines(&both);
    assert!(through.len() > TRANSITIONS_MIN, "only {}", through.len());
    let told = String::from_utf8_lossy(&both.stderr);
    assert!(told.contains("0 differences between the engines"), "{told}");
    assert!(!told.contains(" 0.00% with history"), "nothing was asked again: {told}");
    let mut pieces = Vec::new();
    for file in &files {
        pieces.extend(lines(&replay(folder.path(), &["--store", "kept", "--events", file])));
    }
    fs::write(folder.path().join("none.ndjson"), "").unwrap();
    let rest = ["--store", "kept", "--until", END, "--events", "none.ndjson"];
    pieces.extend(lines(&replay(folder.path(), &rest)));
    pieces.sort();
    assert_eq!(through, pieces);
}

#[test]
fn the_service_says_what_a_replay_says() {
    const SENT: u64 = 500;
    let folder = folder(SENT, 1);
    // What moves the clock to the end is a message like others.
    let last = json!({ "workspace": "shop", "user": "clock", "time": END });
    let file = folder.path().join("0.ndjson");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{last}\n")).unwrap();
    let expected = lines(&replay(folder.path(), &["--events", "0.ndjson"]));
    assert!(expected.len() > TRANSITIONS_MIN / 10, "only {}", expected.len());

    let halves = [(0..SENT / 2).collect::<Vec<_>>(), (SENT / 2..SENT).collect()];
    let mut found = Vec::new();
    for (at, half) in halves.iter().enumerate() {
        let service = Service::start(folder.path(), None);
        let mut messages: Vec<Value> = half.iter().map(|number| message(*number)).collect();
        messages.extend((at == 1).then(|| last.clone()));
        for message in &messages {
            let answer = post(service.address, message);
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        let told = || get(service.address, "/v1/workspaces/shop/transitions?limit=10000").body;
        if at == 1 {
            // Timers that the last message made due fire behind its answer.
            until("as many transitions", || told().lines().count() >= expected.len());
        }
        found = told().lines().map(str::to_owned).collect();
        assert!(service.stop());
    }
    found.sort();
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let differing = (only(&expected, &found), only(&found, &expected));
    assert_eq!(differing, (vec![], vec![]));
}
