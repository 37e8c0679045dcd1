//! Commits of which nothing is told: whether they counted is found out, and they count once.

use crate::make::{
    arrival, at, commit, history_of, members_of, membership, someone, stamp_of, stamped, state,
    state_of, tell, telling, user,
};
use crate::place::{Own, eventually, open};
use crate::proxy::{Fault, Proxy};
use muster_store::{Committed, CqlSettings, CqlStore, Store, UserCommit, UserKey};
use std::time::Duration;

/// A keyspace, a store that is reached over a wire, and one that is not.
struct Place {
    own: Own,
    proxy: Proxy,
    wired: CqlStore,
    other: CqlStore,
}

fn place() -> Place {
    let own = Own::take();
    let proxy = Proxy::start(&own.nodes[0]);
    let wired = open(&CqlSettings {
        nodes: vec![proxy.address()],
        request_time: Duration::from_secs(1),
        silence_max: Duration::from_secs(20),
        ..own.clone()
    });
    let other = own.open();
    Place { own, proxy, wired, other }
}

/// With an event, so that it goes out as a batch.
fn next(store: &dyn Store, key: &UserKey, number: u64) -> UserCommit {
    let history = vec![arrival(number, "buy", number as i64)];
    stamped(
        store,
        UserCommit { state: state(format!("{number}")), history, ..telling(key, [number]) },
    )
}

/// Commits one user's next step over the wire while that is the matter with it.
fn commit_under(place: &Place, fault: Fault, key: &UserKey, number: u64) -> Committed {
    let next = next(&place.other, key, number);
    place.proxy.on_batches(fault);
    let committed = place.wired.commit(commit(vec![next])).unwrap();
    place.proxy.wait_for(1);
    committed
}

fn counts_once(place: &Place, key: &UserKey, number: u64, committed: &Committed) {
    assert_eq!(committed.overtaken, []);
    assert_eq!(committed.told.len(), 1);
    place.wired.settle(committed).unwrap();
    assert_eq!(state_of(&place.other, key).unwrap(), format!("{number}").into_bytes());
    assert_eq!(history_of(&place.other, key), (1..=number).collect::<Vec<_>>());
    assert_eq!(stamp_of(&place.other, key).untold, None);
}

#[test]
fn a_commit_whose_answer_was_cut_off_counts_once() {
    let place = place();
    let ann = someone();
    for number in 1..=5 {
        let committed = commit_under(&place, Fault::CutAnswer, &ann, number);
        counts_once(&place, &ann, number, &committed);
    }
}

#[test]
fn a_commit_whose_answer_never_comes_counts_once() {
    let place = place();
    let ann = someone();
    for number in 1..=2 {
        let committed = commit_under(&place, Fault::LoseAnswer, &ann, number);
        counts_once(&place, &ann, number, &committed);
    }
}

#[test]
fn a_commit_that_never_arrived_is_made_again() {
    let place = place();
    let ann = someone();
    let next = next(&place.other, &ann, 1);
    place.proxy.on_batches(Fault::Lose);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![next])).unwrap());
        place.proxy.wait_for(2);
        assert_eq!(state_of(&place.other, &ann), None);
        assert!(place.wired.outage().is_some());
        place.proxy.let_go();
        counts_once(&place, &ann, 1, &committing.join().unwrap());
    });
    assert_eq!(place.wired.outage(), None);
}

#[test]
fn a_commit_that_arrives_again_long_afterwards_changes_nothing() {
    let place = place();
    let ann = someone();
    let committed = commit_under(&place, Fault::Hold, &ann, 1);
    counts_once(&place, &ann, 1, &committed);
    let second = next(&place.other, &ann, 2);
    tell(&place.other, vec![second]);
    let stood = place.other.read(std::slice::from_ref(&ann)).unwrap();
    // Now the first attempt comes.
    place.proxy.let_go();
    let bob = someone();
    for number in 1..=4 {
        tell(&place.wired, vec![next(&place.other, &bob, number)]);
    }
    assert_eq!(place.other.read(std::slice::from_ref(&ann)).unwrap(), stood);
    assert_eq!(history_of(&place.other, &ann), [1, 2]);
}

#[test]
fn a_commit_that_never_arrived_loses_to_who_was_quicker() {
    let place = place();
    let ann = someone();
    tell(&place.other, vec![user(&ann)]);
    let late = next(&place.other, &ann, 7);
    place.proxy.on_batches(Fault::Lose);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![late])).unwrap());
        place.proxy.wait_for(1);
        tell(&place.other, vec![UserCommit { state: state("quicker"), ..user(&ann) }]);
        place.proxy.let_go();
        let committed = committing.join().unwrap();
        assert_eq!(committed.overtaken, std::slice::from_ref(&ann));
        assert_eq!(committed.told, []);
    });
    assert_eq!(state_of(&place.other, &ann).unwrap(), b"quicker");
    assert_eq!(history_of(&place.other, &ann), [] as [u64; 0]);
}

#[test]
fn what_counted_and_was_written_over_before_it_was_told_is_told_by_the_other() {
    let place = place();
    let ann = someone();
    tell(&place.other, vec![user(&ann)]);
    let first = next(&place.other, &ann, 1);
    place.proxy.on_batches(Fault::LoseAnswer);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![first])).unwrap());
        eventually("it counts", || history_of(&place.other, &ann) == [1]);
        let second = next(&place.other, &ann, 2);
        let committed = place.other.commit(commit(vec![second])).unwrap();
        let told: Vec<u64> = committed.told.iter().map(|(_, line)| line.number).collect();
        assert_eq!(told, [1, 2]);
        place.other.settle(&committed).unwrap();
        // It cannot know, and is to read her again: where she got to says what she has taken.
        assert_eq!(committing.join().unwrap().overtaken, std::slice::from_ref(&ann));
    });
    assert_eq!(history_of(&place.other, &ann), [1, 2]);
    assert_eq!(state_of(&place.other, &ann).unwrap(), b"2");
}

#[test]
fn one_user_of_many_whose_answer_is_lost_does_not_take_the_others_along() {
    let place = place();
    let workspace = crate::make::workspace();
    let keys: Vec<UserKey> =
        (0..20).map(|number| crate::make::key(&workspace, &number.to_string())).collect();
    let all = keys.iter().map(|key| next(&place.other, key, 1)).collect();
    place.proxy.on_batches(Fault::CutAnswer);
    let committed = place.wired.commit(commit(all)).unwrap();
    place.proxy.wait_for(1);
    assert_eq!(committed.overtaken, []);
    assert_eq!(committed.told.len(), 20);
    assert!(keys.iter().all(|key| history_of(&place.other, key) == [1]));
}

#[test]
fn who_is_slow_to_let_go_of_a_timer_takes_no_later_one_away() {
    let place = place();
    let ann = someone();
    tell(&place.other, vec![UserCommit { due: Some(at(500)), ..user(&ann) }]);
    let fired =
        UserCommit { fired: Some(at(500)), due: Some(at(9_000)), ..next(&place.other, &ann, 1) };
    let fired = stamped(&place.other, fired);
    place.proxy.on_batches(Fault::HoldAfter);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![fired])).unwrap());
        eventually("it counts", || history_of(&place.other, &ann) == [1]);
        // Meanwhile she is due at the same instant again.
        tell(&place.other, vec![UserCommit { due: Some(at(500)), ..user(&ann) }]);
        place.proxy.let_go();
        assert_eq!(committing.join().unwrap().overtaken, []);
    });
    let store = Own::open(&place.own);
    drop((place.wired, place.other));
    eventually("the timer is found", || {
        store.due(at(501), 100_000).unwrap().contains(&(at(500), ann.clone()))
    });
}

#[test]
fn who_is_slow_to_write_the_index_does_not_undo_what_came_later() {
    let place = place();
    let ann = someone();
    let entering =
        UserCommit { history: vec![arrival(1, "buy", 1)], ..membership(&ann, 1, Some(10)) };
    let entering = stamped(&place.other, entering);
    place.proxy.on_batches(Fault::HoldAfter);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![entering])).unwrap());
        eventually("it counts", || history_of(&place.other, &ann) == [1]);
        tell(&place.other, vec![membership(&ann, 2, None)]);
        place.proxy.let_go();
        assert_eq!(committing.join().unwrap().overtaken, []);
    });
    assert_eq!(members_of(&place.other, &ann.workspace), []);
}

#[test]
fn who_is_closed_while_nothing_is_told_ends_with_an_error_and_it_counts_once_at_most() {
    let place = place();
    let ann = someone();
    let next = next(&place.other, &ann, 1);
    place.proxy.on_batches(Fault::Lose);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| place.wired.commit(commit(vec![next])));
        place.proxy.wait_for(1);
        place.wired.close();
        let said = committing.join().unwrap().unwrap_err().to_string();
        assert_eq!(said, "the database does not answer, and the service is ending");
    });
    drop(place.wired);
    // What it noted is settled by another, and leads to nothing.
    eventually("it is settled", || match place.other.recover().unwrap() {
        Some(committed) => {
            assert_eq!(committed.told, []);
            place.other.settle(&committed).unwrap();
            true
        }
        None => false,
    });
    assert_eq!(place.other.user(&ann).unwrap(), None);
    assert_eq!(history_of(&place.other, &ann), [] as [u64; 0]);
}
