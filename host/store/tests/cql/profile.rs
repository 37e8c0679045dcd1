//! State, profile and shadow of a user.

use crate::make::{key, put, someone, state, state_of, tell, user, workspace};
use crate::place::shared;
use muster_core::Time;
use muster_store::{Found, Store, UserCommit, UserKey};
use std::sync::Arc;

fn profile_of(key: &UserKey) -> Vec<u8> {
    shared().user(key).unwrap().unwrap().profile.to_vec()
}

fn shadow_of(key: &UserKey) -> Option<Vec<u8>> {
    shared().shadow(key).unwrap().map(|shadow| shadow.to_vec())
}

#[test]
fn nothing_is_known_of_a_user_who_was_never_committed() {
    let ann = someone();
    assert_eq!(shared().user(&ann).unwrap(), None);
    assert_eq!(shared().shadow(&ann).unwrap(), None);
    assert_eq!(shared().history(&ann, None, Time::MIN, Time::MAX).unwrap(), []);
    assert_eq!(shared().read(&[ann]).unwrap(), [Found::default()]);
}

#[test]
fn what_a_commit_does_not_name_stays() {
    let ann = someone();
    let shadow = Some(state("shadow"));
    tell(shared(), vec![UserCommit { profile: state("profile"), shadow, ..user(&ann) }]);
    tell(shared(), vec![UserCommit { state: state("later"), ..user(&ann) }]);
    assert_eq!(state_of(shared(), &ann).unwrap(), b"later");
    assert_eq!(profile_of(&ann), b"profile");
    assert_eq!(shadow_of(&ann).unwrap(), b"shadow");
    tell(shared(), vec![UserCommit { state: None, profile: state("other"), ..user(&ann) }]);
    assert_eq!(state_of(shared(), &ann).unwrap(), b"later");
    assert_eq!(profile_of(&ann), b"other");
}

#[test]
fn a_shadow_is_set_replaced_and_taken_away() {
    let ann = someone();
    for shadow in [state("one"), state("two"), None, state("three"), None] {
        tell(shared(), vec![UserCommit { shadow: Some(shadow.clone()), ..user(&ann) }]);
        assert_eq!(shared().shadow(&ann).unwrap(), shadow);
    }
}

#[test]
fn an_empty_shadow_is_not_none() {
    let ann = someone();
    tell(shared(), vec![UserCommit { shadow: Some(state("")), ..user(&ann) }]);
    assert_eq!(shadow_of(&ann), Some(Vec::new()));
}

#[test]
fn an_empty_profile_replaces_what_there_was() {
    let ann = someone();
    tell(shared(), vec![UserCommit { profile: state("profile"), ..user(&ann) }]);
    tell(shared(), vec![UserCommit { profile: state(""), ..user(&ann) }]);
    assert_eq!(profile_of(&ann), b"");
}

#[test]
fn every_byte_and_a_megabyte_of_them_is_kept() {
    let ann = someone();
    let bytes: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    let all = state(bytes.clone());
    let of =
        UserCommit { state: all.clone(), profile: all.clone(), shadow: Some(all), ..user(&ann) };
    tell(shared(), vec![of]);
    assert!(state_of(shared(), &ann).unwrap() == bytes);
    assert!(profile_of(&ann) == bytes);
    assert!(shadow_of(&ann).unwrap() == bytes);
}

#[test]
fn names_may_be_anything() {
    let long = "é".repeat(128);
    let names = [
        "'; DROP TABLE users; --",
        "\"quoted\" 'twice' $$ {} ?",
        "line\nbreak\r\n\ttab\u{1b}",
        "日本語 🦀 ا\u{202e}",
        " ",
        "a/b\\c%00",
        "null",
        &long,
    ];
    let workspace = workspace();
    for name in names {
        let of = |bytes: &str| UserCommit { state: state(bytes), ..user(&key(&workspace, name)) };
        tell(shared(), vec![of(name)]);
    }
    for name in names {
        assert_eq!(
            state_of(shared(), &key(&workspace, name)).unwrap(),
            name.as_bytes(),
            "{name:?}"
        );
    }
    let mut sorted: Vec<Arc<str>> = names.map(Arc::from).to_vec();
    sorted.sort();
    assert_eq!(shared().users(&workspace, None, 99).unwrap(), sorted);
}

#[test]
fn workspaces_may_be_anything_and_are_told_apart() {
    let begin = workspace();
    let names =
        [format!("{begin}"), format!("{begin}'"), format!("{begin}\n"), format!("{begin}é")];
    for name in &names {
        tell(shared(), vec![UserCommit { state: state(name.as_str()), ..user(&key(name, "ann")) }]);
    }
    for name in &names {
        assert_eq!(state_of(shared(), &key(name, "ann")).unwrap(), name.as_bytes());
        assert_eq!(shared().users(name, None, 9).unwrap(), ["ann".into()]);
    }
    // The end of one name and the beginning of the other are not the same user.
    assert_eq!(shared().user(&key(&format!("{begin}a"), "nn")).unwrap(), None);
}

#[test]
fn many_users_are_read_in_the_places_of_their_keys() {
    let workspace = workspace();
    let names: Vec<UserKey> = (0..300).map(|number| key(&workspace, &number.to_string())).collect();
    let of = |key: &UserKey| UserCommit { state: state(&*key.user), ..user(key) };
    tell(shared(), names.iter().step_by(2).map(of).collect());
    let mut asked = names.clone();
    asked.reverse();
    asked.push(names[4].clone());
    let found = shared().read(&asked).unwrap();
    assert_eq!(found.len(), asked.len());
    for (key, found) in asked.iter().zip(found) {
        let expected = (key.user.parse::<u64>().unwrap() % 2 == 0).then(|| key.user.as_bytes());
        let state = found.record.map(|record| record.state.to_vec());
        assert_eq!(state.as_deref(), expected);
    }
    assert_eq!(shared().read(&[]).unwrap(), []);
}

#[test]
fn one_commit_takes_a_thousand_users() {
    let workspace = workspace();
    let names: Vec<UserKey> = (0..1_000).map(|n| key(&workspace, &format!("{n:04}"))).collect();
    let of = |key: &UserKey| UserCommit { state: state(&*key.user), is_new: true, ..user(key) };
    put(shared(), names.iter().map(of).collect());
    let found = shared().users(&workspace, None, 2_000).unwrap();
    assert_eq!(found, names.iter().map(|key| key.user.clone()).collect::<Vec<_>>());
    let read = shared().read(&names).unwrap();
    let is_own =
        |(key, found): (&UserKey, Found)| *found.record.unwrap().state == key.user.as_bytes();
    assert!(names.iter().zip(read).all(is_own));
}
