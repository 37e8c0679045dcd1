//! A database that is gone for a while: whoever asks it waits, says so, and loses nothing.

use crate::make::{
    arrival, commit, history_of, key, someone, stamped, state_of, tell, telling, user, workspace,
};
use crate::place::{eventually, name, open, settings};
use muster_rig::{CassandraOptions, CassandraServer};
use muster_store::{CqlSettings, CqlStore, Store, UserCommit, UserKey, initialise};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A node that these tests kill and pause, one after the other.
static NODE: LazyLock<Mutex<CassandraServer>> =
    LazyLock::new(|| Mutex::new(CassandraServer::start(CassandraOptions::default()).unwrap()));

fn with_node() -> (MutexGuard<'static, CassandraServer>, CqlSettings) {
    let node = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    let settings =
        CqlSettings { request_time: Duration::from_secs(2), ..settings(node.address(), &name()) };
    eventually("the tables are made", || initialise(&settings).is_ok());
    (node, settings)
}

/// Commits one event after the other until it is told to end. Gives how many.
fn go_on(store: &CqlStore, ann: &UserKey, count: &AtomicU64, end: &AtomicBool) -> u64 {
    loop {
        let number = count.load(Ordering::Acquire) + 1;
        let history = vec![arrival(number, "buy", number as i64 * 10_000_000)];
        let next = stamped(store, UserCommit { history, ..user(ann) });
        if !store.commit(commit(vec![next])).unwrap().overtaken.is_empty() {
            // What it was made from is lost.
            continue;
        }
        count.store(number, Ordering::Release);
        if end.load(Ordering::Acquire) {
            return number;
        }
    }
}

/// Runs something while commits go on, and looks whether each counted once: but for those of which the
/// something says that the node itself may have lost them.
fn during_commits(
    settings: &CqlSettings,
    disturb: impl FnOnce(&CqlStore, &AtomicU64) -> Range<u64>,
) {
    let store = open(settings);
    let ann = someone();
    let (count, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let (made, lost) = std::thread::scope(|scope| {
        let going = scope.spawn(|| go_on(&store, &ann, &count, &end));
        eventually("commits go on", || count.load(Ordering::Acquire) > 5);
        let lost = disturb(&store, &count);
        let before = count.load(Ordering::Acquire);
        eventually("commits go on again", || count.load(Ordering::Acquire) > before + 5);
        end.store(true, Ordering::Release);
        (going.join().unwrap(), lost)
    });
    eventually("whatever waited is answered", || store.outage().is_none());
    let found = history_of(&open(settings), &ann);
    let expected = |number: &u64| found.contains(number) || !lost.contains(number);
    assert_eq!(found, (1..=made).filter(expected).collect::<Vec<_>>());
}

#[test]
fn a_node_that_is_killed_and_comes_back_loses_nothing_of_what_is_committed_meanwhile() {
    let (mut node, settings) = with_node();
    during_commits(&settings, |store, count| {
        // By itself a node loses what it answered for in the last tenth of a second before it was killed.
        let first = count.load(Ordering::Acquire);
        let begun = Instant::now();
        eventually("all of it is written", || begun.elapsed() > Duration::from_secs(1));
        node.kill().unwrap();
        let last = count.load(Ordering::Acquire);
        eventually("the outage is told of", || store.outage().is_some());
        node.restart().unwrap();
        first + 1..last + 1
    });
}

#[test]
fn a_node_that_stands_still_for_long_is_waited_for() {
    let (node, settings) = with_node();
    during_commits(&settings, |store, _| {
        node.pause().unwrap();
        let begun = Instant::now();
        eventually("the outage is told of", || store.outage().is_some());
        eventually("it lasts", || begun.elapsed() > Duration::from_secs(15));
        assert!(store.outage().is_some());
        node.resume().unwrap();
        0..0
    });
}

#[test]
fn reads_wait_and_are_answered_when_it_goes_on() {
    let (node, settings) = with_node();
    let store = open(&settings);
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    node.pause().unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let users = store.users(&ann.workspace, None, 9).unwrap();
            (
                state_of(&store, &ann),
                users,
                store.clock(),
                store.due(crate::make::at(9), 9).unwrap(),
            )
        });
        eventually("the outage is told of", || store.outage().is_some());
        assert!(!reading.is_finished());
        node.resume().unwrap();
        let (state, users, ..) = reading.join().unwrap();
        assert_eq!(state.unwrap(), b"state");
        assert_eq!(users, ["ann".into()]);
    });
    eventually("the outage is over", || store.outage().is_none());
}

#[test]
fn closing_ends_whatever_waits() {
    let (node, settings) = with_node();
    let store = open(&settings);
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    let next = stamped(&store, telling(&ann, [1]));
    node.pause().unwrap();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| store.commit(commit(vec![next])).map(drop));
        let reading = scope.spawn(|| store.user(&ann).map(drop));
        let locking = scope.spawn(|| store.lock("name"));
        let recovering = scope.spawn(|| store.recover().map(drop));
        eventually("the outage is told of", || store.outage().is_some());
        let begun = Instant::now();
        store.close();
        for waiting in [committing, reading, locking, recovering] {
            let said = waiting.join().unwrap().unwrap_err().to_string();
            assert_eq!(said, "the database does not answer, and the service is ending");
        }
        assert!(begun.elapsed() < Duration::from_secs(6), "after {:?}", begun.elapsed());
    });
    let begun = Instant::now();
    drop(store);
    assert!(begun.elapsed() < Duration::from_secs(8), "after {:?}", begun.elapsed());
    node.resume().unwrap();
    assert_eq!(state_of(&open(&settings), &ann).unwrap(), b"state");
}

#[test]
fn a_store_cannot_be_opened_while_it_stands_still() {
    let (node, settings) = with_node();
    node.pause().unwrap();
    let refused = CqlStore::open(&settings, muster_store::CqlMetrics::default()).map(drop);
    node.resume().unwrap();
    let said = refused.unwrap_err().to_string();
    assert!(said.starts_with("cannot reach the database at 127.0.0.1:"), "{said}");
}

#[test]
fn many_commits_under_way_count_each_when_it_goes_on() {
    let (node, settings) = with_node();
    let store = open(&settings);
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..200).map(|n| key(&workspace, &n.to_string())).collect();
    let of = |key| UserCommit { history: vec![arrival(1, "buy", 1)], ..user(key) };
    tell(&store, keys.iter().map(user).collect());
    let users: Vec<UserCommit> = keys.iter().map(|key| stamped(&store, of(key))).collect();
    std::thread::scope(|scope| {
        let committing: Vec<_> = users
            .chunks(50)
            .map(|users| scope.spawn(|| store.commit(commit(users.to_vec())).unwrap()))
            .collect();
        node.pause().unwrap();
        let paused = Instant::now();
        eventually("requests have timed out", || paused.elapsed() > Duration::from_secs(5));
        node.resume().unwrap();
        for thread in committing {
            assert_eq!(thread.join().unwrap().overtaken, []);
        }
    });
    assert!(keys.iter().all(|key| history_of(&store, key) == [1]));
}
