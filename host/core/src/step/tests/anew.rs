//! A user whose state is lost: by her history she is where she would have been.

use super::rules::{Rules, drawn};
use super::{Rig, arrivals, condition, count, message, single};
use crate::{Counts, Engine, Message, Origin, Place, Profile, Settings, Time, anew};
use proptest::collection::vec;
use proptest::prelude::*;

/// Numbers of transitions that are left out.
const LEAP: u64 = 1_000_000;

/// Damages the state of a user, wholly or but for what it says of her messages, and makes it anew.
fn lose(rig: &mut Rig, now: Time, keeps_positions: bool) {
    let arrivals = rig.history.iter().map(|arrival| arrival.number).max().unwrap_or(0);
    let counts = Counts { arrivals, transitions: rig.transitions.len() as u64 + LEAP };
    let stored = rig.state.take().filter(|_| keeps_positions);
    rig.state = Some(anew(stored.as_deref(), counts, now));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_enters_or_leaves_otherwise_for_a_state_that_was_lost(
        conditions in vec(condition(), 1..6),
        audiences in [vec(drawn(), 1..6), vec(drawn(), 0..4)],
        messages in vec(message(), 1..60),
        lost_after in 0usize..60,
        engine in proptest::sample::select(vec![Engine::State, Engine::Scan]),
        intervals in 1usize..6,
    ) {
        let settings = Settings { engine, intervals, ..Settings::default() };
        let rules = Rules::drawn(&conditions, &audiences);
        let [mut whole, mut lost] = [(); 2].map(|()| Rig::standing(settings, &rules, &[], &[]));
        let (mut clock, mut told_before) = (0, None);
        for (at, (pause, events)) in messages.into_iter().enumerate() {
            clock += pause;
            let (message, now) = (arrivals(clock, events), Time::from_milliseconds(clock).unwrap());
            for rig in [&mut whole, &mut lost] {
                rig.message(&message, now);
                // What is due just now comes about with either state.
                rig.step(&[], now);
            }
            if at == lost_after {
                lose(&mut lost, now, false);
                lost.step(&[], now);
                told_before = Some(lost.transitions.len());
            }
        }
        let told = |rig: &Rig| -> Vec<_> {
            rig.transitions.iter().map(|t| (t.at, t.audience.clone(), t.change, t.cause)).collect()
        };
        prop_assert_eq!(told(&lost), told(&whole));
        let memberships = |rig: &Rig| Profile::decode(rig.profile.as_ref().unwrap()).unwrap().memberships;
        prop_assert_eq!(memberships(&lost), memberships(&whole));
        let since = told_before.unwrap_or(lost.transitions.len());
        let numbers = lost.transitions.iter().map(|told| told.number);
        let expected = (0..).map(|at| if at < since { 1 + at } else { 1 + at + LEAP as usize } as u64);
        prop_assert!(numbers.eq(expected.take(lost.transitions.len())));
    }
}

#[test]
fn how_far_messages_were_taken_is_kept_where_it_decodes() {
    let place = Place { ledger: 1, entry: 2, index: 0 };
    let (message, now) = single(10, true);
    let message = Message { origin: Some(Origin::new("p", place)), ..message };
    let events = [true, false].map(|keeps_positions| {
        let mut rig = Rig::new(Engine::State, 4, &[count("buy", 100, 2)]);
        rig.message(&message, now);
        lose(&mut rig, now, keeps_positions);
        rig.message(&message, now);
        rig.history.iter().map(|arrival| arrival.number).collect::<Vec<_>>()
    });
    assert_eq!(events, [vec![1], vec![1, 2]]);
}
