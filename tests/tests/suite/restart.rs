//! Real data, straight through and with the store closed and opened again every 1,000 messages: the
//! same transitions, byte for byte.

use muster::decode::decode;
use muster::guest::{GuestEngine, GuestSettings};
use muster::replay::Replay;
use muster::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use muster::store::{EmbeddedStore, MemoryStore, Store, StoreOptions, UserKey};
use muster::transitions::to_line;
use muster_core::{Message, Settings, Transition};
use muster_rules::Source;
use muster_tests::dataset::Dataset;
use muster_tests::subject;
use std::path::Path;

const MESSAGES_BETWEEN_RESTARTS: usize = 1_000;

fn check(dataset: Dataset, rules: &str, transitions_min: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(rules);
    let text = std::fs::read_to_string(path).unwrap();
    let source = Source { name: rules.into(), text };
    let ruleset = subject::load(&[source], Settings::default()).unwrap();
    let messages: Vec<(UserKey, Message)> = dataset
        .messages()
        .unwrap()
        .iter()
        .map(|json| {
            let decoded = decode(json.as_bytes(), None).unwrap();
            let key = UserKey { workspace: decoded.workspace, user: decoded.user };
            (key, decoded.message.unwrap())
        })
        .collect();
    let through = {
        let store = MemoryStore::new();
        replay(&ruleset, &store, &messages, true)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut restarted = Vec::new();
    let mut pieces = messages.chunks(MESSAGES_BETWEEN_RESTARTS).peekable();
    while let Some(piece) = pieces.next() {
        let path = folder.path().join("store");
        let store = EmbeddedStore::open(&path, StoreOptions::default()).unwrap();
        restarted.extend(replay(&ruleset, &store, piece, pieces.peek().is_none()));
    }
    assert!(through.len() >= transitions_min, "only {} transitions", through.len());
    assert_eq!(through.len(), restarted.len());
    let differing = through.iter().zip(&restarted).find(|(one, other)| one != other);
    assert!(differing.is_none(), "the first difference: {differing:#?}");
}

fn replay(
    ruleset: &Ruleset,
    store: &dyn Store,
    messages: &[(UserKey, Message)],
    is_last: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |key: &UserKey, transition: &Transition| {
        lines.push(String::from_utf8(to_line(key, transition)).unwrap());
    };
    let mut replay = Replay::new(ruleset, store, None, &mut tell).unwrap();
    for (key, message) in messages {
        replay.message(key, message.clone(), &mut tell).unwrap();
    }
    if is_last { replay.finish(&mut tell) } else { replay.suspend() }.unwrap();
    lines
}

#[test]
fn cdnow_says_the_same_with_restarts() {
    check(Dataset::Cdnow, "cdnow.yaml", 400_000);
}

#[test]
fn clickstream_says_the_same_with_restarts() {
    check(Dataset::Clickstream, "clickstream.yaml", 15_000);
}

#[test]
fn members_leave_an_audience_that_is_no_more() {
    let guests = GuestEngine::new(GuestSettings::default()).unwrap();
    let mut loader = RulesetLoader::new(guests, Settings::default());
    let store = MemoryStore::new();
    let mut told = Vec::new();
    for (ids, event) in [(vec!["a", "b"], "buy"), (vec!["b"], "look")] {
        let audience = |id| format!("  - {{ id: {id}, where: {{ event: buy }} }}\n");
        let text = "audiences:\n".to_string() + &ids.into_iter().map(audience).collect::<String>();
        let files = RuleFiles {
            definitions: vec![Source { name: "rules.yaml".into(), text }],
            ..RuleFiles::default()
        };
        let ruleset = loader.load(&files, store.audience_ids().unwrap()).unwrap();
        let message = format!(r#"{{"user":"ann","events":[{{"name":"{event}","time":5}}]}}"#);
        let decoded = decode(message.as_bytes(), None).unwrap();
        let key = UserKey { workspace: decoded.workspace, user: decoded.user };
        let lines = replay(&ruleset, &store, &[(key, decoded.message.unwrap())], true);
        told.push(lines.join("\n"));
    }
    assert!(told[1].contains(r#""audience":"a","change":"left""#), "{told:#?}");
    assert_eq!(told[1].lines().count(), 1, "{told:#?}");
}
