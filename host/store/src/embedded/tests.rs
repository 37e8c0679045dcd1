//! What an embedded store refuses, and that it overwrites nothing then.

use super::*;
use crate::tests::{key, user};
use crate::{Commit, Line, UserCommit};
use fjall::PersistMode;
use std::collections::BTreeMap;
use std::fs;

fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, StoreOptions { cache_bytes: 1 << 20 })
}

fn refusal(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error.to_string(),
    }
}

fn commit(name: &str) -> Commit {
    let user = UserCommit {
        state: Some(vec![1; 100].into()),
        transitions: vec![Line { number: 1, json: b"{}".to_vec() }],
        ..user(key("w", name))
    };
    crate::tests::commit(1_000, vec![user])
}

/// All files below a folder and what they hold.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_directory_that_is_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letters.txt"), "dear").unwrap();
    let before = contents(folder.path());
    assert!(refusal(folder.path()).contains("is not empty and not a store: name another"));
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn another_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    fs::write(folder.path().join("FORMAT"), "muster store 5\n").unwrap();
    let before = contents(folder.path());
    let refusal = refusal(folder.path());
    assert!(refusal.contains("has format 5, and this version knows format 4"), "{refusal}");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_store_in_use_is_refused_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    assert!(refusal(folder.path()).contains("is in use by another process: stop that first"));
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_store_that_lost_acknowledged_commits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.commit(commit("ann")).unwrap();
    store.commit(commit("bob")).unwrap();
    drop(store);
    for (path, _) in contents(&folder.path().join("tables")) {
        if path.ends_with(".jnl") {
            let journal = fs::OpenOptions::new().write(true).open(path).unwrap();
            journal.set_len(100).unwrap();
        }
    }
    let refusal = refusal(folder.path());
    assert!(refusal.contains("2 commits were acknowledged and"), "{refusal}");
}

#[test]
fn a_store_whose_tables_are_gone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.commit(commit("ann")).unwrap();
    drop(store);
    fs::remove_dir_all(folder.path().join("tables")).unwrap();
    assert!(refusal(folder.path()).contains("1 commits were acknowledged and 0 are there"));
    assert!(!folder.path().join("tables").exists());
}

#[test]
fn a_store_whose_first_start_broke_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(Directory::open(folder.path()).unwrap());
    let tables = folder.path().join("tables");
    let break_off = || {
        fs::create_dir_all(tables.join("keyspaces")).unwrap();
        for file in ["lock", "0.jnl", "version"] {
            fs::write(tables.join(file), "").unwrap();
        }
    };
    break_off();
    let store = open(folder.path()).unwrap();
    store.commit(commit("ann")).unwrap();
    drop(store);
    // With anything acknowledged, what looks the same is damage.
    fs::remove_dir_all(&tables).unwrap();
    break_off();
    let before = contents(folder.path());
    assert!(refusal(folder.path()).contains("restore it from a backup"));
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_store_whose_mark_is_damaged_or_gone_is_refused() {
    for is_gone in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        store.commit(commit("ann")).unwrap();
        store.commit(commit("bob")).unwrap();
        drop(store);
        let mark = folder.path().join("mark");
        if is_gone { fs::remove_file(mark) } else { fs::write(mark, [7; 9_000]) }.unwrap();
        let refusal = refusal(folder.path());
        assert!(refusal.contains("`mark` tells of 0 commits and 2 are there"), "{refusal}");
    }
}

#[test]
fn a_commit_whose_mark_was_not_written_is_marked_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    drop(open(folder.path()).unwrap());
    let mut unmarked = Vec::new();
    for user in ["ann", "bob", "cat"] {
        let store = open(folder.path()).unwrap();
        unmarked = fs::read(&mark).unwrap();
        store.commit(commit(user)).unwrap();
    }
    // As after a crash between the commit and its mark.
    fs::write(&mark, unmarked).unwrap();
    drop(open(folder.path()).unwrap());
    assert_eq!(Mark::open(&mark).unwrap().read().unwrap(), 3);
}

#[test]
fn a_torn_mark_is_read_from_the_other_slot() {
    let folder = tempfile::tempdir().unwrap();
    let mark = Mark::open(&folder.path().join("mark")).unwrap();
    assert_eq!(mark.read().unwrap(), 0);
    mark.write(1).unwrap();
    mark.write(2).unwrap();
    let mut bytes = fs::read(folder.path().join("mark")).unwrap();
    bytes[3] ^= 0xff;
    fs::write(folder.path().join("mark"), bytes).unwrap();
    assert_eq!(mark.read().unwrap(), 1);
}

#[test]
fn after_a_failed_write_nothing_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    store.commit(commit("ann")).unwrap();
    // A mark that cannot be written: the commit's outcome is unknown to whoever sent it.
    let read_only = folder.path().join("read-only");
    fs::write(&read_only, "").unwrap();
    store.mark = Mark::read_only(&read_only).unwrap();
    let failed = store.commit(commit("bob")).unwrap_err().to_string();
    assert!(failed.contains("mend that, and start again"), "{failed}");
    store.mark = Mark::open(&folder.path().join("mark")).unwrap();
    assert!(store.commit(commit("cat")).is_err());
    drop(store);
    let store = open(folder.path()).unwrap();
    store.commit(commit("cat")).unwrap();
}

/// Makes the tables fail as they do on a full disk: they cannot be written in the background.
fn break_tables(store: &EmbeddedStore) {
    fs::remove_dir_all(store.directory.path.join("tables").join("keyspaces")).unwrap();
    store.tables.outbox.rotate_memtable().unwrap();
    let started = std::time::Instant::now();
    while store.database.persist(PersistMode::Buffer).is_ok() {
        assert!(started.elapsed().as_secs() < 20, "writing the tables did not fail");
        std::thread::yield_now();
    }
}

#[test]
fn after_a_failed_deletion_nothing_is_accepted_and_nothing_has_expired() {
    type Deletion = fn(&EmbeddedStore) -> Result<(), StoreError>;
    let late = || Time::from_milliseconds(2_000).unwrap();
    let deletions: [Deletion; 2] = [
        |store| store.expire_transitions(Time::MAX).map(drop),
        |store| store.expire_history(None, 10, &|_, _| Time::MAX).map(drop),
    ];
    for delete in deletions {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let mut ann = commit("ann");
        let event = muster_core::Event {
            name: "buy".into(),
            time: late(),
            id: None,
            properties: Vec::new(),
            context: Arc::default(),
        };
        ann.users[0].history = vec![Arrival { number: 1, event: Arc::new(event) }];
        store.commit(ann).unwrap();
        break_tables(&store);
        let failed = delete(&store).unwrap_err();
        assert!(failed.to_string().contains("perhaps because the disk is full: mend"), "{failed}");
        assert_eq!(store.transitions("w", 0, 10).unwrap(), [(1, b"{}".to_vec())]);
        // Whatever comes next is refused by the store itself, not for the tables' sake.
        assert!(store.state().failed.is_some());
        let refused = store.commit(commit("bob")).unwrap_err().to_string();
        assert_eq!(refused, failed.to_string());
    }
}

#[test]
fn a_reader_that_looked_before_a_deletion_takes_no_gap_for_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for clock in [1_000, 2_000, 3_000] {
        let clock = Time::from_milliseconds(clock).unwrap();
        store.commit(Commit { clock, made: clock, ..commit("ann") }).unwrap();
    }
    let forget = || store.state().cursors.get_mut("w").unwrap().expired = 0;
    let oldest = |after: u64| match store.transitions("w", after, 10) {
        Err(StoreError::CursorExpired { oldest }) => oldest,
        other => panic!("not expired: {other:?}"),
    };
    store.expire_transitions(Time::from_milliseconds(3_000).unwrap()).unwrap();
    forget();
    assert_eq!((oldest(0), oldest(1)), (2, 2));
    assert_eq!(store.transitions("w", 2, 10).unwrap(), [(3, b"{}".to_vec())]);
    store.expire_transitions(Time::MAX).unwrap();
    forget();
    assert_eq!(oldest(2), 3);
    assert!(store.transitions("w", 3, 10).unwrap().is_empty());
}
