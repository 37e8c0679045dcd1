//! Who does the work that nobody asks for: each part falls to one of those who are there.

use crate::make::{arrival, at, key, tell, user, workspace};
use crate::place::{Own, eventually, open};
use crate::proxy::{Fault, Proxy};
use muster_store::{CqlSettings, CqlStore, Store, UserCommit, UserKey};
use std::time::{Duration, Instant};

fn keys(count: usize) -> Vec<UserKey> {
    let workspace = workspace();
    (0..count).map(|number| key(&workspace, &number.to_string())).collect()
}

/// Whether every user falls to one of these, and to one alone.
fn is_settled(stores: &[&CqlStore], keys: &[UserKey]) -> bool {
    keys.iter().all(|key| stores.iter().filter(|store| store.is_mine(key)).count() == 1)
}

/// How many timers each store is given of those of a workspace.
fn shares(stores: &[&CqlStore], keys: &[UserKey]) -> Vec<usize> {
    let count = |store: &CqlStore| {
        let due = store.due(at(2_000), 100_000).unwrap();
        due.iter().filter(|(_, key)| key.workspace == keys[0].workspace).count()
    };
    stores.iter().map(|store| count(store)).collect()
}

#[test]
fn who_is_alone_does_everything() {
    let own = Own::take();
    let store = own.open();
    assert!(keys(500).iter().all(|key| store.is_mine(key)));
}

#[test]
fn each_user_falls_to_one_while_they_come_and_go() {
    let own = Own::take();
    let keys = keys(500);
    let one = own.open();
    let two = own.open();
    let three = own.open();
    eventually("three have settled", || is_settled(&[&one, &two, &three], &keys));
    let of_one: Vec<&UserKey> = keys.iter().filter(|key| one.is_mine(key)).collect();
    drop(two);
    eventually("two have settled", || is_settled(&[&one, &three], &keys));
    // Who stays keeps what it had.
    assert!(of_one.iter().all(|key| one.is_mine(key)));
    drop(three);
    eventually("one has settled", || is_settled(&[&one], &keys));
}

#[test]
fn each_timer_is_given_to_one_while_they_come_and_go() {
    let own = Own::take();
    let keys = keys(300);
    let one = own.open();
    tell(&one, keys.iter().map(|key| UserCommit { due: Some(at(1_000)), ..user(key) }).collect());
    assert_eq!(shares(&[&one], &keys), [300]);
    let (two, three) = (own.open(), own.open());
    let all = [&one, &two, &three];
    eventually("three have settled", || is_settled(&all, &keys));
    let divided = shares(&all, &keys);
    assert_eq!(divided.iter().sum::<usize>(), 300, "{divided:?}");
    drop(one);
    let left = [&two, &three];
    eventually("two have settled", || is_settled(&left, &keys));
    let divided = shares(&left, &keys);
    assert_eq!(divided.iter().sum::<usize>(), 300, "{divided:?}");
    let fired = |key| UserCommit { fired: Some(at(1_000)), ..user(key) };
    tell(&two, keys.iter().map(fired).collect());
    assert_eq!(shares(&left, &keys), [0, 0]);
}

#[test]
fn the_number_of_the_division_changes_as_they_come_and_go() {
    let own = Own::take();
    let one = own.open();
    let first = one.division();
    let two = own.open();
    eventually("it is seen to come", || one.division() != first);
    let second = one.division();
    drop(two);
    eventually("it is seen to go", || one.division() != second);
    assert!(keys(99).iter().all(|key| one.is_mine(key)));
}

#[test]
fn users_have_gone_over_when_all_who_are_there_say_so_of_theirs() {
    let own = Own::take();
    let shop = workspace();
    let (one, two) = (own.open(), own.open());
    let knows = |store: &CqlStore| store.companions() == 1;
    eventually("they know of each other", || knows(&one) && knows(&two));
    let note = |store: &CqlStore, revision| store.note_swept(&shop, revision, store.division());
    eventually("each hears the other's word", || {
        [&one, &two].iter().for_each(|store| note(store, 7));
        one.is_swept(&shop, 7) && two.is_swept(&shop, 7)
    });
    for other in [6, 8] {
        assert!(!one.is_swept(&shop, other) && !two.is_swept(&shop, other));
    }
    assert!(!one.is_swept("another", 7));
    // Users of one fall to three, who has not said anything.
    let three = own.open();
    eventually("three is known of", || one.companions() == 2 && two.companions() == 2);
    assert!(!one.is_swept(&shop, 7) && !two.is_swept(&shop, 7) && !three.is_swept(&shop, 7));
    let earlier = one.division() - 1;
    one.note_swept(&shop, 7, earlier);
    [&two, &three].iter().for_each(|store| note(store, 7));
    std::thread::sleep(own.silence_max);
    assert!(!two.is_swept(&shop, 7), "what was swept among two is not what was swept among three");
    eventually("all three know", || {
        let all = [&one, &two, &three];
        all.iter().for_each(|store| note(store, 7));
        all.iter().all(|store| store.is_swept(&shop, 7))
    });
}

#[test]
fn who_is_alone_knows_at_once_that_users_have_gone_over() {
    let own = Own::take();
    let (store, shop) = (own.open(), workspace());
    assert!(!store.is_swept(&shop, 1));
    store.note_swept(&shop, 1, store.division());
    assert!(store.is_swept(&shop, 1) && !store.is_swept(&shop, 2));
}

#[test]
fn who_falls_silent_does_nothing_until_it_speaks_again() {
    let own = Own::take();
    let keys = keys(500);
    let one = own.open();
    let proxy = Proxy::start(&own.nodes[0]);
    let silent = open(&CqlSettings { nodes: vec![proxy.address()], ..own.clone() });
    eventually("two have settled", || is_settled(&[&one, &silent], &keys));
    assert!(!keys.iter().all(|key| one.is_mine(key)));
    proxy.hold();
    eventually("its work is taken over", || keys.iter().all(|key| one.is_mine(key)));
    proxy.let_go();
    eventually("it has its work again", || is_settled(&[&one, &silent], &keys));
    assert!(!keys.iter().all(|key| one.is_mine(key)));
}

#[test]
fn who_has_no_room_for_a_request_says_that_it_is_there() {
    let own = Own::take();
    let keys = keys(500);
    let one = own.open();
    let proxy = Proxy::start(&own.nodes[0]);
    let nodes = vec![proxy.address()];
    let busy = open(&CqlSettings { nodes, in_flight_max: 1, ..own.clone() });
    eventually("two have settled", || is_settled(&[&one, &busy], &keys));
    proxy.on_batches(Fault::LoseAnswer);
    std::thread::scope(|scope| {
        // What goes as a batch: its history with it.
        let history = vec![arrival(1, "visit", 1)];
        scope.spawn(|| tell(&busy, vec![UserCommit { history, ..user(&keys[0]) }]));
        proxy.wait_for(1);
        let end = Instant::now() + own.silence_max * 2;
        while Instant::now() < end {
            assert!(!keys.iter().all(|key| one.is_mine(key)), "it was taken to be gone");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}
