//! What was committed of a user and not told: by whom it is told, in which order, and until when.

use crate::make::{
    arrival, at, history_of, key, members_of, membership, numbers, put, restamped, someone,
    stamp_of, tell, telling, user, workspace,
};
use crate::place::{Own, eventually, rows};
use muster_store::{Committed, CqlStore, Line, Store, UserCommit, UserKey};

/// Everything that is left to be told, told and settled.
pub(crate) fn recover(store: &CqlStore) -> Vec<(UserKey, Line)> {
    let mut told = Vec::new();
    while let Some(committed) = store.recover().unwrap() {
        store.settle(&committed).unwrap();
        told.extend(committed.told);
    }
    told
}

/// The same, until something of a user was.
pub(crate) fn recover_until(store: &CqlStore, key: &UserKey) -> Vec<(UserKey, Line)> {
    let mut told = Vec::new();
    eventually("what was left is told", || {
        told.extend(recover(store));
        !numbers(&told, key).is_empty()
    });
    told
}

pub(crate) fn journal(own: &Own) -> usize {
    rows(&format!("SELECT turn FROM {}.journal", own.keyspace)).len()
}

#[test]
fn who_commits_next_tells_what_was_left_before_its_own() {
    let own = Own::take();
    let ann = someone();
    put(&own.open(), vec![telling(&ann, [1, 2])]);
    let other = own.open();
    let committed = put(&other, vec![telling(&ann, [3])]);
    assert_eq!(numbers(&committed.told, &ann), [1, 2, 3]);
    other.settle(&committed).unwrap();
    assert_eq!(stamp_of(&other, &ann).untold, None);
    assert_eq!(recover(&other), []);
}

#[test]
fn what_was_left_over_and_over_is_told_in_order() {
    let own = Own::take();
    let ann = someone();
    for number in 1..=4 {
        put(&own.open(), vec![telling(&ann, [number])]);
    }
    let store = own.open();
    let told = recover(&store);
    let mut once = numbers(&told, &ann);
    assert!(once.starts_with(&[1, 2, 3, 4]), "{once:?}");
    once.sort_unstable();
    once.dedup();
    assert_eq!(once, [1, 2, 3, 4]);
    assert_eq!(stamp_of(&store, &ann).untold, None);
}

#[test]
fn who_commits_next_and_has_nothing_to_tell_tells_what_was_left() {
    let own = Own::take();
    let ann = someone();
    put(&own.open(), vec![telling(&ann, [1])]);
    let other = own.open();
    let committed = put(&other, vec![user(&ann)]);
    assert_eq!(numbers(&committed.told, &ann), [1]);
    drop(other);
    // And leaves it in turn when it ends.
    assert_eq!(numbers(&recover(&own.open()), &ann)[..1], [1]);
}

#[test]
fn audiences_that_were_left_out_go_along_unless_there_is_a_later_word() {
    let own = Own::take();
    let (ann, bob) = (someone(), someone());
    put(&own.open(), vec![membership(&ann, 1, Some(10)), membership(&bob, 1, Some(10))]);
    let other = own.open();
    tell(&other, vec![telling(&ann, [2]), membership(&bob, 2, None)]);
    assert_eq!(members_of(&other, &ann.workspace), [("ann".to_string(), 10)]);
    assert_eq!(members_of(&other, &bob.workspace), []);
    assert_eq!(recover(&other).len(), 0);
    assert_eq!(members_of(&other, &bob.workspace), []);
}

#[test]
fn of_lines_that_were_told_in_part_the_rest_is_left() {
    let own = Own::take();
    let ann = someone();
    let store = own.open();
    let committed = put(&store, vec![telling(&ann, 1..5)]);
    let part = Committed { told: committed.told[..2].to_vec(), note: None, ..Committed::default() };
    store.settle(&part).unwrap();
    let left = stamp_of(&store, &ann).untold.unwrap();
    assert_eq!(left.lines, crate::make::lines([3, 4]));
    drop(store);
    assert_eq!(numbers(&recover(&own.open()), &ann), [3, 4]);
}

#[test]
fn an_earlier_telling_that_is_noted_later_takes_nothing_back() {
    let own = Own::take();
    let ann = someone();
    let store = own.open();
    let first = put(&store, vec![telling(&ann, [1])]);
    let second = put(&store, vec![telling(&ann, [2])]);
    assert_eq!(numbers(&second.told, &ann), [1, 2]);
    store.settle(&second).unwrap();
    store.settle(&first).unwrap();
    assert_eq!(stamp_of(&store, &ann).untold, None);
    assert_eq!(journal(&own), 0);
}

#[test]
fn two_may_settle_the_same_at_once() {
    let own = Own::take();
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..10).map(|n| key(&workspace, &n.to_string())).collect();
    for round in 1..=3 {
        put(&own.open(), keys.iter().map(|key| telling(key, [round])).collect());
        let stores = [own.open(), own.open()];
        let told: Vec<(UserKey, Line)> = std::thread::scope(|scope| {
            let settle = |store| scope.spawn(move || recover(store));
            let threads = [settle(&stores[0]), settle(&stores[1])];
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for key in &keys {
            assert!(numbers(&told, key).contains(&round));
            assert_eq!(stamp_of(&stores[0], key).untold, None);
        }
    }
    assert_eq!(journal(&own), 0);
}

#[test]
fn timers_and_history_of_what_was_left_are_there() {
    let own = Own::take();
    let ann = someone();
    let history = vec![arrival(1, "buy", 5)];
    put(&own.open(), vec![UserCommit { history, due: Some(at(50)), ..telling(&ann, [1]) }]);
    let store = own.open();
    recover_until(&store, &ann);
    assert_eq!(history_of(&store, &ann), [1]);
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(50)));
    assert!(store.due(at(51), 9_999).unwrap().contains(&(at(50), ann.clone())));
    // Fencing has not taken the timer from her.
    let fired = UserCommit { fired: Some(at(50)), ..user(&ann) };
    tell(&store, vec![restamped(fired)]);
    assert!(!store.due(at(51), 9_999).unwrap().contains(&(at(50), ann)));
}
