//! Timers: found when they are due and not before, once they were moved at their new place, and never lost.

use crate::make::{at, commit, key, put, someone, stamp_of, stamped, state, tell, user, workspace};
use crate::place::{Own, eventually, rows, run};
use muster_core::Time;
use muster_store::{Commit, CqlStore, Store, UserCommit, UserKey};
use std::sync::Arc;

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// The timers of a workspace that are due before an instant, in the order in which they are given.
fn due(store: &CqlStore, workspace: &str, until: i64) -> Vec<(i64, String)> {
    let due = store.due(at(until), 100_000).unwrap();
    let mine = due.into_iter().filter(|(_, key)| *key.workspace == *workspace);
    mine.map(|(at, key)| (at.milliseconds(), key.user.to_string())).collect()
}

fn of_ann(instants: &[i64]) -> Vec<(i64, String)> {
    instants.iter().map(|at| (*at, "ann".to_string())).collect()
}

fn timed(key: &UserKey, due: impl Into<Option<i64>>) -> UserCommit {
    UserCommit { due: due.into().map(at), ..user(key) }
}

fn fired(key: &UserKey, fired: i64, due: impl Into<Option<i64>>) -> UserCommit {
    UserCommit { fired: Some(at(fired)), ..timed(key, due) }
}

/// The database's clock, in milliseconds.
fn now() -> i64 {
    let row = rows("SELECT toUnixTimestamp(now()) FROM system.local").remove(0);
    row.columns[0].clone().unwrap().as_bigint().unwrap()
}

#[test]
fn a_timer_is_due_after_its_instant() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    assert_eq!(due(&store, &ann.workspace, 1_000), []);
    tell(&store, vec![timed(&ann, 500)]);
    assert_eq!(due(&store, &ann.workspace, 500), []);
    assert_eq!(due(&store, &ann.workspace, 501), of_ann(&[500]));
    // It is found until it is used up, also where another looks.
    assert_eq!(due(&store, &ann.workspace, 502), of_ann(&[500]));
    drop(store);
    assert_eq!(due(&own.open(), &ann.workspace, 501), of_ann(&[500]));
}

#[test]
fn a_timer_that_is_due_earlier_is_found_earlier() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 10 * HOUR)]);
    tell(&store, vec![timed(&ann, 300)]);
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(300)));
    assert_eq!(due(&store, &ann.workspace, 301), of_ann(&[300]));
    // The one before is not left behind.
    assert_eq!(due(&store, &ann.workspace, 11 * HOUR), of_ann(&[300]));
}

#[test]
fn a_timer_that_is_due_later_is_found_as_before_and_then_moved() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 300)]);
    tell(&store, vec![timed(&ann, 10 * HOUR)]);
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(300)));
    assert_eq!(due(&store, &ann.workspace, 301), of_ann(&[300]));
    tell(&store, vec![fired(&ann, 300, 10 * HOUR)]);
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(10 * HOUR)));
    assert_eq!(due(&store, &ann.workspace, 10 * HOUR), []);
    assert_eq!(due(&store, &ann.workspace, 10 * HOUR + 1), of_ann(&[10 * HOUR]));
}

#[test]
fn a_timer_that_was_used_up_is_gone() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 300)]);
    tell(&store, vec![fired(&ann, 300, None)]);
    assert_eq!(due(&store, &ann.workspace, YEAR), []);
    assert_eq!(stamp_of(&store, &ann).hint, None);
}

#[test]
fn a_timer_may_be_used_up_and_due_at_the_same_instant_again() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 300)]);
    for _ in 0..3 {
        tell(&store, vec![fired(&ann, 300, 300)]);
        assert_eq!(due(&store, &ann.workspace, 301), of_ann(&[300]));
        tell(&store, vec![fired(&ann, 300, None)]);
        assert_eq!(due(&store, &ann.workspace, 301), []);
        tell(&store, vec![timed(&ann, 300)]);
        assert_eq!(due(&store, &ann.workspace, 301), of_ann(&[300]));
    }
}

#[test]
fn timers_of_all_parts_are_in_the_order_of_instant_and_user() {
    let own = Own::take();
    let (store, workspace) = (own.open(), workspace());
    let keys: Vec<UserKey> = (0..100).map(|n| key(&workspace, &format!("{n:03}"))).collect();
    let instant = |n: i64| (n * 37 % 10) * HOUR;
    let all = (0..).zip(&keys).map(|(n, key)| timed(key, instant(n)));
    tell(&store, all.collect());
    let mut expected: Vec<(i64, String)> =
        (0..).zip(&keys).map(|(n, key)| (instant(n), key.user.to_string())).collect();
    expected.sort();
    assert_eq!(due(&store, &workspace, YEAR), expected);
    let before: Vec<_> = expected.iter().filter(|(at, _)| *at < 3 * HOUR).cloned().collect();
    assert_eq!(due(&store, &workspace, 3 * HOUR), before);
}

#[test]
fn of_many_timers_the_earliest_are_given() {
    let own = Own::take();
    let (store, workspace) = (own.open(), workspace());
    // Before anything that other tests have.
    let begin = -500 * YEAR - fastrand::i64(0..YEAR);
    let keys: Vec<UserKey> = (0..60).map(|n| key(&workspace, &format!("{n:02}"))).collect();
    tell(&store, (0..).zip(&keys).map(|(n, key)| timed(key, begin + n)).collect());
    for limit in [1, 2, 31, 60] {
        let found = store.due(at(begin + 60), limit).unwrap();
        let mine: Vec<_> = found.iter().filter(|(_, key)| key.workspace == workspace).collect();
        let expected: Vec<_> = (0..).zip(&keys).map(|(n, k)| (at(begin + n), k.clone())).collect();
        assert_eq!(mine, expected.iter().take(limit).collect::<Vec<_>>());
    }
    assert_eq!(store.due(at(begin + 60), 0).unwrap(), []);
    tell(&store, (0..).zip(&keys).map(|(n, key)| fired(key, begin + n, None)).collect());
}

#[test]
fn a_timer_behind_what_was_looked_at_is_found_at_once() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    let bob = key(&ann.workspace, &ann.user.replace("ann", "bob"));
    tell(&store, vec![timed(&ann, 900), timed(&bob, 900)]);
    assert_eq!(due(&store, &ann.workspace, 901).len(), 2);
    for instant in [800, 801, 5, 0, -1, -HOUR] {
        tell(&store, vec![timed(&ann, instant)]);
        let found = due(&store, &ann.workspace, 901);
        assert!(found.contains(&(
            instant.min(stamp_of(&store, &ann).hint.unwrap().milliseconds()),
            "ann".to_string()
        )));
        tell(&store, vec![fired(&ann, stamp_of(&store, &ann).hint.unwrap().milliseconds(), None)]);
    }
}

#[test]
fn what_another_writes_behind_what_was_looked_at_is_found_before_long() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..64).map(|n| key(&workspace, &n.to_string())).collect();
    let both =
        |until: i64| due(&one, &workspace, until).len() + due(&other, &workspace, until).len();
    tell(&one, keys.iter().map(|key| timed(key, 900)).collect());
    eventually("both have looked", || both(901) == 64);
    tell(&other, keys.iter().map(|key| timed(key, 100)).collect());
    eventually("they are found", || both(101) == 64);
}

#[test]
fn a_timer_of_a_user_who_was_never_made_leads_to_nothing_and_goes() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let ann = someone();
    // Somebody was quicker to make her, and needs no timer.
    let late = stamped(&one, timed(&ann, 400));
    tell(&other, vec![user(&ann)]);
    assert_eq!(one.commit(commit(vec![late])).unwrap().overtaken, std::slice::from_ref(&ann));
    drop(other);
    eventually("it is found", || due(&one, &ann.workspace, 401) == of_ann(&[400]));
    assert_eq!(stamp_of(&one, &ann).hint, None);
    tell(&one, vec![fired(&ann, 400, None)]);
    assert_eq!(due(&one, &ann.workspace, 401), []);
}

#[test]
fn a_stray_timer_beside_that_of_the_row_goes_alone() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 2 * HOUR)]);
    let late = stamped(&store, timed(&ann, 400));
    tell(&store, vec![timed(&ann, 2 * HOUR)]);
    assert_eq!(store.commit(commit(vec![late])).unwrap().overtaken, std::slice::from_ref(&ann));
    assert_eq!(due(&store, &ann.workspace, 3 * HOUR), of_ann(&[400, 2 * HOUR]));
    tell(&store, vec![fired(&ann, 400, 2 * HOUR)]);
    assert_eq!(due(&store, &ann.workspace, 3 * HOUR), of_ann(&[2 * HOUR]));
    assert_eq!(stamp_of(&store, &ann).hint, Some(at(2 * HOUR)));
}

#[test]
fn timers_may_be_due_at_any_time() {
    let own = Own::take();
    let (store, workspace) = (own.open(), workspace());
    let (first, last) = (Time::MIN.milliseconds(), Time::MAX.milliseconds());
    let instants = [first, -YEAR, -1, 0, now() + 10 * YEAR, last - 1];
    let keys = ["a", "b", "c", "d", "e", "f"].map(|user| key(&workspace, user));
    tell(&store, instants.iter().zip(&keys).map(|(at, key)| timed(key, *at)).collect());
    let expected: Vec<(i64, String)> =
        instants.iter().zip(&keys).map(|(at, key)| (*at, key.user.to_string())).collect();
    assert_eq!(due(&store, &workspace, last), expected);
    assert_eq!(due(&store, &workspace, now()), expected[..4]);
    tell(&store, instants.iter().zip(&keys).map(|(at, key)| fired(key, *at, None)).collect());
    assert_eq!(due(&store, &workspace, last), []);
}

/// Whether any part of the span of ten minutes around an instant is noted.
fn is_noted(own: &Own, instant: i64) -> bool {
    let span = instant.div_euclid(600_000);
    let cql =
        format!("SELECT part FROM {}.timer_spans WHERE id = 0 AND span = {span}", own.keyspace);
    !rows(&cql).is_empty()
}

/// Notes a span as if it had been so many milliseconds ago.
fn note(own: &Own, instant: i64, ago: i64) {
    let span = instant.div_euclid(600_000);
    let noted_us = (now() - ago) * 1_000;
    run(&format!(
        "INSERT INTO {}.timer_spans (id, span, part, noted) VALUES (0, {span}, 0, true) \
         USING TIMESTAMP {noted_us}",
        own.keyspace
    ));
}

/// A store that has committed at that instant, by the machine's clock.
fn open_at(own: &Own, made: i64) -> CqlStore {
    let store = own.open();
    store.commit(Commit { made: at(made), clock: at(made), ..commit(Vec::new()) }).unwrap();
    store
}

#[test]
fn spans_that_are_over_are_let_go_of_and_noted_again_when_they_are_needed() {
    let own = Own::take();
    let (ann, now) = (someone(), now());
    let instant = now - 2 * YEAR - fastrand::i64(0..YEAR);
    note(&own, instant, HOUR);
    assert!(is_noted(&own, instant));
    let store = open_at(&own, now);
    assert_eq!(due(&store, &ann.workspace, now), []);
    assert!(!is_noted(&own, instant));
    tell(&store, vec![timed(&ann, instant)]);
    assert!(is_noted(&own, instant));
    assert_eq!(due(&store, &ann.workspace, now), of_ann(&[instant]));
    tell(&store, vec![fired(&ann, instant, None)]);
}

#[test]
fn spans_that_are_not_long_over_or_were_noted_just_now_or_hold_timers_are_kept() {
    let own = Own::take();
    let (ann, now) = (someone(), now());
    let (new, recent, ahead) =
        (now - 5 * YEAR - fastrand::i64(0..YEAR), now - HOUR / 12, now + HOUR);
    let full = now - 7 * YEAR - fastrand::i64(0..YEAR);
    tell(&own.open(), vec![timed(&ann, full)]);
    note(&own, new, 0);
    note(&own, recent, HOUR);
    note(&own, ahead, HOUR);
    let store = open_at(&own, now);
    assert_eq!(due(&store, &ann.workspace, now + YEAR), of_ann(&[full]));
    for instant in [new, recent, ahead, full] {
        assert!(is_noted(&own, instant));
    }
    tell(&store, vec![fired(&ann, full, None)]);
}

#[test]
fn a_clock_that_is_far_ahead_takes_no_timers_away() {
    let own = Own::take();
    let (ann, now) = (someone(), now());
    let instant = now - 2 * YEAR - fastrand::i64(0..YEAR);
    let store = open_at(&own, now + YEAR);
    for round in 0..2 {
        note(&own, instant, HOUR);
        tell(&store, vec![timed(&ann, instant)]);
        assert_eq!(due(&store, &ann.workspace, now + YEAR), of_ann(&[instant]), "in round {round}");
        tell(&store, vec![fired(&ann, instant, None)]);
        assert_eq!(due(&own.open(), &ann.workspace, now + YEAR), []);
        drop(open_at(&own, now + YEAR).due(at(now + YEAR), 9).unwrap());
    }
}

#[test]
fn of_many_timers_of_one_part_the_earliest_are_given() {
    let own = Own::take();
    let (store, workspace) = (own.open(), workspace());
    let begin = (-700 * YEAR - fastrand::i64(0..YEAR)).div_euclid(600_000) * 600_000;
    let write = |part: i32, n: i64| {
        let (keyspace, span, at) = (&own.keyspace, begin / 600_000, begin + n);
        run(&format!(
            "INSERT INTO {keyspace}.timer_spans (id, span, part, noted) VALUES (0, {span}, {part}, true)"
        ));
        run(&format!(
            "INSERT INTO {keyspace}.timers (span, part, at, workspace, user) \
             VALUES ({span}, {part}, {at}, '{workspace}', '{n:03}')"
        ));
    };
    (0..100).for_each(|n| write(if n < 90 { 7 } else { 8 }, n));
    for limit in [1, 16, 17, 50, 90, 95, 100, 1_000] {
        let found = store.due(at(begin + 100), limit).unwrap();
        let mine = found.iter().filter(|(_, key)| key.workspace == workspace);
        let mine: Vec<i64> = mine.map(|(at, _)| at.milliseconds() - begin).collect();
        assert_eq!(mine, (0..100.min(limit as i64)).collect::<Vec<_>>(), "at most {limit}");
    }
    let span = begin / 600_000;
    for part in [7, 8] {
        run(&format!("DELETE FROM {}.timers WHERE span = {span} AND part = {part}", own.keyspace));
    }
}

#[test]
fn a_damaged_timer_holds_up_no_other() {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    tell(&store, vec![timed(&ann, 500)]);
    for (part, instant) in (0..32).flat_map(|part| [(part, i64::MIN / 2), (part, i64::MAX)]) {
        run(&format!(
            "INSERT INTO {}.timers (span, part, at, workspace, user) \
             VALUES (0, {part}, {instant}, '{}', 'bob')",
            own.keyspace, ann.workspace
        ));
    }
    assert_eq!(due(&store, &ann.workspace, Time::MAX.milliseconds()), of_ann(&[500]));
}

/// Fires what falls to a store, once: each user's next timer is due 1 ms later, until she has had enough.
fn fire(store: &CqlStore, workspace: &Arc<str>, rounds: u64) {
    let found = store.due(at(1_000_000), 10_000).unwrap();
    for (instant, key) in found.into_iter().filter(|(_, key)| key.workspace == *workspace) {
        let record = store.user(&key).unwrap().unwrap();
        let count: u64 = str::from_utf8(&record.state).unwrap().parse().unwrap();
        let is_due = count < rounds;
        let due = is_due.then(|| instant.milliseconds() + 1);
        let state = state(format!("{}", count + u64::from(is_due)));
        let next = UserCommit { state, ..fired(&key, instant.milliseconds(), due) };
        let stamp = record.stamp;
        let next = UserCommit { next: stamp.after(next.due, next.fired), stamp, ..next };
        let committed = store.commit(commit(vec![next])).unwrap();
        store.settle(&committed).unwrap();
    }
}

#[test]
fn no_timer_is_lost_between_two_stores_of_which_one_comes_and_goes() {
    const ROUNDS: u64 = 5;
    let own = Own::take();
    let (store, workspace) = (own.open(), workspace());
    let keys: Vec<UserKey> = (0..40).map(|n| key(&workspace, &n.to_string())).collect();
    let begin = |key| UserCommit { state: state("0"), ..timed(key, 1_000) };
    put(&store, keys.iter().map(begin).collect());
    let is_done = |store: &CqlStore| {
        let found = store.read(&keys).unwrap();
        let states = found.iter().map(|found| found.record.as_ref().unwrap().state.clone());
        states.into_iter().all(|state| *state == ROUNDS.to_string().into_bytes())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                let other = own.open();
                (0..3).for_each(|_| fire(&other, &workspace, ROUNDS));
            }
        });
        eventually("all have had enough", || {
            fire(&store, &workspace, ROUNDS);
            is_done(&store)
        });
    });
}
