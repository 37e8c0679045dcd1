//! What an embedded store refuses, and that it overwrites nothing then.

use super::*;
use crate::store::{Commit, UserCommit, UserKey};
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

fn commit(user: &str) -> Commit {
    let user = UserCommit {
        key: UserKey { workspace: "w".into(), user: user.into() },
        state: Some(vec![1; 100]),
        profile: Some(vec![2]),
        due_before: None,
        due: None,
        history: Vec::new(),
        members: Vec::new(),
        transitions: vec![b"{}".to_vec()],
    };
    let clock = Time::from_milliseconds(1_000).unwrap();
    Commit { clock, users: vec![user], dead_letters: Vec::new(), audiences: Vec::new() }
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
    fs::write(folder.path().join("FORMAT"), "muster store 2\n").unwrap();
    let before = contents(folder.path());
    let refusal = refusal(folder.path());
    assert!(refusal.contains("has format 2, and this version knows format 1"), "{refusal}");
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
