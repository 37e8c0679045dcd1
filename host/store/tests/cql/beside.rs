//! What is of no user: the clock, what was refused, ids of audiences.

use crate::make::{at, commit, workspace};
use crate::place::{Own, shared};
use muster_core::{AudienceKey, Time};
use muster_store::{Commit, CqlStore, Store, StoreError};
use std::collections::BTreeSet;

fn go_on(store: &CqlStore, clock: i64) {
    store.commit(Commit { clock: at(clock), ..commit(Vec::new()) }).unwrap();
}

fn refuse(store: &CqlStore, made: i64, letters: &[&str]) {
    let dead_letters = letters.iter().map(|letter| letter.as_bytes().to_vec()).collect();
    store.commit(Commit { made: at(made), dead_letters, ..commit(Vec::new()) }).unwrap();
}

fn letters(store: &CqlStore, after: u64, limit: usize) -> Vec<String> {
    let found = store.dead_letters(after, limit).unwrap();
    found.into_iter().map(|(_, letter)| String::from_utf8(letter).unwrap()).collect()
}

#[test]
fn the_clock_is_that_of_the_latest_commit_whoever_made_it() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let base = one.clock().milliseconds();
    go_on(&one, base + 1_000);
    assert_eq!(one.clock(), at(base + 1_000));
    // By a clock that is behind, and comes later.
    go_on(&other, base + 500);
    assert_eq!(own.open().clock(), at(base + 1_000));
    go_on(&other, base + 1_001);
    assert_eq!(own.open().clock(), at(base + 1_001));
}

#[test]
fn the_clock_does_not_go_back_by_stores_that_commit_at_once() {
    let own = Own::take();
    let stores = [own.open(), own.open()];
    let base = stores[0].clock().milliseconds();
    std::thread::scope(|scope| {
        for (number, store) in (0..).zip(&stores) {
            scope.spawn(move || (0..50).for_each(|turn| go_on(store, base + 2 * turn + number)));
        }
        for _ in 0..5 {
            let before = own.open().clock();
            assert!(own.open().clock() >= before);
        }
    });
    assert_eq!(own.open().clock(), at(base + 99));
}

#[test]
fn what_was_refused_is_read_in_the_order_of_its_making() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    // Later than what other tests were refused.
    let from = (1 + fastrand::i64(1..1_000)) * 1_000_000_000;
    refuse(&one, from + 2, &["c"]);
    refuse(&other, from + 3, &["d"]);
    refuse(&one, from + 1, &["b"]);
    refuse(&other, from, &["a"]);
    let begin = one.dead_letters(0, usize::MAX).unwrap();
    let first = begin.iter().position(|(_, letter)| letter == b"a").unwrap();
    assert_eq!(letters(&one, begin[first].0 - 1, 4), ["a", "b", "c", "d"]);
    assert_eq!(letters(&other, begin[first].0, 2), ["b", "c"]);
}

#[test]
fn what_two_stores_refuse_in_one_millisecond_is_all_kept() {
    let own = Own::take();
    let stores = [own.open(), own.open()];
    let made = fastrand::i64(1..1_000) * 1_000_003;
    let of = |store: usize, turn: usize| format!("{made} {store} {turn}");
    std::thread::scope(|scope| {
        for (number, store) in stores.iter().enumerate() {
            scope.spawn(move || {
                for turn in 0..20 {
                    let all =
                        [of(number, 3 * turn), of(number, 3 * turn + 1), of(number, 3 * turn + 2)];
                    refuse(store, made, &all.each_ref().map(|letter| &**letter));
                }
            });
        }
    });
    let found: BTreeSet<String> = letters(&stores[0], 0, usize::MAX).into_iter().collect();
    assert!((0..2).all(|store| (0..60).all(|turn| found.contains(&of(store, turn)))));
}

#[test]
fn reading_what_was_refused_ends() {
    refuse(shared(), 5, &["one"]);
    let all = shared().dead_letters(0, usize::MAX).unwrap();
    let (last, _) = all.last().unwrap();
    assert_eq!(letters(shared(), *last, 9), [] as [String; 0]);
    assert_eq!(letters(shared(), u64::MAX, 9), [] as [String; 0]);
    assert_eq!(letters(shared(), 0, 0), [] as [String; 0]);
}

#[test]
fn audiences_are_remembered_by_their_keys() {
    let own = Own::take();
    let ids = [workspace(), workspace(), "it's an \"audience\"\n".into()];
    let audiences: Vec<_> = ids.iter().map(|id| (AudienceKey::of(id), id.clone())).collect();
    let store = own.open();
    for _ in 0..2 {
        store.commit(Commit { audiences: audiences.clone(), ..commit(Vec::new()) }).unwrap();
    }
    for store in [store, own.open()] {
        let found = store.audience_ids().unwrap();
        assert!(found.is_sorted());
        assert!(
            audiences.iter().all(|audience| found.iter().filter(|a| *a == audience).count() == 1)
        );
    }
}

#[test]
fn transitions_are_not_kept_to_be_read() {
    let refused = [
        shared().transitions("w", 0, 9).map(drop).unwrap_err(),
        shared().cursor("w").map(drop).unwrap_err(),
    ];
    for refused in refused {
        assert!(matches!(refused, StoreError::ToldElsewhere), "{refused}");
    }
    assert_eq!(shared().expire_transitions(Time::MAX).unwrap(), 0);
}
