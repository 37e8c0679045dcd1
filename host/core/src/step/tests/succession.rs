//! Rules that change: what is carried over answers as what is gathered anew.

use super::{Rig, arrivals, condition, count, message, single};
use crate::{Cause, Change, Condition, Engine, Time};
use proptest::collection::vec;
use proptest::prelude::*;

fn at(milliseconds: i64) -> Time {
    Time::from_milliseconds(milliseconds).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_agree_when_rules_change(
        stages in vec((vec(condition(), 1..5), vec(message(), 1..25), any::<bool>()), 2..5),
        intervals in 1usize..6,
    ) {
        let mut clock = 0;
        let mut rigs: Option<[Rig; 2]> = None;
        let mut conditions: Vec<Condition> = Vec::new();
        for (more, messages, keeps) in stages {
            // Some rules stay, and some come; or all are others.
            conditions.retain(|_| keeps);
            conditions.extend(more);
            conditions.sort();
            conditions.dedup();
            let new = [Engine::State, Engine::Scan].map(|engine| Rig::new(engine, intervals, &conditions));
            rigs = Some(match rigs {
                None => new,
                Some([mut state, mut scan]) => {
                    let [new_state, new_scan] = new;
                    state.follow(new_state, at(clock));
                    scan.follow(new_scan, at(clock));
                    [state, scan]
                }
            });
            let [state, scan] = rigs.as_mut().unwrap();
            for (pause, events) in messages {
                clock += pause;
                let message = arrivals(clock, events);
                state.message(&message, at(clock));
                scan.message(&message, at(clock));
            }
        }
        let [state, scan] = rigs.unwrap();
        let told = |rig: &Rig| -> Vec<_> {
            rig.transitions.iter().map(|t| (t.number, t.at, t.audience.clone(), t.change, t.cause)).collect()
        };
        prop_assert_eq!(told(&state), told(&scan));
    }
}

fn bought(conditions: &[Condition]) -> Rig {
    let mut rig = Rig::new(Engine::State, 4, conditions);
    for time in [0, 10, 20] {
        let (message, now) = single(time, true);
        rig.message(&message, now);
    }
    rig
}

#[test]
fn what_both_rules_ask_for_is_not_read_again() {
    let mut rig = bought(&[count("buy", 1_000, 1)]);
    // A shorter window over the same events, and another number.
    rig.follow(Rig::new(Engine::State, 4, &[count("buy", 500, 3)]), at(30));
    assert_eq!(rig.reads, 0);
    let entered = rig.transitions.last().map(|told| (told.at, told.change, told.cause));
    assert_eq!(rig.transitions.len(), 1, "the audience has another version and the same answer");
    assert_eq!(entered, Some((at(0), Change::Entered, Cause::Event)));
    assert_eq!(rig.due, Some(at(500)));
}

#[test]
fn a_longer_window_is_filled_from_history() {
    let mut rig = bought(&[count("buy", 15, 1)]);
    rig.follow(Rig::new(Engine::State, 4, &[count("buy", 1_000, 3)]), at(25));
    assert_eq!(rig.reads, 1);
    assert_eq!(rig.due, Some(at(1_000)));
}

#[test]
fn a_timer_that_is_overdue_when_rules_change_keeps_its_instant() {
    let mut rig = bought(&[count("buy", 100, 1)]);
    let same = || [count("buy", 100, 1), count("look", 100, 1)];
    rig.follow(Rig::new(Engine::State, 4, &same()), at(500));
    let left = rig.transitions.last().map(|told| (told.at, told.change));
    assert_eq!(left, Some((at(120), Change::Left)));
}
