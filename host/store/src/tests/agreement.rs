//! The embedded store reads as the one in memory, whatever was done to both.

use super::{arrival, at, commit, key, user};
use crate::{Commit, EmbeddedStore, Line, MemoryStore, Store, StoreOptions, UserCommit, UserKey};
use muster_core::{AudienceKey, Time};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, HashMap, HashSet};

/// One is the beginning of the other, and so are users: `w` and `ab` must not meet `wa` and `b`.
const WORKSPACES: [&str; 2] = ["w", "wa"];
const NAMES: [&str; 4] = ["a", "b", "ab", "é"];
/// Events lie at one of these in a period: two that share a row, and one that does not reach it.
const OFFSETS_MS: [i64; 3] = [0, 1_000_000, 4_000_000];
const PERIOD_MS: i64 = 10_000_000;
/// So late in a period all its rows are past: rows expire as the events that they hold.
const EXPIRY_MS: i64 = 8_000_000;
/// Rows that a step of expiry looks at: few, so that it takes several.
const STEP_ROWS: usize = 3;

#[derive(Clone, Debug)]
enum Operation {
    Commit { pause: i64, users: Vec<Change>, letters: Vec<u8> },
    ExpireTransitions { before: i64 },
    ExpireHistory { workspace: &'static str, event: &'static str, period: i64 },
    Reopen,
}

#[derive(Clone, Debug)]
struct Change {
    workspace: &'static str,
    user: &'static str,
    due: Option<i64>,
    events: Vec<(&'static str, i64, i64)>,
    members: BTreeMap<&'static str, Option<i64>>,
    transitions: u8,
    shadow: Option<Option<u8>>,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let workspace = || select(&WORKSPACES[..]);
    let name = || select(&NAMES[..]);
    let event = (name(), 0i64..4, select(&OFFSETS_MS[..]));
    let members = proptest::collection::btree_map(name(), option::of(0i64..9), 0..3);
    let change = (workspace(), name(), option::of(0i64..50), vec(event, 0..5), members, 0u8..3);
    let change = (change, option::of(option::of(any::<u8>())));
    let change =
        change.prop_map(|((workspace, user, due, events, members, transitions), shadow)| Change {
            workspace,
            user,
            due,
            events,
            members,
            transitions,
            shadow,
        });
    let one = prop_oneof![
        8 => (0i64..5, vec(change, 0..4), vec(any::<u8>(), 0..3))
            .prop_map(|(pause, users, letters)| Operation::Commit { pause, users, letters }),
        2 => (0i64..60).prop_map(|before| Operation::ExpireTransitions { before }),
        2 => (workspace(), name(), 0i64..4).prop_map(|(workspace, event, period)| {
            Operation::ExpireHistory { workspace, event, period }
        }),
        1 => Just(Operation::Reopen),
    ];
    vec(one, 1..30)
}

/// Makes commits as a worker would: the clock goes on, events have numbers, timers are replaced.
#[derive(Default)]
struct Worker {
    clock: i64,
    number: u64,
    dues: HashMap<UserKey, Time>,
    users: HashSet<UserKey>,
}

impl Worker {
    fn commit(&mut self, pause: i64, changes: Vec<Change>, letters: Vec<u8>) -> Commit {
        self.clock += pause;
        let changes: BTreeMap<UserKey, Change> = changes
            .into_iter()
            .map(|change| (key(change.workspace, change.user), change))
            .collect();
        let users = changes.into_iter().rev().map(|(key, change)| self.user(key, change)).collect();
        let audiences = vec![(AudienceKey::from_bits(self.number), "an audience".into())];
        let named = |letter: &u8| format!("{}/{}", letter % 3, letter % 5).into();
        let documents =
            letters.iter().map(|letter| (named(letter), (letter % 2 == 0).then(|| vec![*letter])));
        let documents = documents.collect();
        let dead_letters = letters.into_iter().map(|letter| vec![letter]).collect();
        Commit { dead_letters, audiences, documents, ..commit(self.clock, users) }
    }

    fn user(&mut self, key: UserKey, change: Change) -> UserCommit {
        let due = change.due.map(at);
        let due_before = match due {
            Some(due) => self.dues.insert(key.clone(), due),
            None => self.dues.remove(&key),
        };
        let history = change.events.into_iter().map(|(name, period, offset)| {
            self.number += 1;
            arrival(self.number, name, period * PERIOD_MS + offset)
        });
        let history = history.collect();
        let members = change.members.into_iter();
        let members = members.map(|(name, since)| (AudienceKey::of(name), since.map(at)));
        let transition = |line: u8| {
            let json = format!("{key:?} {} {line}", self.number).into_bytes();
            Line { number: self.number, json }
        };
        UserCommit {
            state: Some(self.number.to_be_bytes().to_vec().into()),
            due_before,
            due,
            history,
            members: members.collect(),
            transitions: (0..change.transitions).map(transition).collect(),
            shadow: change.shadow.map(|shadow| shadow.map(|byte| vec![byte].into())),
            transition: self.number,
            is_new: self.users.insert(key.clone()),
            ..user(key)
        }
    }
}

/// Everything that can be read of a store but timers, as text.
fn all(store: &dyn Store) -> Vec<String> {
    let mut all = vec![
        format!("{:?}", store.clock()),
        format!("{:?}", store.workspaces().unwrap()),
        format!("{:?}", store.documents("", None, 99).unwrap()),
        format!("{:?}", store.documents("1/", Some("1/2"), 1).unwrap()),
        format!("{:?}", store.dead_letters(0, 99).unwrap()),
        format!("{:?}", store.dead_letters(2, 3).unwrap()),
        format!("{:?}", store.audience_ids().unwrap()),
    ];
    for workspace in WORKSPACES {
        all.push(format!("{:?}", store.users(workspace, None, 99).unwrap()));
        all.push(format!("{:?}", store.users(workspace, Some("é"), 2).unwrap()));
        all.push(format!("{:?}", NAMES.map(|name| store.shadow(&key(workspace, name)).unwrap())));
        all.push(format!("{:?}", store.cursor(workspace).unwrap()));
        for after in [0, 1, 2, 5, 9, 999] {
            all.push(format!("{:?}", store.transitions(workspace, after, 5)));
        }
        for name in NAMES {
            let user = key(workspace, name);
            all.push(format!("{:?}", store.user(&user).unwrap()));
            for event in [None, Some("a"), Some("ab")] {
                let whole = store.history(&user, event, Time::MIN, Time::MAX).unwrap();
                let part = store.history(&user, event, at(3_000_000), at(14_000_000)).unwrap();
                all.push(format!("{whole:?} {part:?}"));
            }
            let audience = AudienceKey::of(name);
            for after in [None, Some("a")] {
                all.push(format!("{:?}", store.members(workspace, audience, after, 3).unwrap()));
            }
        }
    }
    all
}

fn expire_history(store: &dyn Store, keep_from: &dyn Fn(&str, &str) -> Time) {
    let mut cursor = None;
    loop {
        cursor = store.expire_history(cursor, STEP_ROWS, keep_from).unwrap().1;
        if cursor.is_none() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_reads_as_the_one_in_memory(operations in operations(), until in 0i64..60) {
        let memory = MemoryStore::new();
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { cache_bytes: 1 << 20 };
        let open = || EmbeddedStore::open(&folder.path().join("store"), options).unwrap();
        let mut embedded = open();
        let mut worker = Worker::default();
        for operation in operations {
            match operation {
                Operation::Commit { pause, users, letters } => {
                    let commit = worker.commit(pause, users, letters);
                    memory.commit(commit.clone()).unwrap();
                    embedded.commit(commit).unwrap();
                }
                Operation::ExpireTransitions { before } => {
                    let expired = |store: &dyn Store| store.expire_transitions(at(before)).unwrap();
                    prop_assert_eq!(expired(&memory), expired(&embedded));
                }
                Operation::ExpireHistory { workspace, event, period } => {
                    let keep_from = |of: &str, name: &str| match (of, name) == (workspace, event) {
                        true => at(period * PERIOD_MS + EXPIRY_MS),
                        false => Time::MIN,
                    };
                    expire_history(&memory, &keep_from);
                    expire_history(&embedded, &keep_from);
                }
                Operation::Reopen => {
                    drop(embedded);
                    embedded = open();
                }
            }
            prop_assert_eq!(memory.due(at(until), 9).unwrap(), embedded.due(at(until), 9).unwrap());
            prop_assert_eq!(all(&memory), all(&embedded));
            for workspace in WORKSPACES {
                let [kept, written]: [BTreeMap<_, _>; 2] = [&memory as &dyn Store, &embedded]
                    .map(|store| store.forgotten(workspace).unwrap().into_iter().collect());
                prop_assert!(kept.keys().eq(written.keys()), "{:?} {:?}", kept, written);
                // A row tells when it began, and not when it ended.
                prop_assert!(kept.iter().all(|(name, until)| *until <= written[name]));
            }
        }
        prop_assert_eq!(memory.due(at(99), 99).unwrap(), embedded.due(at(99), 99).unwrap());
    }
}
