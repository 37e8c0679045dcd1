//! What only one process may have at a time.

use crate::make::workspace;
use crate::place::{Own, eventually};
use muster_store::{Store, StoreError};

fn is_refused(store: &dyn Store, name: &str) -> bool {
    match store.lock(name) {
        Ok(()) => false,
        Err(StoreError::Locked { name: of, .. }) => *of == *name,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_one_has_the_other_does_not_get_until_it_is_given_back() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    one.lock(&name).unwrap();
    assert!(is_refused(&other, &name));
    one.unlock(&name).unwrap();
    other.lock(&name).unwrap();
    assert!(is_refused(&one, &name));
    other.unlock(&name).unwrap();
}

#[test]
fn who_has_it_is_told() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    one.lock(&name).unwrap();
    let said = other.lock(&name).unwrap_err().to_string();
    let begin = format!("`{name}` is being changed by instance ");
    assert!(said.starts_with(&begin) && said.ends_with(": try again when it is done"), "{said}");
    one.unlock(&name).unwrap();
}

#[test]
fn who_has_it_may_take_it_again() {
    let own = Own::take();
    let store = own.open();
    let name = workspace();
    store.lock(&name).unwrap();
    store.lock(&name).unwrap();
    store.unlock(&name).unwrap();
    own.open().lock(&name).unwrap();
}

#[test]
fn nobody_gives_back_what_another_has() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    one.unlock(&name).unwrap();
    one.lock(&name).unwrap();
    other.unlock(&name).unwrap();
    assert!(is_refused(&other, &name));
}

#[test]
fn names_are_locked_each_for_itself() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    one.lock(&name).unwrap();
    other.lock(&format!("{name}'")).unwrap();
}

#[test]
fn it_is_taken_over_from_one_who_is_gone() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let name = workspace();
    one.lock(&name).unwrap();
    assert!(is_refused(&other, &name));
    drop(one);
    eventually("it is taken over", || other.lock(&name).is_ok());
    assert!(is_refused(&own.open(), &name));
}

#[test]
fn it_is_not_taken_from_one_who_came_just_now() {
    let own = Own::take();
    let one = own.open();
    for _ in 0..5 {
        let name = workspace();
        let other = own.open();
        other.lock(&name).unwrap();
        assert!(is_refused(&one, &name));
    }
}

#[test]
fn of_two_who_take_it_at_once_one_gets_it() {
    let own = Own::take();
    let stores = [own.open(), own.open()];
    for round in 0..20 {
        let name = workspace();
        let got: Vec<bool> = std::thread::scope(|scope| {
            let take = |store| {
                let name = &name;
                scope.spawn(move || !is_refused(store, name))
            };
            let threads = [take(&stores[0]), take(&stores[1])];
            threads.map(|thread| thread.join().unwrap()).to_vec()
        });
        assert_eq!(got.iter().filter(|got| **got).count(), 1, "in round {round}");
    }
}
