//! Everything of one store goes over to another of another kind, and back.

use crate::make::{arrival, at, commit, history_of, key, put, stamped, tell, vip};
use crate::place::{Fresh, run};
use muster_core::codec::{put_signed, put_unsigned};
use muster_core::{Arrival, Profile, Time, Value};
use muster_store::{
    Commit, Copied, CopyError, CqlStore, EmbeddedStore, Store, StoreOptions, UserCommit, UserKey,
    copy,
};
use std::sync::Arc;
use tempfile::TempDir;

const HOUR: i64 = 3_600_000;

fn embedded(folder: &TempDir) -> EmbeddedStore {
    EmbeddedStore::open(&folder.path().join("store"), StoreOptions { cache_bytes: 1 << 20 })
        .unwrap()
}

/// The state of a user by the core, as one is who has had transitions.
fn state(transitions: u64) -> Option<Arc<Vec<u8>>> {
    let mut state = vec![5];
    state.extend_from_slice(&7u64.to_le_bytes());
    put_unsigned(&mut state, 3);
    put_unsigned(&mut state, transitions);
    put_signed(&mut state, 1_000);
    // No timer of a scan, and nothing of positions, ids, marks, retries, series.
    state.extend([0; 7]);
    Some(state.into())
}

fn profile(name: &str, since: Option<i64>) -> Option<Arc<Vec<u8>>> {
    let mut profile = Profile::default();
    profile.attributes.insert("name".into(), Value::text(name));
    let mut profile = profile.encode();
    if let Some(since) = since {
        // Instead of none at its end, one.
        assert_eq!(profile.pop(), Some(0));
        profile.push(1);
        profile.extend_from_slice(&vip().bits().to_le_bytes());
        profile.extend_from_slice(&since.to_le_bytes());
    }
    Some(profile.into())
}

fn events(number: u64) -> Vec<Arrival> {
    (0..number).map(|n| arrival(n, ["buy", "look"][n as usize % 2], n as i64 * HOUR / 2)).collect()
}

/// Fills a store with something of everything. Gives its users.
fn fill(store: &dyn Store) -> Vec<UserKey> {
    let keys: Vec<UserKey> =
        (0..700).map(|number| key(["shop", "blog"][number % 2], &format!("u{number}é"))).collect();
    let of = |(number, key): (u64, &UserKey)| {
        let since = (number % 3 == 0).then_some(number as i64);
        UserCommit {
            state: state(number),
            profile: profile(&key.user, since),
            history: events(number % 5),
            members: since.map(|since| (vip(), Some(at(since)))).into_iter().collect(),
            transition: number,
            shadow: (number % 7 == 0).then(|| Some(Arc::new(key.user.as_bytes().to_vec()))),
            ..crate::make::user(key)
        }
    };
    let users: Vec<UserCommit> = (0..).zip(&keys).map(of).collect();
    for users in users.chunks(250) {
        tell(store, users.to_vec());
    }
    let documents =
        vec![("a\0b".into(), Some(b"body".to_vec())), ("large".into(), Some(vec![7; 3 << 20]))];
    let audiences = vec![(vip(), "vip".into())];
    let commit = Commit { documents, audiences, clock: at(5 * HOUR), ..commit(Vec::new()) };
    store.commit(commit).unwrap();
    keys
}

/// Everything of a user that a copy has as well, as text.
fn all(store: &dyn Store, keys: &[UserKey]) -> Vec<String> {
    let of = |key: &UserKey| {
        let record = store.user(key).unwrap().map(|record| (record.state, record.profile));
        let history = store.history(key, None, Time::MIN, Time::MAX).unwrap();
        format!("{key:?} {record:?} {:?} {history:?}", store.shadow(key).unwrap())
    };
    let mut all: Vec<String> = keys.iter().map(of).collect();
    for workspace in ["shop", "blog"] {
        all.push(format!("{:?}", store.users(workspace, None, 9_999).unwrap()));
        all.push(format!("{:?}", store.members(workspace, vip(), None, 9_999).unwrap()));
    }
    all.push(format!("{:?}", store.workspaces().unwrap()));
    all.push(format!("{:?}", store.documents("", None, 99).unwrap()));
    all.push(format!("{:?} {:?}", store.audience_ids().unwrap(), store.clock()));
    all
}

#[test]
fn everything_goes_over_and_comes_back() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = Fresh::made();
    let (from, shared, back) = (embedded(&folder), settings.open(), embedded(&other));
    let keys = fill(&from);
    let mut said = Vec::new();
    let copied =
        copy(&from, &shared, Time::MAX, &mut |what, done, of| said.push((what, done, of))).unwrap();
    assert_eq!((copied.users, copied.documents), (700, 2));
    assert_eq!(copied.events, (0..700).map(|number| number % 5).sum::<u64>());
    assert_eq!(copied.members, (0..700).filter(|number| number % 3 == 0).count() as u64);
    let of = |pass: &str| -> Vec<(u64, u64)> {
        let of_pass = said.iter().filter(|(what, ..)| *what == pass);
        of_pass.map(|(_, done, of)| (*done, *of)).collect()
    };
    for pass in ["copied", "verified"] {
        assert!(of(pass).is_sorted() && of(pass).iter().all(|(_, of)| *of == 700), "{said:?}");
        assert_eq!(of(pass).last(), Some(&(700, 700)));
    }
    assert_eq!(all(&shared, &keys), all(&from, &keys));
    // What a copy makes can be gone on from.
    assert!(put(&shared, vec![crate::make::user(&key("new", "ann"))]).overtaken.is_empty());
    drop(shared);
    let settings = Fresh::made();
    let shared = settings.open();
    copy(&from, &shared, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!(copy(&shared, &back, Time::MAX, &mut |_, _, _| {}).unwrap(), copied);
    assert_eq!(all(&back, &keys), all(&from, &keys));
}

/// A user by the core with an event of each of two names.
fn with_events(key: &UserKey) -> UserCommit {
    let history = vec![arrival(1, "buy", 0), arrival(2, "look", 0)];
    UserCommit { state: state(1), profile: profile("ann", None), history, ..crate::make::user(key) }
}

/// Commits that user at that clock, where events of one of the names are kept for so long.
fn put_kept(store: &dyn Store, clock: i64, kept_ms: i64) {
    let ann = key("w", "ann");
    let users = vec![stamped(store, with_events(&ann))];
    let kept_ms = [((ann.workspace, "buy".into()), kept_ms)].into();
    store.commit(Commit { clock: at(clock), kept_ms, ..commit(users) }).unwrap();
}

#[test]
fn what_is_gone_from_an_embedded_store_is_known_in_a_database_and_back() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = Fresh::made();
    let (from, back) = (embedded(&folder), embedded(&other));
    tell(&from, vec![with_events(&key("w", "ann"))]);
    from.expire_history(None, 99, &|_, event| at(if event == "buy" { 5 * HOUR } else { 0 }))
        .unwrap();
    let gone = [("buy".into(), at(HOUR))];
    assert_eq!(from.forgotten("w").unwrap(), gone);
    copy(&from, &settings.open(), Time::MAX, &mut |_, _, _| {}).unwrap();
    let shared = settings.open();
    assert_eq!(shared.forgotten("w").unwrap(), gone);
    copy(&shared, &back, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!(back.forgotten("w").unwrap(), gone);
}

#[test]
fn what_is_gone_from_a_database_is_known_in_its_copies_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, target) = (Fresh::made(), Fresh::made());
    let (from, backup, other) = (settings.open(), embedded(&folder), target.open());
    put_kept(&from, HOUR, 2 * HOUR);
    from.commit(Commit { clock: at(9 * HOUR), ..commit(Vec::new()) }).unwrap();
    let gone = [("buy".into(), at(7 * HOUR))];
    copy(&from, &backup, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!(backup.forgotten("w").unwrap(), gone);
    copy(&backup, &other, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!(other.forgotten("w").unwrap(), gone);
    // What is kept for longer takes nothing back, and adds to it when its own time is over.
    let buys = vec![arrival(3, "buy", 10 * HOUR)];
    let ann = key("w", "ann");
    let user = UserCommit { history: buys, ..crate::make::user(&ann) };
    let kept_ms = [((ann.workspace.clone(), "buy".into()), 5 * HOUR)].into();
    let users = vec![stamped(&other, user)];
    other.commit(Commit { clock: at(10 * HOUR), kept_ms, ..commit(users) }).unwrap();
    assert_eq!(other.forgotten("w").unwrap(), gone);
    other.commit(Commit { clock: at(20 * HOUR), ..commit(Vec::new()) }).unwrap();
    assert_eq!(other.forgotten("w").unwrap(), [("buy".into(), at(15 * HOUR))]);
}

#[test]
fn a_copy_that_does_not_know_what_is_gone_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (from, target) = (embedded(&folder), Fresh::made());
    tell(&from, vec![with_events(&key("w", "ann"))]);
    from.expire_history(None, 99, &|_, _| at(5 * HOUR)).unwrap();
    let keyspace = &target.keyspace;
    for change in [
        format!("TRUNCATE {keyspace}.forgotten"),
        format!(
            "UPDATE {keyspace}.forgotten SET until = 7 WHERE workspace = 'w' AND event = 'buy'"
        ),
    ] {
        let refused = copy(&from, &target.open(), Time::MAX, &mut |what, _, _| {
            if what == "copied" {
                run(&change);
            }
        });
        let said = refused.unwrap_err().to_string();
        let expected = "of workspace `w` are gone is not in the copy as it is in the original";
        assert!(said.starts_with("up to when events `") && said.contains(expected), "{said}");
        for table in ["users", "user_ids", "workspaces"] {
            run(&format!("TRUNCATE {keyspace}.{table}"));
        }
    }
}

#[test]
fn what_the_original_lets_go_of_meanwhile_is_in_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (fresh, to) = (Fresh::made(), embedded(&folder));
    let from = fresh.open();
    put_kept(&from, 0, 5_000);
    let ann = key("w", "ann");
    let copied = copy(&from, &to, Time::MAX, &mut |what, _, _| {
        if what == "copied" {
            crate::place::eventually("an event is gone", || history_of(&from, &ann) == [2]);
        }
    });
    assert_eq!(copied.unwrap().events, 2);
    assert_eq!(history_of(&to, &ann), [1, 2]);
}

#[test]
fn a_user_whose_row_does_not_decode_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (fresh, to) = (Fresh::made(), embedded(&folder));
    let from = fresh.open();
    tell(&from, ["ann", "bob"].map(|user| with_events(&key("w", user))).to_vec());
    let keyspace = &fresh.keyspace;
    run(&format!(
        "UPDATE {keyspace}.users SET version = 0x07 WHERE workspace = 'w' AND user = 'bob'"
    ));
    let said = copy(&from, &to, Time::MAX, &mut |_, _, _| {}).unwrap_err().to_string();
    let expected = "table `users` is damaged in what it keeps of user `bob` of workspace `w`: \
                    restore it from a backup, or run `muster store repair` where the store is a database";
    assert_eq!(said, expected);
}

fn refuses(from: &dyn Store, to: &CqlStore) {
    let refused = copy(from, to, Time::MAX, &mut |_, _, _| {}).unwrap_err();
    assert!(matches!(refused, CopyError::NotEmpty), "{refused}");
}

#[test]
fn a_store_in_which_there_is_something_is_not_copied_to() {
    let folder = tempfile::tempdir().unwrap();
    let from = embedded(&folder);
    let (one, other) = (Fresh::made(), Fresh::made());
    let store = one.open();
    tell(&store, vec![crate::make::user(&key("w", "ann"))]);
    refuses(&from, &store);
    // Nor can it be copied itself: it holds what the core does not read.
    let said = copy(&store, &from, Time::MAX, &mut |_, _, _| {}).unwrap_err().to_string();
    assert_eq!(
        said,
        "the record of user `ann` in workspace `w` is damaged: restore it from a backup, or run \
         `muster store repair` where the store is a database"
    );
    let store = other.open();
    let documents = vec![("d".into(), Some(Vec::new()))];
    store.commit(Commit { documents, ..commit(Vec::new()) }).unwrap();
    refuses(&from, &store);
}

#[test]
fn what_is_untold_goes_along_and_is_told_there() {
    let settings = Fresh::made();
    let store = settings.open();
    let ann = key("w", "ann");
    let told = UserCommit {
        state: state(2),
        profile: profile("ann", None),
        ..crate::make::telling(&ann, [1, 2])
    };
    put(&store, vec![told]);
    let target = Fresh::made();
    let other = target.open();
    copy(&store, &other, Time::MAX, &mut |_, _, _| {}).unwrap();
    drop(other);
    let other = target.open();
    let left = other.recover().unwrap().unwrap();
    assert_eq!(crate::make::numbers(&left.told, &ann), [1, 2]);
    other.settle(&left).unwrap();
}

#[test]
fn what_somebody_changes_meanwhile_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = Fresh::made();
    let (from, to) = (embedded(&folder), fresh.open());
    let keys = fill(&from);
    let mut is_changed = false;
    let refused = copy(&from, &to, Time::MAX, &mut |what, done, of| {
        if what == "copied" && done == of && !is_changed {
            is_changed = true;
            let other =
                UserCommit { history: vec![arrival(99, "buy", 5)], ..crate::make::user(&keys[7]) };
            tell(&to, vec![UserCommit { state: None, ..other }]);
        }
    });
    let said = refused.unwrap_err().to_string();
    let begin = format!(
        "user `{}` of workspace `blog` is not in the copy as it is in the original",
        keys[7].user
    );
    assert!(said.starts_with(&begin), "{said}");
}

/// A store of one member with a timer, and her key.
fn of_one(fresh: &Fresh) -> (CqlStore, UserKey) {
    let (store, ann) = (fresh.open(), key("w", "ann"));
    let mut state = state(1).unwrap().to_vec();
    // Behind the instant of the state there is how much later a scan is due, and one more.
    let place = state.len() - 7;
    state[place] = 60;
    let one = UserCommit {
        state: Some(state.into()),
        profile: profile("ann", Some(5)),
        members: vec![(vip(), Some(at(5)))],
        transition: 1,
        due: Some(at(1_059)),
        ..crate::make::user(&ann)
    };
    tell(&store, vec![one]);
    let audiences = vec![(vip(), "vip".into())];
    store.commit(Commit { audiences, ..commit(Vec::new()) }).unwrap();
    (store, ann)
}

#[test]
fn what_a_process_that_was_killed_left_behind_holds_no_copy_up() {
    let (fresh, target) = (Fresh::made(), Fresh::made());
    let (store, ann) = of_one(&fresh);
    let keyspace = &fresh.keyspace;
    run(&format!("TRUNCATE {keyspace}.members"));
    run(&format!(
        "INSERT INTO {keyspace}.timers (span, part, at, workspace, user) VALUES (0, 0, 7, 'w', 'bob')"
    ));
    run(&format!(
        "INSERT INTO {keyspace}.timer_spans (id, span, part, noted) VALUES (0, 0, 0, true)"
    ));
    let other = target.open();
    copy(&store, &other, Time::MAX, &mut |_, _, _| {}).unwrap();
    assert_eq!(other.members("w", vip(), None, 9).unwrap(), [(ann.user.clone(), at(5))]);
    assert_eq!(other.due(Time::MAX, 9).unwrap(), [(at(1_059), ann)]);
}

#[test]
fn a_copy_without_a_member_or_a_timer_is_none() {
    for (table, what) in [("members", "audience `vip`"), ("timers", "the timer of user `ann`")] {
        let (fresh, target) = (Fresh::made(), Fresh::made());
        let (store, other) = (of_one(&fresh).0, target.open());
        let refused = copy(&store, &other, Time::MAX, &mut |what, _, _| {
            if what == "copied" {
                run(&format!("TRUNCATE {}.{table}", target.keyspace));
            }
        });
        let said = refused.unwrap_err().to_string();
        let expected =
            format!("{what} of workspace `w` is not in the copy as it is in the original");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn nothing_goes_over_and_then_names_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = Fresh::made();
    let (from, to) = (embedded(&folder), fresh.open());
    assert_eq!(copy(&from, &to, Time::MAX, &mut |_, _, _| {}).unwrap(), Copied::default());
    let names = ["it's", "\"q\"", "日本\n", " "];
    let of = |name: &str| UserCommit {
        state: state(1),
        profile: profile(name, None),
        ..crate::make::user(&key(name, name))
    };
    tell(&from, names.map(of).to_vec());
    copy(&from, &to, Time::MAX, &mut |_, _, _| {}).unwrap();
    for name in names {
        assert_eq!(to.users(name, None, 9).unwrap(), [Arc::from(name)]);
    }
}

#[test]
fn a_store_that_others_work_on_is_not_copied() {
    let (cluster, folder) = (Fresh::made(), TempDir::new().unwrap());
    let (ours, at_work) = (cluster.open(), cluster.open());
    let refused = |from: &dyn Store, to: &dyn Store| {
        copy(from, to, Time::MAX, &mut |_, _, _| {}).unwrap_err()
    };
    // The one that was there first hears of the other before long.
    crate::place::eventually("the other is known of", || ours.companions() == 1);
    assert!(matches!(refused(&ours, &embedded(&folder)), CopyError::InUse(1)));
    assert!(matches!(refused(&embedded(&folder), &ours), CopyError::InUse(1)));
    drop(at_work);
    crate::place::eventually("it is gone", || ours.companions() == 0);
    assert_eq!(
        copy(&ours, &embedded(&folder), Time::MAX, &mut |_, _, _| {}).unwrap(),
        Copied::default()
    );
}
