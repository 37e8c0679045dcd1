//! Users whose rows are damaged: repaired from what is left, so that what follows is as if nothing had been.

use crate::make::{
    arrival, at, commit, history_of, lines, members_of, membership, numbers, put, someone,
    stamp_of, stamped, state_of, telling, vip,
};
use crate::place::{Own, eventually, rows, run};
use crate::untold::recover;
use muster_core::{AudienceKey, Counts, Profile, Time, Value, anew, transitions};
use muster_store::{
    Commit, CqlStore, Damage, Repair, Repaired, Store, UserCommit, UserKey, Version,
};
use scylla::value::CqlValue;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;
/// Numbers that are left out where it is not known how many there were.
const LEAP: u64 = 1_000_000;
/// What no column of a user decodes from.
const DAMAGED: &str = "0xff";

/// The state of a user who had that many transitions, whose timer is never due.
fn state(transitions: u64) -> Arc<Vec<u8>> {
    anew(None, Counts { arrivals: 3, transitions }, at(9)).into()
}

/// The same, with a series that does not decode.
fn with_damaged_series(transitions: u64) -> Arc<Vec<u8>> {
    let mut state = state(transitions).to_vec();
    // Instead of none at its end, one, which changes nothing by itself.
    assert_eq!(state.pop(), Some(0));
    state.push(1);
    state.extend_from_slice(&77u64.to_le_bytes());
    state.extend_from_slice(&i64::MAX.to_le_bytes());
    state.extend_from_slice(&1u32.to_le_bytes());
    state.push(0xff);
    state.into()
}

/// A profile with a name, of who is in the audience since 10.
fn profile() -> Arc<Vec<u8>> {
    let memberships = [(vip(), at(10))].into_iter().collect();
    let attributes = [("name".into(), Value::text("ann"))].into();
    Profile { memberships, attributes, ..Profile::default() }.encode().into()
}

/// A keyspace in which somebody is known who had seven transitions, the last two told in the commit that
/// has everything of her.
struct Place {
    own: Own,
    store: CqlStore,
    ann: UserKey,
}

fn place() -> Place {
    let own = Own::take();
    let (store, ann) = (own.open(), someone());
    let audiences = vec![(vip(), "vip".into()), (AudienceKey::of("lost"), "lost".into())];
    store.commit(Commit { audiences, clock: at(5 * HOUR), ..commit(Vec::new()) }).unwrap();
    // Whoever used the keyspace before may have left a clock that is far ahead.
    let due = at(store.clock().milliseconds() + 4 * HOUR);
    let whole = UserCommit {
        state: Some(state(7)),
        profile: Some(profile()),
        due: Some(due),
        history: vec![arrival(1, "buy", 5), arrival(2, "look", 6), arrival(3, "buy", 7)],
        members: vec![(vip(), Some(at(10)))],
        shadow: Some(Some(Arc::new(b"shadow".to_vec()))),
        ..telling(&ann, [6, 7])
    };
    let committed = put(&store, vec![whole]);
    store.settle(&committed).unwrap();
    Place { own, store, ann }
}

impl Place {
    fn users(&self) -> String {
        format!("{}.users", self.own.keyspace)
    }

    fn is_ann(&self) -> String {
        format!("workspace = '{}' AND user = '{}'", self.ann.workspace, self.ann.user)
    }

    fn set(&self, column: &str, value: &str) {
        run(&format!("UPDATE {} SET {column} = {value} WHERE {}", self.users(), self.is_ann()));
    }

    /// Everything that the database has of her, past the store.
    fn all(&self) -> String {
        format!("{:?}", rows(&format!("SELECT * FROM {} WHERE {}", self.users(), self.is_ann())))
    }

    fn told(&self) -> Option<CqlValue> {
        let query = format!("SELECT told FROM {} WHERE {}", self.users(), self.is_ann());
        rows(&query)[0].columns[0].clone()
    }

    fn repair(&self) -> Repair {
        self.store.repair(&self.ann, &|shadow| shadow == b"shadow", Time::MAX).unwrap()
    }

    fn repaired(&self) -> Repaired {
        match self.repair() {
            Repair::Done(repaired) => repaired,
            other => panic!("{other:?}"),
        }
    }

    fn profile(&self) -> Profile {
        Profile::decode(&self.store.user(&self.ann).unwrap().unwrap().profile).unwrap()
    }

    fn is_vip(&self) -> Vec<(String, i64)> {
        members_of(&self.store, &self.ann.workspace)
    }

    /// Whether her timer is due by now.
    fn is_found(&self) -> bool {
        let due = self.store.due(self.store.clock(), 9_999).unwrap();
        due.iter().any(|(_, key)| *key == self.ann)
    }

    /// An instance finds her soon, and what follows is told once, counts, and is in the index.
    fn goes_on_from(&self, number: u64) {
        assert_eq!(self.repair(), Repair::Whole);
        let now = self.store.clock();
        eventually("an instance finds her", || self.is_found());
        assert_eq!(stamp_of(&self.store, &self.ann).hint, Some(now.previous()));
        assert_eq!(history_of(&self.store, &self.ann), [1, 2, 3]);
        for (next, since) in [(number + 1, None), (number + 2, Some(30))] {
            let fired = Some(now.previous());
            let user = UserCommit {
                fired,
                state: Some(state(next)),
                ..membership(&self.ann, next, since)
            };
            let committed = put(&self.store, vec![user]);
            assert_eq!(numbers(&committed.told, &self.ann), [next]);
            self.store.settle(&committed).unwrap();
            assert_eq!(stamp_of(&self.store, &self.ann).untold, None);
            assert_eq!(self.told(), Some(CqlValue::BigInt(next as i64)));
            let expected = since.map(|since| (self.ann.user.to_string(), since));
            assert_eq!(self.is_vip(), Vec::from_iter(expected));
        }
        assert!(!self.is_found(), "once is enough");
        assert_eq!(recover(&self.own.open()), []);
    }
}

#[test]
fn each_part_is_repaired_by_itself() {
    for (column, value, damage) in [
        ("untold", DAMAGED, Damage::Untold),
        ("shadow", DAMAGED, Damage::Shadow),
        ("hint", "9223372036854775807", Damage::Timer),
        ("version", DAMAGED, Damage::Version),
        ("version", "null", Damage::Version),
    ] {
        let place = place();
        place.set(column, value);
        let repaired = place.repaired();
        let expected = Repaired {
            damaged: vec![damage],
            keeps_positions: true,
            memberships: 1,
            events: 3,
            transitions: 7,
        };
        assert_eq!(repaired, expected);
        assert_eq!(state_of(&place.store, &place.ann).unwrap(), *state(7));
        assert_eq!(place.profile().encode(), *profile());
        assert_eq!(place.store.shadow(&place.ann).unwrap(), None);
        place.goes_on_from(7);
    }
}

#[test]
fn a_state_that_is_lost_is_made_anew_beside_the_profile() {
    for value in [DAMAGED, "null"] {
        let place = place();
        place.set("state", value);
        let repaired = place.repaired();
        assert_eq!(repaired.damaged, [Damage::State]);
        assert!(!repaired.keeps_positions);
        assert_eq!(repaired.transitions, 7 + LEAP);
        let counts = Counts { arrivals: 3, transitions: 7 + LEAP };
        let made = anew(None, counts, place.store.clock());
        assert_eq!(state_of(&place.store, &place.ann).unwrap(), made);
        assert_eq!(place.profile().encode(), *profile());
        place.goes_on_from(7 + LEAP);
    }
}

#[test]
fn what_a_state_says_of_messages_and_transitions_outlives_its_series() {
    let place = place();
    // More than were told, as it is while a broker is away.
    let damaged = with_damaged_series(9);
    let bytes: String = damaged.iter().map(|byte| format!("{byte:02x}")).collect();
    place.set("state", &format!("0x{bytes}"));
    let repaired = place.repaired();
    assert_eq!(repaired.damaged, [Damage::State]);
    assert!(repaired.keeps_positions);
    let counts = Counts { arrivals: 3, transitions: 9 + LEAP };
    let made = anew(Some(&damaged), counts, place.store.clock());
    assert_eq!(state_of(&place.store, &place.ann).unwrap(), made);
    place.goes_on_from(9 + LEAP);
}

#[test]
fn a_profile_that_is_lost_is_made_anew_from_the_index() {
    let place = place();
    place.set("profile", DAMAGED);
    let repaired = place.repaired();
    assert_eq!((repaired.damaged, repaired.memberships), (vec![Damage::Profile], 1));
    let memberships = [(vip(), at(10))].into_iter().collect();
    assert_eq!(place.profile(), Profile { memberships, ..Profile::default() });
    // Whatever looks at attributes is decided anew.
    let made = state_of(&place.store, &place.ann).unwrap();
    let counts = Counts { arrivals: 3, transitions: 7 };
    assert_eq!(made, anew(Some(&state(7)), counts, place.store.clock()));
    place.goes_on_from(7);
}

#[test]
fn of_a_row_of_which_nothing_is_left_history_and_the_index_are() {
    let place = place();
    for column in ["state", "profile", "untold", "shadow", "version"] {
        place.set(column, DAMAGED);
    }
    place.set("hint", "9223372036854775807");
    run(&format!(
        "UPDATE {} USING TIMESTAMP 8 SET told = null WHERE {}",
        place.users(),
        place.is_ann()
    ));
    let repaired = place.repaired();
    use Damage::*;
    assert_eq!(repaired.damaged, [Version, State, Profile, Untold, Timer, Shadow]);
    // By the index, where her last transition is noted.
    assert_eq!((repaired.transitions, repaired.events), (7 + LEAP, 3));
    assert_eq!(place.is_vip(), [("ann".to_string(), 10)]);
    place.goes_on_from(7 + LEAP);
}

#[test]
fn a_version_that_is_lost_is_followed_by_one_that_is_later_than_any() {
    let place = place();
    place.set("version", DAMAGED);
    place.repaired();
    let version = stamp_of(&place.store, &place.ann).version;
    assert!(version.is_some_and(|version| version.generation() > 1 << 30), "{version:?}");
    assert_eq!(Version::after(version).generation(), version.unwrap().generation() + 1);
}

#[test]
fn what_was_yet_to_be_told_is_told_first_and_in_order() {
    let place = place();
    let left = UserCommit {
        state: Some(state(9)),
        members: vec![(vip(), Some(at(20)))],
        ..telling(&place.ann, [8, 9])
    };
    put(&place.own.open(), vec![left]);
    place.set("state", DAMAGED);
    place.set("profile", DAMAGED);
    // And the index was not written any more.
    let part = rows(&format!(
        "SELECT part FROM {}.members WHERE user = 'ann' AND workspace = '{}' ALLOW FILTERING",
        place.own.keyspace, place.ann.workspace
    ));
    let part = part[0].columns[0].as_ref().unwrap().as_int().unwrap();
    run(&format!(
        "DELETE FROM {}.members USING TIMESTAMP 9 WHERE workspace = '{}' AND audience = {} AND part = {part} AND user = 'ann'",
        place.own.keyspace,
        place.ann.workspace,
        vip().bits().cast_signed(),
    ));
    let repaired = place.repaired();
    assert_eq!(repaired.damaged, [Damage::State, Damage::Profile, Damage::Members]);
    assert_eq!(repaired.transitions, 9 + LEAP);
    assert_eq!(place.is_vip(), [("ann".to_string(), 20)]);
    assert_eq!(stamp_of(&place.store, &place.ann).untold.unwrap().lines, lines([8, 9]));
    let next = UserCommit { state: Some(state(10 + LEAP)), ..telling(&place.ann, [10 + LEAP]) };
    let committed = put(&place.store, vec![next]);
    assert_eq!(numbers(&committed.told, &place.ann), [8, 9, 10 + LEAP]);
    place.store.settle(&committed).unwrap();
    assert_eq!(stamp_of(&place.store, &place.ann).untold, None);
}

#[test]
fn an_index_that_says_otherwise_than_the_profile_is_mended() {
    let place = place();
    let lost = AudienceKey::of("lost");
    run(&format!(
        "INSERT INTO {keyspace}.members (workspace, audience, part, user, since) VALUES ('{}', {}, {}, 'ann', 5) \
         USING TIMESTAMP 3",
        place.ann.workspace,
        lost.bits().cast_signed(),
        xxhash_rust::xxh3::xxh3_64(b"ann") % 32,
        keyspace = place.own.keyspace,
    ));
    let of_lost = || place.store.members(&place.ann.workspace, lost, None, 9).unwrap().len();
    assert_eq!(of_lost(), 1);
    assert_eq!(place.repaired().damaged, [Damage::Members]);
    assert_eq!(of_lost(), 0);
    place.goes_on_from(7);
}

#[test]
fn who_is_whole_or_not_known_is_left_alone() {
    let place = place();
    let before = place.all();
    assert_eq!(place.repair(), Repair::Whole);
    assert_eq!(place.all(), before);
    let nobody = someone();
    assert_eq!(place.store.repair(&nobody, &|_| true, Time::MAX).unwrap(), Repair::Unknown);
    assert_eq!(stamp_of(&place.store, &nobody).version, None);
}

#[test]
fn history_that_is_damaged_is_for_somebody_to_decide_about() {
    let place = place();
    place.set("state", DAMAGED);
    run(&format!(
        "INSERT INTO {} (workspace, user, event, at, number, arrivals) VALUES ('{}', 'ann', 'it''s', 8, 9, {DAMAGED})",
        place.users(),
        place.ann.workspace,
    ));
    let before = place.all();
    let refused = place.store.repair(&place.ann, &|_| true, Time::MAX).unwrap_err().to_string();
    let (explained, deletion) = refused.split_once("DELETE").unwrap();
    let workspace = &place.ann.workspace;
    assert_eq!(
        explained,
        format!(
            "1 rows of the history of user `ann` of workspace `{workspace}` are damaged: restore her partition of \
             `users` from a snapshot of the database, or let go of the events in them, and then repair her: "
        )
    );
    assert_eq!(place.all(), before);
    run(&format!("DELETE{deletion}"));
    place.repaired();
    place.goes_on_from(7 + LEAP);
}

#[test]
fn who_is_quicker_to_write_her_is_not_overwritten() {
    let place = place();
    place.set("shadow", DAMAGED);
    let other = place.own.open();
    let quicker = UserCommit {
        state: Some(state(8)),
        shadow: Some(None),
        profile: Some(Profile::default().encode().into()),
        ..membership(&place.ann, 8, None)
    };
    // Between its reading and its writing.
    let is_shadow = |_: &[u8]| {
        let commit = || put(&other, vec![quicker.clone()]);
        std::thread::scope(|scope| drop(scope.spawn(commit).join().unwrap()));
        false
    };
    let found = place.store.repair(&place.ann, &is_shadow, Time::MAX);
    assert_eq!(found.unwrap(), Repair::Whole);
    assert_eq!(transitions(&state_of(&place.store, &place.ann).unwrap()), Ok(8));
    assert_eq!(place.is_vip(), []);
    let all = place.store.history(&place.ann, None, Time::MIN, Time::MAX).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(stamped(&other, telling(&place.ann, [9])).stamp.untold.unwrap().lines, lines([8]));
}
