//! Who was quicker: a commit counts from the version that it was made from, and from no other.

use crate::make::{
    arrival, at, commit, history_of, key, members_of, membership, put, restamped, someone,
    stamp_of, stamped, state, state_of, tell, telling, user, workspace,
};
use crate::place::{Own, rows, shared};
use muster_core::Time;
use muster_store::{CqlStore, Stamp, Store, UserCommit, UserKey, Version};
use std::sync::Barrier;

/// A user who was written after what this commit was made from: it comes too late.
fn late(store: &CqlStore, late: UserCommit) -> UserCommit {
    let late = stamped(store, late);
    tell(store, vec![UserCommit { state: state("quicker"), ..user(&late.key) }]);
    late
}

/// A user who is there.
fn known(store: &CqlStore) -> UserKey {
    let ann = someone();
    tell(store, vec![user(&ann)]);
    ann
}

/// Commits what must not count.
fn lose(store: &CqlStore, late: UserCommit) {
    let key = late.key.clone();
    let committed = store.commit(commit(vec![late])).unwrap();
    assert_eq!(committed.overtaken, [key]);
    assert_eq!(committed.told, []);
    assert_eq!(committed.note, None);
}

#[test]
fn who_comes_late_changes_no_state_profile_or_shadow() {
    let ann = known(shared());
    let (profile, shadow) = (state("late"), Some(state("late")));
    let late = late(shared(), UserCommit { state: state("late"), profile, shadow, ..user(&ann) });
    let stood = shared().read(std::slice::from_ref(&ann)).unwrap();
    lose(shared(), late);
    assert_eq!(shared().read(std::slice::from_ref(&ann)).unwrap(), stood);
    assert_eq!(state_of(shared(), &ann).unwrap(), b"quicker");
}

#[test]
fn who_comes_late_adds_no_history() {
    let ann = known(shared());
    let history = vec![arrival(1, "buy", 5), arrival(2, "buy", 99_000_000), arrival(3, "look", 5)];
    let late = late(shared(), UserCommit { history, ..user(&ann) });
    lose(shared(), late);
    assert_eq!(history_of(shared(), &ann), [] as [u64; 0]);
}

#[test]
fn who_comes_late_enters_and_leaves_no_audience() {
    let ann = someone();
    tell(shared(), vec![membership(&ann, 1, Some(7))]);
    let leaving = late(shared(), membership(&ann, 2, None));
    lose(shared(), leaving);
    assert_eq!(members_of(shared(), &ann.workspace), [("ann".to_string(), 7)]);
    let bob = known(shared());
    let entering = late(shared(), membership(&bob, 1, Some(9)));
    lose(shared(), entering);
    assert_eq!(members_of(shared(), &bob.workspace), []);
}

#[test]
fn who_comes_late_leaves_nothing_to_be_told() {
    let own = Own::take();
    let store = own.open();
    let ann = known(&store);
    let late = late(&store, telling(&ann, 1..4));
    lose(&store, late);
    assert_eq!(stamp_of(&store, &ann).untold, None);
    assert_eq!(rows(&format!("SELECT turn FROM {}.journal", own.keyspace)), []);
}

#[test]
fn who_comes_late_moves_no_timer() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    tell(&store, vec![UserCommit { due: Some(at(50)), ..user(&ann) }]);
    let late =
        stamped(&store, UserCommit { fired: Some(at(50)), due: Some(at(900)), ..user(&ann) });
    tell(&store, vec![UserCommit { due: Some(at(50)), ..user(&ann) }]);
    lose(&store, late);
    let due = store.due(at(51), 9_999).unwrap();
    assert!(due.contains(&(at(50), ann.clone())), "{due:?}");
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(50)));
}

#[test]
fn of_many_users_only_those_are_lost_who_were_overtaken() {
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..20).map(|n| key(&workspace, &format!("{n:02}"))).collect();
    tell(shared(), keys.iter().map(user).collect());
    let of = |key: &UserKey| {
        let history = vec![arrival(1, "buy", 5)];
        stamped(shared(), UserCommit { state: state("both"), history, ..telling(key, [1]) })
    };
    let both: Vec<UserCommit> = keys.iter().map(of).collect();
    let quick: Vec<UserKey> = keys.iter().step_by(3).cloned().collect();
    let quicker = |key: &UserKey| UserCommit { state: state("quicker"), ..user(key) };
    tell(shared(), quick.iter().map(quicker).collect());
    let committed = shared().commit(commit(both)).unwrap();
    assert_eq!(committed.overtaken, quick);
    for key in &keys {
        let is_lost = quick.contains(key);
        let told = committed.told.iter().filter(|(of, _)| of == key).count();
        assert_eq!(told, usize::from(!is_lost));
        assert_eq!(history_of(shared(), key).len(), usize::from(!is_lost));
        let expected: &[u8] = if is_lost { b"quicker" } else { b"both" };
        assert_eq!(state_of(shared(), key).unwrap(), expected);
    }
    shared().settle(&committed).unwrap();
}

#[test]
fn a_commit_that_is_made_twice_counts_once() {
    let ann = known(shared());
    let history = vec![arrival(1, "buy", 5)];
    let twice = commit(vec![stamped(shared(), UserCommit { history, ..telling(&ann, [1]) })]);
    for _ in 0..2 {
        let committed = shared().commit(twice.clone()).unwrap();
        assert_eq!(committed.overtaken, []);
        shared().settle(&committed).unwrap();
    }
    assert_eq!(history_of(shared(), &ann), [1]);
    assert_eq!(Some(stamp_of(shared(), &ann).version), Some(twice.users[0].next.version));
}

#[test]
fn who_takes_a_known_user_for_new_is_overtaken() {
    let ann = known(shared());
    lose(shared(), restamped(UserCommit { state: state("new"), is_new: true, ..user(&ann) }));
    assert_eq!(state_of(shared(), &ann).unwrap(), b"state");
}

#[test]
fn who_takes_an_unknown_user_for_known_is_overtaken() {
    let ann = someone();
    let stamp = Stamp { version: Some(Version::fresh()), ..Stamp::default() };
    let history = vec![arrival(1, "buy", 5)];
    lose(shared(), restamped(UserCommit { stamp, history, ..user(&ann) }));
    assert_eq!(shared().user(&ann).unwrap(), None);
    assert_eq!(shared().history(&ann, None, Time::MIN, Time::MAX).unwrap(), []);
}

#[test]
fn a_version_that_was_passed_never_comes_back() {
    let ann = known(shared());
    let first = stamped(shared(), UserCommit { state: state("late"), ..user(&ann) });
    for turn in 0..5 {
        tell(shared(), vec![UserCommit { state: state(format!("{turn}")), ..user(&ann) }]);
        lose(shared(), first.clone());
    }
    assert_eq!(state_of(shared(), &ann).unwrap(), b"4");
}

/// Adds one to the number in the user's state until it counts. Gives how often it did not.
fn increment(store: &CqlStore, ann: &UserKey) -> usize {
    (0..)
        .find(|_| {
            let record = store.user(ann).unwrap();
            let number: u64 = record
                .as_ref()
                .map_or(0, |record| str::from_utf8(&record.state).unwrap().parse().unwrap());
            let is_new = record.is_none();
            let stamp = record.map(|record| record.stamp).unwrap_or_default();
            let history = vec![arrival(number + 1, "add", number as i64)];
            let state = state(format!("{}", number + 1));
            let next = restamped(UserCommit { state, history, is_new, stamp, ..user(ann) });
            store.commit(commit(vec![next])).unwrap().overtaken.is_empty()
        })
        .unwrap()
}

#[test]
fn of_two_stores_that_race_every_increment_counts_once() {
    const ROUNDS: usize = 50;
    let own = Own::take();
    let stores = [own.open(), own.open()];
    let ann = someone();
    let begin = Barrier::new(2);
    let lost: usize = std::thread::scope(|scope| {
        let race = |store| {
            let (ann, begin) = (&ann, &begin);
            scope.spawn(move || {
                let round = |_| {
                    begin.wait();
                    increment(store, ann)
                };
                (0..ROUNDS).map(round).sum::<usize>()
            })
        };
        stores.iter().map(race).collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(state_of(&stores[0], &ann).unwrap(), b"100");
    assert_eq!(history_of(&stores[1], &ann), (1..=100).collect::<Vec<u64>>());
    assert!(lost > 0, "nobody ever met");
}

#[test]
fn of_four_threads_of_one_store_every_increment_counts_once() {
    let ann = someone();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).map(|_| increment(shared(), &ann)).sum::<usize>());
        }
    });
    assert_eq!(state_of(shared(), &ann).unwrap(), b"40");
    assert_eq!(history_of(shared(), &ann), (1..=40).collect::<Vec<u64>>());
}

#[test]
fn of_two_who_make_a_user_at_once_one_does() {
    let own = Own::take();
    let stores = [own.open(), own.open()];
    for round in 0..20 {
        let ann = someone();
        let begin = Barrier::new(2);
        let made: usize = std::thread::scope(|scope| {
            let make = |number: usize| {
                let (ann, begin, store) = (&ann, &begin, &stores[number]);
                scope.spawn(move || {
                    let state = state(format!("{number}"));
                    let new = restamped(UserCommit { state, is_new: true, ..user(ann) });
                    begin.wait();
                    usize::from(store.commit(commit(vec![new])).unwrap().overtaken.is_empty())
                })
            };
            [make(0), make(1)].map(|thread| thread.join().unwrap()).into_iter().sum()
        });
        assert_eq!(made, 1, "in round {round}");
        assert_eq!(stores[0].users(&ann.workspace, None, 9).unwrap(), ["ann".into()]);
    }
}

#[test]
fn versions_are_read_as_they_were_written_by_another_store() {
    let own = Own::take();
    let ann = someone();
    let one = own.open();
    put(&one, vec![UserCommit { due: Some(at(77)), ..telling(&ann, [1, 2]) }]);
    let stamp = stamp_of(&one, &ann);
    assert_eq!(stamp_of(&own.open(), &ann), stamp);
    assert_eq!(stamp.untold.unwrap().lines, crate::make::lines([1, 2]));
    one.settle(&put(&one, vec![user(&ann)])).unwrap();
}
