//! What a process leaves half done that ends, or that is silent for so long that it is taken for gone: settled
//! by who finds it.

use crate::make::{
    arrival, commit, history_of, key, members_of, membership, numbers, put, someone, stamp_of,
    stamped, state, state_of, tell, telling, user, workspace,
};
use crate::place::{Fresh, Own, eventually, open, rows, run};
use crate::proxy::{Fault, Proxy};
use crate::untold::{journal, recover, recover_until};
use muster_core::codec::put_text;
use muster_store::{Committed, CqlSettings, Store, UserCommit, UserKey};
use std::time::Duration;

fn owners(own: &Own) -> usize {
    rows(&format!("SELECT owner FROM {}.owners", own.keyspace)).len()
}

/// Notes that a process which is gone was about to commit these users.
fn note(own: &Own, owner: &str, keys: &[UserKey]) {
    let mut users = Vec::new();
    for key in keys {
        put_text(&mut users, &key.workspace);
        put_text(&mut users, &key.user);
    }
    let users: String = users.iter().map(|byte| format!("{byte:02x}")).collect();
    let keyspace = &own.keyspace;
    run(&format!(
        "INSERT INTO {keyspace}.journal (owner, turn, users) VALUES ('{owner}', 0, 0x{users})"
    ));
    run(&format!("INSERT INTO {keyspace}.owners (id, owner, turn) VALUES (0, '{owner}', 0)"));
}

#[test]
fn what_was_committed_and_not_told_is_told_by_another_once_in_order() {
    let own = Own::take();
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..30).map(|n| key(&workspace, &n.to_string())).collect();
    put(&own.open(), keys.iter().map(|key| telling(key, 1..6)).collect());
    let other = own.open();
    let told = recover(&other);
    for key in &keys {
        assert_eq!(numbers(&told, key), [1, 2, 3, 4, 5]);
        assert_eq!(stamp_of(&other, key).untold, None);
    }
    let line = &told.iter().find(|(of, _)| *of == keys[7]).unwrap().1;
    assert_eq!(line.json, b"{\"n\":1}");
    assert_eq!(recover(&other), []);
    assert_eq!(journal(&own), 0);
}

#[test]
fn what_was_told_and_settled_is_not_told_again() {
    let own = Own::take();
    let ann = someone();
    tell(&own.open(), vec![telling(&ann, 1..4)]);
    let other = own.open();
    assert_eq!(recover(&other), []);
    assert_eq!(stamp_of(&other, &ann).untold, None);
}

#[test]
fn what_was_told_and_not_settled_is_told_again_until_it_is() {
    let own = Own::take();
    let ann = someone();
    put(&own.open(), vec![telling(&ann, 1..3)]);
    for _ in 0..2 {
        let told = own.open().recover().unwrap().unwrap().told;
        assert_eq!(numbers(&told, &ann), [1, 2]);
    }
    assert_eq!(numbers(&recover(&own.open()), &ann), [1, 2]);
    assert_eq!(recover(&own.open()), []);
}

#[test]
fn who_was_taken_for_gone_is_overtaken() {
    let own = Own::take();
    let ann = someone();
    let (slow, other) = (own.open(), own.open());
    tell(&slow, vec![user(&ann)]);
    let late = stamped(&slow, UserCommit { state: state("late"), ..telling(&ann, [1]) });
    note(&own, "gone", std::slice::from_ref(&ann));
    assert_eq!(recover(&other).len() + recover(&slow).len(), 0);
    assert_eq!(slow.commit(commit(vec![late])).unwrap().overtaken, std::slice::from_ref(&ann));
    assert_eq!(state_of(&other, &ann).unwrap(), b"state");
    // What it makes from then on counts.
    tell(&slow, vec![telling(&ann, [1])]);
}

#[test]
fn a_user_who_never_was_stays_unknown_and_can_be_made() {
    let own = Own::take();
    let ann = someone();
    let store = own.open();
    let late = stamped(&store, UserCommit { state: state("late"), ..telling(&ann, [1]) });
    note(&own, "gone", std::slice::from_ref(&ann));
    assert_eq!(recover(&store), []);
    assert_eq!(store.user(&ann).unwrap(), None);
    assert_eq!(store.shadow(&ann).unwrap(), None);
    assert_eq!(store.commit(commit(vec![late])).unwrap().overtaken, std::slice::from_ref(&ann));
    let made = stamped(&store, user(&ann));
    assert!(made.is_new && made.stamp.version.is_some());
    tell(&store, vec![user(&ann)]);
    assert_eq!(state_of(&store, &ann).unwrap(), b"state");
    assert_eq!(store.users(&ann.workspace, None, 9).unwrap(), ["ann".into()]);
}

#[test]
fn one_entry_may_be_of_many_users_of_whom_some_were_not_written() {
    let own = Own::take();
    let workspace = workspace();
    let keys: Vec<UserKey> = (0..40).map(|n| key(&workspace, &n.to_string())).collect();
    let store = own.open();
    let written: Vec<UserKey> = keys.iter().step_by(2).cloned().collect();
    let committed = put(&store, written.iter().map(|key| telling(key, [1])).collect());
    // It ended between the two halves.
    let none = Committed { told: Vec::new(), ..committed };
    store.settle(&none).unwrap();
    note(&own, "gone", &keys);
    let told = recover(&store);
    for key in &keys {
        assert_eq!(!numbers(&told, key).is_empty(), written.contains(key));
    }
    assert_eq!(told.len(), written.len());
}

#[test]
fn nothing_is_left_of_a_process_whose_work_was_settled() {
    let own = Own::take();
    recover(&own.open());
    let ann = someone();
    let gone = own.open();
    put(&gone, vec![telling(&ann, [1])]);
    drop(gone);
    let store = own.open();
    recover_until(&store, &ann);
    eventually("it is struck off", || {
        recover(&store);
        owners(&own) == 1
    });
    assert_eq!(journal(&own), 0);
}

#[test]
fn what_is_under_way_is_left_to_whom_it_belongs() {
    let own = Own::take();
    let (one, other) = (own.open(), own.open());
    let ann = someone();
    let committed = put(&one, vec![telling(&ann, [1])]);
    assert_eq!(recover(&other), []);
    assert_eq!(recover(&one), []);
    assert_eq!(journal(&own), 1);
    one.settle(&committed).unwrap();
    assert_eq!(journal(&own), 0);
}

#[test]
fn a_process_that_came_just_now_is_not_struck_off() {
    let own = Own::take();
    let store = own.open();
    for _ in 0..5 {
        let ann = someone();
        let new = own.open();
        assert_eq!(recover(&store), []);
        put(&new, vec![telling(&ann, [1])]);
        assert_eq!(recover(&store), []);
        drop(new);
        assert_eq!(numbers(&recover_until(&store, &ann), &ann), [1]);
    }
}

#[test]
fn a_process_that_was_silent_and_came_back_is_settled_when_it_ends() {
    let own = Own::take();
    let store = own.open();
    let proxy = Proxy::start(&own.nodes[0]);
    let silent = open(&CqlSettings { nodes: vec![proxy.address()], ..own.clone() });
    proxy.hold();
    eventually("it is struck off", || {
        recover(&store);
        owners(&own) == 1
    });
    proxy.let_go();
    eventually("it is there again", || owners(&own) == 2);
    let ann = someone();
    put(&silent, vec![telling(&ann, [1])]);
    drop(silent);
    assert_eq!(numbers(&recover_until(&store, &ann), &ann), [1]);
}

#[test]
fn a_process_that_ends_before_it_is_heard_again_is_settled_too() {
    let own = Own::take();
    let store = own.open();
    let proxy = Proxy::start(&own.nodes[0]);
    let silent = open(&CqlSettings { nodes: vec![proxy.address()], ..own.clone() });
    let ann = someone();
    let entering = stamped(&silent, telling(&ann, [1]));
    proxy.hold();
    eventually("it is struck off", || {
        recover(&store);
        owners(&own) == 1
    });
    // Until it says again that it is there, longer than a commit takes.
    std::thread::sleep(Duration::from_secs(6));
    proxy.let_go();
    assert_eq!(silent.commit(commit(vec![entering])).unwrap().overtaken, []);
    proxy.hold();
    assert_eq!(owners(&own), 2);
    assert_eq!(numbers(&recover_until(&store, &ann), &ann), [1]);
    proxy.let_go();
}

#[test]
fn a_commit_that_slept_until_it_was_settled_does_not_count() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    tell(&store, vec![user(&ann)]);
    let proxy = Proxy::start(&own.nodes[0]);
    let sleeper = open(&CqlSettings { nodes: vec![proxy.address()], ..own.clone() });
    let history = vec![arrival(1, "buy", 5)];
    let late = stamped(&sleeper, UserCommit { history, ..telling(&ann, [1]) });
    proxy.on_batches(Fault::HoldAll);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| sleeper.commit(commit(vec![late])).unwrap());
        proxy.wait_for(1);
        eventually("its entry is settled", || {
            assert_eq!(recover(&store), []);
            journal(&own) == 0
        });
        proxy.let_go();
        assert_eq!(committing.join().unwrap().overtaken, std::slice::from_ref(&ann));
    });
    assert_eq!(history_of(&store, &ann), [] as [u64; 0]);
    assert_eq!(stamp_of(&store, &ann).untold, None);
}

#[test]
fn a_process_that_ends_before_the_index_is_written_is_made_up_for() {
    let own = Own::take();
    let store = own.open();
    let ann = someone();
    let proxy = Proxy::start(&own.nodes[0]);
    let ending = open(&CqlSettings { nodes: vec![proxy.address()], ..own.clone() });
    let entering =
        UserCommit { history: vec![arrival(1, "buy", 5)], ..membership(&ann, 1, Some(10)) };
    let entering = stamped(&ending, entering);
    proxy.on_batches(Fault::HoldAfter);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| ending.commit(commit(vec![entering])));
        eventually("it is committed", || state_of(&store, &ann).is_some());
        assert_eq!(members_of(&store, &ann.workspace), []);
        assert_eq!(numbers(&recover_until(&store, &ann), &ann), [1]);
        assert_eq!(members_of(&store, &ann.workspace), [("ann".to_string(), 10)]);
        tell(&store, vec![membership(&ann, 2, None)]);
        proxy.let_go();
        // What it wrote of the index is late by now.
        assert_eq!(committing.join().unwrap().unwrap().overtaken, []);
    });
    assert_eq!(members_of(&store, &ann.workspace), []);
}

#[test]
fn a_journal_in_which_very_much_was_deleted_is_read() {
    // The database gives up on a read that passes 100,000 deleted rows by.
    const DELETED: i64 = 101_000;
    let own = Fresh::made();
    let ann = someone();
    put(&own.open(), vec![telling(&ann, [1])]);
    let keyspace = &own.keyspace;
    let left = format!("SELECT owner, turn, users FROM {keyspace}.journal");
    let row = rows(&left).remove(0);
    let owner = row.columns[0].clone().unwrap().as_text().unwrap().clone();
    // As if it had made so many commits before.
    for turns in (0..DELETED).collect::<Vec<_>>().chunks(1_000) {
        let delete = |turn: &i64| {
            format!("DELETE FROM {keyspace}.journal WHERE owner = '{owner}' AND turn = {turn}")
        };
        let deletes: Vec<String> = turns.iter().map(delete).collect();
        run(&format!("BEGIN UNLOGGED BATCH {}; APPLY BATCH", deletes.join("; ")));
    }
    let mut users = Vec::new();
    put_text(&mut users, &ann.workspace);
    put_text(&mut users, &ann.user);
    let users: String = users.iter().map(|byte| format!("{byte:02x}")).collect();
    run(&format!(
        "INSERT INTO {keyspace}.journal (owner, turn, users) VALUES ('{owner}', {DELETED}, 0x{users})"
    ));
    run(&format!(
        "UPDATE {keyspace}.owners SET turn = {DELETED} WHERE id = 0 AND owner = '{owner}'"
    ));
    assert_eq!(numbers(&recover_until(&own.open(), &ann), &ann), [1]);
}

#[test]
fn where_a_journal_begins_goes_along_with_what_was_settled() {
    let own = Own::take();
    let store = own.open();
    let begin = || {
        let rows = rows(&format!("SELECT turn FROM {}.owners", own.keyspace));
        rows.iter().map(|row| row.columns[0].clone().unwrap().as_bigint().unwrap()).max().unwrap()
    };
    let ann = someone();
    for number in 1..=6 {
        tell(&store, vec![telling(&ann, [number])]);
    }
    let open = put(&store, vec![telling(&ann, [7])]);
    tell(&store, vec![telling(&someone(), [1])]);
    eventually("it has gone along", || begin() == 6);
    store.settle(&open).unwrap();
    eventually("it has gone along", || begin() == 8);
}
