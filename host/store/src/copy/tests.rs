//! Copies between stores of one process.

use super::*;
use crate::tests::{arrival, at, commit, key, put, user};
use crate::{EmbeddedStore, MemoryStore, StoreOptions};

const HOUR: i64 = 3_600_000;

/// A user as the core keeps one who has nothing but these events.
fn with(history: Vec<Arrival>, key: UserKey) -> UserCommit {
    let mut state = vec![5];
    state.extend([0; 18]);
    let profile = Profile::default().encode();
    UserCommit { state: Some(state.into()), profile: Some(profile.into()), history, ..user(key) }
}

/// Fills a store, and has it forget events of one workspace and name.
fn fill(store: &dyn Store) {
    let events = || vec![arrival(1, "buy", 0), arrival(2, "look", 0), arrival(3, "buy", 9 * HOUR)];
    let users = ["w", "wa"].map(|workspace| with(events(), key(workspace, "ann")));
    put(store, commit(9 * HOUR, users.to_vec()));
    let keep_from = |workspace: &str, event: &str| match (workspace, event) {
        ("w", "buy") => at(5 * HOUR),
        _ => Time::MIN,
    };
    store.expire_history(None, 99, &keep_from).unwrap();
}

#[test]
fn what_is_gone_from_the_original_is_known_to_be_in_its_copies() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        EmbeddedStore::open(&folder.path().join(name), StoreOptions { cache_bytes: 1 << 20 })
            .unwrap()
    };
    let (original, memory) = (open("original"), MemoryStore::new());
    fill(&original);
    let gone = original.forgotten("w").unwrap();
    assert_eq!(gone, [("buy".into(), at(HOUR))]);
    let copied = copy(&original, &memory, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!((copied.users, copied.events), (2, 5));
    let back = open("back");
    assert_eq!(copy(&memory, &back, Time::MAX, &mut |_, _, _| {}).unwrap(), copied);
    drop(back);
    for store in [&memory as &dyn Store, &open("back")] {
        assert_eq!(store.forgotten("w").unwrap(), gone);
        assert_eq!(store.forgotten("wa").unwrap(), []);
    }
}

#[test]
fn a_history_hashes_alike_whichever_way_it_is_read() {
    let events = [arrival(1, "buy", 7), arrival(2, "look", 7), arrival(3, "buy", 9 * HOUR)];
    let reversed: Vec<Arrival> = events.iter().rev().cloned().collect();
    assert_eq!(digest(events.to_vec()), digest(reversed));
    let others =
        [arrival(4, "buy", 7), arrival(1, "buys", 7), arrival(1, "buy", 8), arrival(1, "look", 7)];
    for other in others {
        let changed = [&[other], &events[1..]].concat();
        assert_ne!(digest(events.to_vec()), digest(changed));
    }
    assert_ne!(digest(events.to_vec()), digest(events[1..].to_vec()));
}
