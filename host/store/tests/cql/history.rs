//! Histories: rows that events share, reads that begin and end within them, and what is kept for how long.

use crate::make::{arrival, at, commit, history_of, key, someone, stamped, tell, user, workspace};
use crate::place::{Own, eventually, shared};
use muster_core::{Arrival, Time};
use muster_store::{Commit, CqlStore, Store, UserCommit, UserKey, Wanted};
use std::collections::HashMap;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

fn add(key: &UserKey, history: Vec<Arrival>) {
    tell(shared(), vec![UserCommit { history, ..user(key) }]);
}

fn read(key: &UserKey, event: Option<&str>, from: i64, to: i64) -> Vec<u64> {
    let events = shared().history(key, event, at(from), at(to)).unwrap();
    events.iter().map(|arrival| arrival.number).collect()
}

/// Commits history at that clock, keeping the events of each name for so long.
fn add_kept(
    store: &CqlStore,
    key: &UserKey,
    clock: i64,
    history: Vec<Arrival>,
    kept_ms: &[(&str, i64)],
) {
    let users = vec![stamped(store, UserCommit { history, ..user(key) })];
    let name = |(event, span): &(&str, i64)| ((key.workspace.clone(), Arc::from(*event)), *span);
    let kept_ms: HashMap<_, _> = kept_ms.iter().map(name).collect();
    let commit = Commit { clock: at(clock), made: at(clock), kept_ms, ..commit(users) };
    assert_eq!(store.commit(commit).unwrap().overtaken, []);
}

#[test]
fn events_are_read_back_whole() {
    let ann = someone();
    let events = vec![arrival(1, "buy", -7), arrival(2, "buy", 0), arrival(3, "buy", 5 * HOUR)];
    add(&ann, events.clone());
    assert_eq!(shared().history(&ann, Some("buy"), Time::MIN, Time::MAX).unwrap(), events);
    assert_eq!(shared().history(&ann, None, Time::MIN, Time::MAX).unwrap(), events);
}

#[test]
fn both_ends_of_a_span_belong_to_it() {
    let ann = someone();
    add(&ann, (0..10).map(|n| arrival(n, "buy", n as i64 * 100)).collect());
    for event in [None, Some("buy")] {
        assert_eq!(read(&ann, event, 200, 400), [2, 3, 4]);
        assert_eq!(read(&ann, event, 200, 200), [2]);
        assert_eq!(read(&ann, event, 201, 299), [] as [u64; 0]);
        assert_eq!(read(&ann, event, 400, 200), [] as [u64; 0]);
    }
}

#[test]
fn a_span_that_begins_within_a_row_finds_the_rest_of_it() {
    let ann = someone();
    // One row from 0 to an hour, the longest that there is, and another from then on.
    let times = [0, 1, HOUR - 1, HOUR, HOUR + 1, 2 * HOUR, 2 * HOUR + 1];
    add(&ann, (1..).zip(times).map(|(number, time)| arrival(number, "buy", time)).collect());
    for event in [None, Some("buy")] {
        assert_eq!(read(&ann, event, HOUR, HOUR), [4]);
        assert_eq!(read(&ann, event, HOUR, 3 * HOUR), [4, 5, 6, 7]);
        assert_eq!(read(&ann, event, HOUR - 1, HOUR + 1), [3, 4, 5]);
        assert_eq!(read(&ann, event, 2 * HOUR + 1, 9 * HOUR), [7]);
        assert_eq!(read(&ann, event, 2, HOUR - 2), [] as [u64; 0]);
    }
}

#[test]
fn rows_of_several_commits_are_read_in_the_order_of_time() {
    let ann = someone();
    add(&ann, vec![arrival(1, "buy", 50), arrival(2, "buy", HOUR)]);
    add(&ann, vec![arrival(3, "buy", 10), arrival(4, "buy", HOUR / 2)]);
    add(&ann, vec![arrival(5, "buy", 50), arrival(6, "look", 50), arrival(7, "buy", 51)]);
    assert_eq!(history_of(shared(), &ann), [3, 1, 5, 6, 7, 4, 2]);
    assert_eq!(read(&ann, Some("buy"), 50, HOUR - 1), [1, 5, 7, 4]);
}

#[test]
fn events_of_one_instant_are_in_the_order_of_arrival_whatever_they_are_called() {
    let ann = someone();
    let names = ["z", "a", "m", "z", "a"];
    add(&ann, (1..).zip(names).map(|(number, name)| arrival(number, name, 7)).collect());
    assert_eq!(history_of(shared(), &ann), [1, 2, 3, 4, 5]);
}

#[test]
fn rows_that_begin_at_one_instant_do_not_replace_each_other() {
    let ann = someone();
    for number in 1..=5 {
        add(&ann, vec![arrival(number, "buy", 7)]);
    }
    assert_eq!(read(&ann, Some("buy"), 7, 7), [1, 2, 3, 4, 5]);
}

#[test]
fn names_that_begin_alike_are_told_apart() {
    let ann = someone();
    let names = ["buy", "buyer", "bu", "BUY", "buy ", "b'uy", "é"];
    add(&ann, (1..).zip(names).map(|(number, name)| arrival(number, name, 7)).collect());
    for (number, name) in (1..).zip(names) {
        assert_eq!(read(&ann, Some(name), 0, 9), [number], "{name:?}");
    }
    assert_eq!(read(&ann, Some("b"), 0, 9), [] as [u64; 0]);
}

#[test]
fn users_and_workspaces_have_histories_of_their_own() {
    let (one, other) = (workspace(), workspace());
    let keys = [key(&one, "ann"), key(&one, "bob"), key(&other, "ann")];
    for (number, key) in (1..).zip(&keys) {
        add(key, vec![arrival(number, "buy", 7)]);
    }
    for (number, key) in (1..).zip(&keys) {
        assert_eq!(history_of(shared(), key), [number]);
    }
}

#[test]
fn the_earliest_and_the_latest_instants_are_kept() {
    let ann = someone();
    let (first, last) = (Time::MIN.milliseconds(), Time::MAX.milliseconds());
    add(&ann, vec![arrival(1, "buy", last), arrival(2, "buy", first), arrival(3, "buy", -1)]);
    assert_eq!(read(&ann, Some("buy"), first, last), [2, 3, 1]);
    assert_eq!(read(&ann, Some("buy"), first, first), [2]);
    assert_eq!(read(&ann, Some("buy"), last, last), [1]);
}

#[test]
fn ten_thousand_events_of_one_commit_are_kept() {
    let ann = someone();
    // Half of them in rows of their own.
    let time = |n: u64| if n.is_multiple_of(2) { n as i64 } else { n as i64 * 2 * HOUR };
    let events: Vec<Arrival> = (0..10_000).map(|n| arrival(n, "buy", time(n))).collect();
    add(&ann, events);
    let read = shared().history(&ann, Some("buy"), Time::MIN, Time::MAX).unwrap();
    assert_eq!(read.len(), 10_000);
    assert!(read.is_sorted_by_key(|arrival| (arrival.event.time, arrival.number)));
    assert!(read.iter().all(|arrival| arrival.event.time == at(time(arrival.number))));
    assert_eq!(history_of(shared(), &ann).len(), 10_000);
}

#[test]
fn many_parts_are_read_in_the_places_of_what_was_wanted() {
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..40).map(|n| key(&workspace, &n.to_string())).collect();
    let of = |(number, key): (u64, &UserKey)| {
        let history = vec![arrival(number, "buy", 10), arrival(number + 100, "look", 20)];
        UserCommit { history, ..user(key) }
    };
    tell(shared(), (0..).zip(&keys).map(of).collect());
    let part = |key: &UserKey, event: Option<&str>, from: i64, to: i64| Wanted {
        key: key.clone(),
        event: event.map(Arc::from),
        from: at(from),
        to: at(to),
    };
    let wanted: Vec<Wanted> = keys
        .iter()
        .rev()
        .flat_map(|key| {
            [part(key, Some("buy"), 0, 99), part(key, None, 11, 99), part(key, None, 9, 0)]
        })
        .collect();
    let found = shared().histories(&wanted).unwrap();
    let numbers = |events: &Vec<Arrival>| events.iter().map(|a| a.number).collect::<Vec<_>>();
    let expected = (0..40u64).rev().flat_map(|number| [vec![number], vec![number + 100], vec![]]);
    assert_eq!(found.iter().map(numbers).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn events_are_gone_when_their_time_is_over_and_others_stay() {
    let ann = someone();
    let history = vec![
        arrival(1, "short", 1_000),
        arrival(2, "long", 1_000),
        arrival(3, "ever", 1_000),
        arrival(4, "late", -900_000),
    ];
    let kept = [("short", 1_000), ("long", HOUR), ("late", HOUR)];
    add_kept(shared(), &ann, 1_000, history, &kept);
    eventually("the event is gone", || history_of(shared(), &ann) == [4, 2, 3]);
    assert_eq!(read(&ann, Some("short"), 0, 9_000), [] as [u64; 0]);
    // The row of one who has no event left is there all the same.
    assert!(shared().user(&ann).unwrap().is_some());
}

#[test]
fn an_event_that_was_over_when_it_came_is_gone_soon() {
    let ann = someone();
    add_kept(shared(), &ann, 9 * HOUR, vec![arrival(1, "buy", 0)], &[("buy", HOUR)]);
    eventually("the event is gone", || history_of(shared(), &ann).is_empty());
}

#[test]
fn a_row_is_kept_for_as_long_as_its_latest_event() {
    let ann = someone();
    let row = vec![arrival(1, "buy", 0), arrival(2, "buy", HOUR)];
    add_kept(shared(), &ann, HOUR, row, &[("buy", HOUR)]);
    add_kept(shared(), &ann, HOUR, vec![arrival(3, "gone", 0)], &[("gone", HOUR)]);
    eventually("what is over is gone", || !history_of(shared(), &ann).contains(&3));
    assert_eq!(history_of(shared(), &ann), [1, 2]);
}

#[test]
fn what_is_kept_for_centuries_is_kept_for_ever() {
    let ann = someone();
    let history = vec![arrival(1, "buy", 0), arrival(2, "look", 0)];
    add_kept(shared(), &ann, 0, history, &[("buy", i64::MAX), ("look", 300 * 365 * 24 * HOUR)]);
    assert_eq!(history_of(shared(), &ann), [1, 2]);
}

#[test]
fn nothing_is_forgotten_that_is_kept_for_ever_or_not_long_enough() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    let history = vec![arrival(1, "ever", 0), arrival(2, "buy", 0)];
    add_kept(&store, &ann, HOUR, history, &[("buy", 2 * HOUR), ("other", 1)]);
    assert_eq!(store.forgotten(&ann.workspace).unwrap(), []);
    assert_eq!(store.forgotten("nobody's").unwrap(), []);
}

#[test]
fn what_is_forgotten_is_told_by_name_also_by_another_store() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    let history = vec![arrival(1, "buy", 0), arrival(2, "look", 0), arrival(3, "ever", 0)];
    add_kept(&store, &ann, HOUR, history, &[("buy", 2 * HOUR), ("look", 30 * HOUR)]);
    let later = Commit { clock: at(9 * HOUR), ..commit(Vec::new()) };
    store.commit(later).unwrap();
    let expected = [("buy".into(), at(7 * HOUR))];
    assert_eq!(store.forgotten(&ann.workspace).unwrap(), expected);
    assert_eq!(own.open().forgotten(&ann.workspace).unwrap(), expected);
}

#[test]
fn what_was_forgotten_once_is_not_remembered_by_keeping_longer() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    add_kept(&store, &ann, HOUR, vec![arrival(1, "buy", 0)], &[("buy", HOUR)]);
    add_kept(&store, &ann, 20 * HOUR, vec![arrival(2, "buy", 20 * HOUR)], &[("buy", 90 * HOUR)]);
    assert_eq!(store.forgotten(&ann.workspace).unwrap(), [("buy".into(), at(19 * HOUR))]);
    let later = Commit { clock: at(50 * HOUR), ..commit(Vec::new()) };
    store.commit(later).unwrap();
    // What came just before it was kept longer is gone by now, and nothing of what came after.
    assert_eq!(store.forgotten(&ann.workspace).unwrap(), [("buy".into(), at(20 * HOUR))]);
}

#[test]
fn a_sweep_for_what_is_over_finds_nothing_to_do() {
    assert_eq!(shared().expire_history(None, 99, &|_, _| Time::MAX).unwrap(), (0, None));
    assert_eq!(shared().expire_transitions(Time::MAX).unwrap(), 0);
}
