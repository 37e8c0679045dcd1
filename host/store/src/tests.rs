//! What every store must do.

mod agreement;

use super::{
    Commit, EmbeddedStore, Line, MemoryStore, Stamp, Store, StoreError, StoreOptions, UserCommit,
    UserKey,
};
use muster_core::{Arrival, AudienceKey, Event, Time, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Runs the check on every kind of store, those that last opened anew where the check says so.
fn on_every_store(check: impl Fn(&mut dyn FnMut() -> Arc<dyn Store>)) {
    #[cfg(feature = "cql")]
    {
        let keyspace = crate::cql::tests::Keyspace::new();
        check(&mut || Arc::new(keyspace.open()));
    }
    on_stores_of_one_process(check);
}

/// The same, of what only stores do that no other process writes.
fn on_stores_of_one_process(check: impl Fn(&mut dyn FnMut() -> Arc<dyn Store>)) {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    check(&mut || memory.clone());
    let folder = tempfile::tempdir().unwrap();
    check(&mut || {
        let options = StoreOptions { cache_bytes: 1 << 20 };
        Arc::new(EmbeddedStore::open(&folder.path().join("store"), options).unwrap())
    });
}

pub(crate) fn at(milliseconds: i64) -> Time {
    Time::from_milliseconds(milliseconds).unwrap()
}

pub(crate) fn key(workspace: &str, user: &str) -> UserKey {
    UserKey { workspace: workspace.into(), user: user.into() }
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

pub(crate) fn user(key: UserKey) -> UserCommit {
    UserCommit {
        key,
        state: Some(b"state".to_vec().into()),
        profile: Some(b"profile".to_vec().into()),
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

/// Commits from what the store knows of the users by now. All of it counts.
pub(crate) fn put(store: &dyn Store, mut commit: Commit) {
    for user in &mut commit.users {
        let record = store.user(&user.key).unwrap();
        user.is_new |= record.is_none();
        user.stamp = record.map(|record| record.stamp).unwrap_or_default();
        user.fired = user.due_before;
        user.next = user.stamp.after(user.due, user.fired);
    }
    let committed = store.commit(commit).unwrap();
    assert_eq!(committed.overtaken, []);
    store.settle(&committed).unwrap();
}

pub(crate) fn commit(clock: i64, users: Vec<UserCommit>) -> Commit {
    Commit {
        made: at(clock),
        clock: at(clock),
        users,
        dead_letters: Vec::new(),
        audiences: Vec::new(),
        documents: Vec::new(),
        kept_ms: HashMap::new(),
        forgotten: HashMap::new(),
    }
}

#[test]
fn a_user_is_what_was_committed_last() {
    on_every_store(|open| {
        let store = open();
        assert_eq!(store.user(&key("w", "ann")).unwrap(), None);
        assert_eq!(store.clock(), Time::EPOCH);
        put(&*store, commit(5, vec![user(key("w", "ann"))]));
        let only_state = UserCommit {
            state: Some(b"new".to_vec().into()),
            profile: None,
            ..user(key("w", "ann"))
        };
        put(&*store, commit(7, vec![only_state]));
        drop(store);
        let store = open();
        let record = store.user(&key("w", "ann")).unwrap().unwrap();
        assert_eq!(
            (record.state.as_slice(), record.profile.as_slice()),
            (&b"new"[..], &b"profile"[..])
        );
        assert_eq!(store.user(&key("w", "an")).unwrap(), None);
        assert_eq!(store.user(&key("wa", "nn")).unwrap(), None);
        assert_eq!(store.clock(), at(7));
    });
}

#[test]
fn history_is_read_by_name_and_time_in_the_order_of_arrival() {
    on_every_store(|open| {
        let store = open();
        let ann = UserCommit {
            history: vec![
                arrival(1, "buy", 10_000_000),
                arrival(2, "look", 10_000_000),
                arrival(3, "buy", -5),
                arrival(4, "buy", 10_000_000),
                arrival(5, "buyer", 10_000_000),
            ],
            ..user(key("w", "ann"))
        };
        put(&*store, commit(1, vec![ann, user(key("w", "anna"))]));
        let later =
            UserCommit { history: vec![arrival(6, "buy", 10_000_001)], ..user(key("w", "ann")) };
        put(&*store, commit(2, vec![later]));
        drop(store);
        let store = open();
        let numbers = |event: Option<&str>, from: i64, to: i64| -> Vec<u64> {
            let found = store.history(&key("w", "ann"), event, at(from), at(to)).unwrap();
            found.iter().map(|arrival| arrival.number).collect()
        };
        assert_eq!(numbers(Some("buy"), -10, 20_000_000), [3, 1, 4, 6]);
        assert_eq!(numbers(None, -10, 20_000_000), [3, 1, 2, 4, 5, 6]);
        assert_eq!(numbers(Some("buy"), 10_000_000, 10_000_000), [1, 4]);
        assert_eq!(numbers(Some("buy"), 10_000_001, 10_000_000), [] as [u64; 0]);
        assert_eq!(numbers(Some("bu"), -10, 20_000_000), [] as [u64; 0]);
        let found = store.history(&key("w", "ann"), Some("look"), Time::MIN, Time::MAX).unwrap();
        assert_eq!(found, [arrival(2, "look", 10_000_000)]);
        assert!(store.history(&key("w", "anna"), None, Time::MIN, Time::MAX).unwrap().is_empty());
    });
}

#[test]
fn timers_are_due_in_the_order_of_instant_workspace_and_user() {
    on_every_store(|open| {
        let store = open();
        let timed =
            |name: &str, due: i64| UserCommit { due: Some(at(due)), ..user(key("w", name)) };
        put(
            &*store,
            commit(1, vec![timed("c", 20), timed("b", 10), timed("a", 20), timed("d", -1)]),
        );
        let due = |store: &dyn Store, until: i64| -> Vec<(i64, String)> {
            let due = store.due(at(until), 100).unwrap();
            due.into_iter().map(|(at, key)| (at.milliseconds(), key.user.to_string())).collect()
        };
        let expected: Vec<(i64, String)> = vec![(-1, "d".into()), (10, "b".into())];
        assert_eq!(due(&*store, 20), expected);
        let all = [(-1, "d"), (10, "b"), (20, "a"), (20, "c")].map(|(at, u)| (at, u.to_string()));
        assert_eq!(due(&*store, 21), all);
        assert_eq!(store.due(at(21), 1).unwrap().len(), 1);
        let moved =
            UserCommit { due_before: Some(at(10)), due: Some(at(5)), ..user(key("w", "b")) };
        let gone = UserCommit { due_before: Some(at(-1)), due: None, ..user(key("w", "d")) };
        put(&*store, commit(2, vec![moved, gone]));
        let expected: Vec<(i64, String)> = vec![(5, "b".into())];
        assert_eq!(due(&*store, 6), expected);
        assert_eq!(due(&*store, 5), []);
        drop(store);
        assert_eq!(due(&*open(), 6), expected);
        // One that is due earlier than what was looked at before is found all the same.
        let store = open();
        assert_eq!(due(&*store, 5), []);
        put(&*store, commit(3, vec![timed("e", 1)]));
        assert_eq!(due(&*store, 5), [(1, "e".to_string())]);
    });
}

#[test]
fn members_are_paged_by_user() {
    on_every_store(|open| {
        let store = open();
        let (vip, new) = (AudienceKey::of("vip"), AudienceKey::of("new"));
        let member = |name: &str, since: i64| UserCommit {
            members: vec![(vip, Some(at(since)))],
            ..user(key("w", name))
        };
        let mut both = member("b", 2);
        both.members.push((new, Some(at(9))));
        put(&*store, commit(1, vec![member("c", 3), both, member("a", 1)]));
        let left = UserCommit { members: vec![(vip, None)], ..user(key("w", "b")) };
        put(&*store, commit(2, vec![left]));
        let page = |after: Option<&str>, limit: usize| -> Vec<(String, i64)> {
            let found = store.members("w", vip, after, limit).unwrap();
            found
                .into_iter()
                .map(|(user, since)| (user.to_string(), since.milliseconds()))
                .collect()
        };
        assert_eq!(page(None, 10), [("a".to_string(), 1), ("c".to_string(), 3)]);
        assert_eq!(page(None, 1), [("a".to_string(), 1)]);
        assert_eq!(page(Some("a"), 10), [("c".to_string(), 3)]);
        assert_eq!(store.members("w", new, None, 10).unwrap().len(), 1);
        assert!(store.members("v", vip, None, 10).unwrap().is_empty());
        assert_eq!(store.users("w", None, 10).unwrap(), ["a".into(), "b".into(), "c".into()]);
        assert_eq!(store.users("w", Some("a"), 1).unwrap(), ["b".into()]);
    });
}

#[test]
fn transitions_are_read_from_a_cursor_until_they_expire() {
    on_stores_of_one_process(|open| {
        let store = open();
        let told = |workspace: &str, lines: &[&str]| UserCommit {
            transitions: (1..)
                .zip(lines)
                .map(|(number, line)| Line { number, json: line.as_bytes().to_vec() })
                .collect(),
            ..user(key(workspace, "ann"))
        };
        put(&*store, commit(10, vec![told("w", &["1", "2"]), told("v", &["other"])]));
        put(&*store, commit(20, vec![told("w", &["3"])]));
        drop(store);
        let store = open();
        let read = |after: u64, limit: usize| -> Vec<(u64, String)> {
            let found = store.transitions("w", after, limit).unwrap();
            found.into_iter().map(|(at, line)| (at, String::from_utf8(line).unwrap())).collect()
        };
        let lines = [(1, "1"), (2, "2"), (3, "3")].map(|(at, line)| (at, line.to_string()));
        assert_eq!(read(0, 10), lines);
        assert_eq!(read(1, 1), lines[1..2]);
        assert_eq!(read(3, 10), []);
        for after in [4, u64::MAX] {
            let ahead = store.transitions("w", after, 10).unwrap_err();
            assert!(matches!(ahead, StoreError::CursorAhead { newest: 3, .. }), "{ahead}");
        }
        let ahead = store.transitions("nobody", 1, 10).unwrap_err();
        assert!(matches!(ahead, StoreError::CursorAhead { newest: 0, .. }), "{ahead}");
        assert_eq!(store.transitions("nobody", 0, 10).unwrap(), []);
        assert_eq!((store.cursor("w").unwrap(), store.cursor("nobody").unwrap()), (3, 0));
        assert_eq!(store.expire_transitions(at(20)).unwrap(), 3);
        assert_eq!(store.expire_transitions(at(20)).unwrap(), 0);
        let expired = store.transitions("w", 1, 10).unwrap_err();
        assert!(matches!(expired, StoreError::CursorExpired { oldest: 2 }), "{expired}");
        assert_eq!(read(2, 10), lines[2..]);
        drop(store);
        let store = open();
        assert!(store.transitions("w", 0, 10).is_err());
        put(&*store, commit(30, vec![told("w", &["4"])]));
        assert_eq!(store.transitions("w", 3, 10).unwrap(), [(4, b"4".to_vec())]);
    });
}

#[test]
fn history_expires_by_workspace_and_name() {
    on_stores_of_one_process(|open| {
        let store = open();
        const HOUR: i64 = 3_600_000;
        let old = UserCommit {
            history: vec![arrival(1, "buy", 0), arrival(2, "look", 0), arrival(3, "buy", 9 * HOUR)],
            ..user(key("w", "ann"))
        };
        put(&*store, commit(1, vec![old]));
        let keep_from =
            |_: &str, event: &str| if event == "buy" { at(5 * HOUR) } else { Time::MIN };
        let (mut deleted, mut cursor) = (0, None);
        loop {
            let (some, next) = store.expire_history(cursor, 1, &keep_from).unwrap();
            deleted += some;
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(deleted, 1);
        let left = store.history(&key("w", "ann"), None, Time::MIN, Time::MAX).unwrap();
        assert_eq!(left.iter().map(|arrival| arrival.number).collect::<Vec<_>>(), [2, 3]);
    });
}

#[test]
fn what_was_forgotten_elsewhere_is_remembered_by_its_latest_instant() {
    on_every_store(|open| {
        let store = open();
        let forgotten = |all: &[(&str, &str, i64)]| {
            let named = all.iter().map(|(workspace, event, until)| {
                ((Arc::from(*workspace), Arc::from(*event)), at(*until))
            });
            Commit { forgotten: named.collect(), ..commit(5, vec![]) }
        };
        let first = [("w", "buy", 10), ("w", "look", -5), ("w", "far", Time::MAX.milliseconds())];
        put(&*store, forgotten(&first));
        let long_ago = Time::MIN.milliseconds();
        put(&*store, forgotten(&[("w", "buy", 7), ("w", "look", 3), ("wa", "buy", long_ago)]));
        drop(store);
        let store = open();
        let expected = [("buy", 10), ("far", Time::MAX.milliseconds()), ("look", 3)];
        let expected = expected.map(|(event, until)| (event.into(), at(until)));
        assert_eq!(store.forgotten("w").unwrap(), expected);
        assert_eq!(store.forgotten("wa").unwrap(), [("buy".into(), Time::MIN)]);
    });
}

#[test]
fn dead_letters_are_bounded_and_audiences_remembered() {
    on_stores_of_one_process(|open| {
        let store = open();
        for turn in 0..11 {
            let letters = (0..1_000).map(|at| format!("{turn} {at}").into_bytes()).collect();
            let audiences = vec![(AudienceKey::of("vip"), "vip".into())];
            put(&*store, Commit { dead_letters: letters, audiences, ..commit(turn, vec![]) });
        }
        drop(store);
        let store = open();
        let letters = store.dead_letters(0, 20_000).unwrap();
        assert_eq!(letters.len(), 10_000);
        assert_eq!(letters[0], (1_001, b"1 0".to_vec()));
        assert_eq!(store.dead_letters(10_999, 5).unwrap(), [(11_000, b"10 999".to_vec())]);
        assert_eq!(store.audience_ids().unwrap(), [(AudienceKey::of("vip"), "vip".into())]);
    });
}

#[test]
fn users_are_counted_by_workspace_and_shadows_go_with_none() {
    on_every_store(|open| {
        let store = open();
        let new = |workspace: &str, name: &str| UserCommit {
            is_new: true,
            shadow: Some(Some(b"shadow".to_vec().into())),
            ..user(key(workspace, name))
        };
        put(&*store, commit(1, vec![new("w", "a"), new("w", "b"), new("v", "a")]));
        let unchanged = user(key("w", "a"));
        let without = UserCommit { shadow: Some(None), ..user(key("w", "b")) };
        put(&*store, commit(2, vec![unchanged, without]));
        drop(store);
        let store = open();
        assert_eq!(store.workspaces().unwrap(), [("v".into(), 1), ("w".into(), 2)]);
        let shadow = |name: &str| store.shadow(&key("w", name)).unwrap();
        assert_eq!(shadow("a").as_deref(), Some(&b"shadow".to_vec()));
        assert_eq!(shadow("b"), None);
    });
}

#[test]
fn documents_are_found_by_what_their_names_begin_with() {
    on_every_store(|open| {
        let store = open();
        let names = ["a", "b/1", "b/2", "b/10", "b0", "c"];
        let documents = names.map(|name| (name.into(), Some(name.as_bytes().to_vec())));
        let put = |documents: Vec<(Arc<str>, Option<Vec<u8>>)>| {
            put(&*store, Commit { documents, ..commit(1, vec![]) });
        };
        put(documents.to_vec());
        put(vec![("b/2".into(), None), ("a".into(), Some(b"other".to_vec()))]);
        let names = |after: Option<&str>, limit| -> Vec<String> {
            let found = store.documents("b/", after, limit).unwrap();
            found.into_iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names(None, 9), ["b/1", "b/10"]);
        assert_eq!(names(None, 1), ["b/1"]);
        assert_eq!(names(Some("b/1"), 9), ["b/10"]);
        assert_eq!(store.document("a").unwrap().as_deref(), Some(&b"other"[..]));
        assert_eq!(store.document("b/2").unwrap(), None);
    });
}

#[test]
fn a_document_is_replaced_only_as_it_was_read() {
    on_every_store(|open| {
        let store = open();
        let replace = |read: Option<&[u8]>, body: &[u8], other: &str| {
            let others = vec![(other.into(), Some(body.to_vec()))];
            store.replace(("state", body.to_vec()), &|found| found == read, others).unwrap()
        };
        let document = |name: &str| store.document(name).unwrap();
        assert!(!replace(Some(b"zero"), b"one", "refused"));
        assert!(replace(None, b"one", "first"));
        assert!(!replace(None, b"other", "refused"));
        assert!(replace(Some(b"one"), b"two", "second"));
        assert!(!replace(Some(b"one"), b"other", "refused"));
        assert_eq!(document("state").as_deref(), Some(&b"two"[..]));
        assert_eq!(document("first").as_deref(), Some(&b"one"[..]));
        assert_eq!(document("second").as_deref(), Some(&b"two"[..]));
        assert_eq!(document("refused"), None);
    });
}
