//! A disk that is full: nothing is accepted any more, the reason is told, and nothing acknowledged is lost.

use crate::http::{get, post};
use crate::process::{Service, spawn};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const RULES: &str = "audiences:\n  - { id: buyers, where: { event: purchase } }\n";
const SETTINGS: &str =
    "[http]\nlisten = \"127.0.0.1:0\"\n[access]\nopen = true\n[workspaces]\nshop = \"rules\"\n";
/// Kilobytes that each file may have: a write beyond fails, as on a full disk. A journal that is
/// opened again is only as long as what was committed, and everything else is smaller.
const FILE_KILOBYTES_MAX: u32 = 256;
/// Messages that fill as much, several times over.
const MESSAGES_MAX: u32 = 1_000;
/// Bytes of a message's note: so many that few fill the disk, and too few to be compressed.
const NOTE_BYTES: usize = 2_000;

/// A folder with settings and rules, and no store yet.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules").join("audiences.yaml"), RULES).unwrap();
    fs::write(folder.path().join("muster.toml"), SETTINGS).unwrap();
    folder
}

fn buyers(service: &Service) -> BTreeSet<String> {
    let path = format!("/v1/workspaces/shop/audiences/buyers/members?limit={MESSAGES_MAX}");
    let members = get(service.address, &path).json()["members"].take();
    let members = members.as_array().unwrap().iter();
    members.map(|member| member["user"].as_str().unwrap().to_string()).collect()
}

fn message(number: u32) -> Value {
    let note: String = (0..NOTE_BYTES).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    json!({ "workspace": "shop", "user": format!("u{number}"), "events": [{
        "name": "purchase", "id": format!("e{number}"), "time": "2026-01-01T00:00:00Z",
        "properties": { "note": note } }] })
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_that_was_acknowledged() {
    let folder = folder();
    // The first start takes room for a journal, which a later one gives back.
    assert!(Service::start(folder.path(), None).stop());

    let service = Service::start(folder.path(), Some(FILE_KILOBYTES_MAX));
    let mut acknowledged = BTreeSet::new();
    let mut refusal = None;
    for number in 0..MESSAGES_MAX {
        let answer = post(service.address, &message(number));
        if answer.status != 200 {
            refusal = Some((number, answer));
            break;
        }
        acknowledged.insert(format!("u{number}"));
    }
    let (refused, answer) = refusal.expect("the disk was never full");
    assert!(refused > 10, "too full to begin with: {}", answer.body);
    let says_why = |body: &str| {
        let parts =
            ["the store accepts nothing any more", "File too large", "mend that, and start again"];
        assert!(parts.iter().all(|part| body.contains(part)), "{body}");
    };
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(!answer.head.contains("retry-after"), "{}", answer.head);
    says_why(&answer.body);
    let after = post(service.address, &message(MESSAGES_MAX));
    assert_eq!((after.status, after.body), (503, answer.body));
    let ready = get(service.address, "/readyz");
    assert_eq!(ready.status, 503);
    says_why(&ready.body);
    assert_eq!(get(service.address, "/healthz").status, 200);
    assert_eq!(buyers(&service), acknowledged);
    assert!(!service.stop(), "a service whose store failed ended as if nothing had been");

    let service = Service::start(folder.path(), None);
    let missing: Vec<String> = acknowledged.difference(&buyers(&service)).cloned().collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    // Whoever was refused sends the same again: it counts once, whatever became of the first.
    assert_eq!(post(service.address, &message(refused)).status, 200);
    acknowledged.insert(format!("u{refused}"));
    assert_eq!(buyers(&service), acknowledged);
    let path = format!("/v1/workspaces/shop/transitions?limit={}", 2 * MESSAGES_MAX);
    assert_eq!(get(service.address, &path).body.lines().count(), acknowledged.len());
    service.stop();
}

#[test]
fn a_store_for_which_there_was_no_room_is_made_when_there_is() {
    let folder = folder();
    let ended = spawn(folder.path(), Some(FILE_KILOBYTES_MAX)).wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!ended.success() && log.contains("for a store: File too large"), "{log}");
    assert!(!log.contains("backup"), "{log}");
    let service = Service::start(folder.path(), None);
    assert_eq!(post(service.address, &message(1)).status, 200);
    service.stop();
}
