//! What the tests commit.

use muster_core::{Arrival, AudienceKey, Event, Time, Value};
use muster_store::{Commit, Committed, Line, Stamp, Store, UserCommit, UserKey};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) fn at(milliseconds: i64) -> Time {
    Time::from_milliseconds(milliseconds).unwrap()
}

/// A workspace that no other test knows.
pub(crate) fn workspace() -> Arc<str> {
    format!("w{:016x}", fastrand::u64(..)).into()
}

pub(crate) fn key(workspace: &str, user: &str) -> UserKey {
    UserKey { workspace: workspace.into(), user: user.into() }
}

/// A user whom no other test knows.
pub(crate) fn someone() -> UserKey {
    key(&workspace(), "ann")
}

pub(crate) fn arrival(number: u64, name: &str, milliseconds: i64) -> Arrival {
    let event = Event {
        name: name.into(),
        time: at(milliseconds),
        id: None,
        properties: vec![("n".into(), Value::Number((number as i64).into()))],
        context: Arc::new(vec![("app".into(), Value::text("x"))]),
    };
    Arrival { number, event: Arc::new(event) }
}

/// A commit of a user that sets her state and nothing else, from nothing.
pub(crate) fn user(key: &UserKey) -> UserCommit {
    UserCommit {
        key: key.clone(),
        state: Some(b"state".to_vec().into()),
        profile: None,
        due_before: None,
        due: None,
        history: Vec::new(),
        members: Vec::new(),
        transitions: Vec::new(),
        shadow: None,
        transition: 0,
        is_new: false,
        fired: None,
        stamp: Stamp::default(),
        next: Stamp::default(),
    }
}

pub(crate) fn state(bytes: impl Into<Vec<u8>>) -> Option<Arc<Vec<u8>>> {
    Some(Arc::new(bytes.into()))
}

/// Transitions of these numbers, each with its number as its text.
pub(crate) fn lines(numbers: impl IntoIterator<Item = u64>) -> Vec<Line> {
    let line = |number: u64| Line { number, json: format!("{{\"n\":{number}}}").into_bytes() };
    numbers.into_iter().map(line).collect()
}

/// The same user, telling of that and of being in that audience.
pub(crate) fn telling(key: &UserKey, numbers: impl IntoIterator<Item = u64>) -> UserCommit {
    let transitions = lines(numbers);
    let transition = transitions.last().map_or(0, |line| line.number);
    UserCommit { transitions, transition, ..user(key) }
}

pub(crate) fn vip() -> AudienceKey {
    AudienceKey::of("vip")
}

/// A commit that enters the user in an audience, or takes her out, by her transition of that number.
pub(crate) fn membership(key: &UserKey, number: u64, since: Option<i64>) -> UserCommit {
    UserCommit { members: vec![(vip(), since.map(at))], ..telling(key, [number]) }
}

/// Made from what the store knows of the user now.
pub(crate) fn stamped(store: &dyn Store, user: UserCommit) -> UserCommit {
    let found = store.read(std::slice::from_ref(&user.key)).unwrap().remove(0).record;
    let is_new = !found.as_ref().is_some_and(|record| record.is_known());
    let stamp = found.map(|record| record.stamp).unwrap_or_default();
    restamped(UserCommit { is_new, stamp, ..user })
}

/// With the stamp that follows from its own.
pub(crate) fn restamped(user: UserCommit) -> UserCommit {
    UserCommit { next: user.stamp.after(user.due, user.fired), ..user }
}

pub(crate) fn commit(users: Vec<UserCommit>) -> Commit {
    Commit {
        made: at(1),
        clock: at(1),
        users,
        dead_letters: Vec::new(),
        audiences: Vec::new(),
        documents: Vec::new(),
        kept_ms: HashMap::new(),
        forgotten: HashMap::new(),
    }
}

/// Commits users from what the store knows of them now. All of it counts.
pub(crate) fn put(store: &dyn Store, users: Vec<UserCommit>) -> Committed {
    let users = users.into_iter().map(|user| stamped(store, user)).collect();
    let committed = store.commit(commit(users)).unwrap();
    assert_eq!(committed.overtaken, []);
    committed
}

/// The same, told.
pub(crate) fn tell(store: &dyn Store, users: Vec<UserCommit>) {
    let committed = put(store, users);
    store.settle(&committed).unwrap();
}

/// The numbers of what was told of a user, in the order of telling.
pub(crate) fn numbers(told: &[(UserKey, Line)], key: &UserKey) -> Vec<u64> {
    told.iter().filter(|(of, _)| of == key).map(|(_, line)| line.number).collect()
}

pub(crate) fn state_of(store: &dyn Store, key: &UserKey) -> Option<Vec<u8>> {
    store.user(key).unwrap().map(|record| record.state.to_vec())
}

pub(crate) fn stamp_of(store: &dyn Store, key: &UserKey) -> Stamp {
    let record = store.read(std::slice::from_ref(key)).unwrap().remove(0).record;
    record.map(|record| record.stamp).unwrap_or_default()
}

/// The numbers of all events of a user, in the order of reading.
pub(crate) fn history_of(store: &dyn Store, key: &UserKey) -> Vec<u64> {
    let events = store.history(key, None, Time::MIN, Time::MAX).unwrap();
    events.iter().map(|arrival| arrival.number).collect()
}

/// The members of the audience in the user's workspace, by name, with the instant since when.
pub(crate) fn members_of(store: &dyn Store, workspace: &str) -> Vec<(String, i64)> {
    let members = store.members(workspace, vip(), None, 10_000).unwrap();
    members.into_iter().map(|(user, since)| (user.to_string(), since.milliseconds())).collect()
}
