//! Rules that change: what is carried over answers as what is gathered anew.

use super::rules::{Drawn, Rules, drawn};
use super::{Rig, arrivals, condition, count, message, single};
use crate::{AudienceKey, Cause, Change, Condition, Engine, Looked, Settings, Time};
use proptest::collection::vec;
use proptest::prelude::*;

fn at(milliseconds: i64) -> Time {
    Time::from_milliseconds(milliseconds).unwrap()
}

/// Conditions, and audiences over them of two modules.
fn rules() -> impl Strategy<Value = (Vec<Condition>, [Vec<Drawn>; 2])> {
    (vec(condition(), 1..5), [vec(drawn(), 1..4), vec(drawn(), 0..3)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_agree_when_rules_change(
        stages in vec((rules(), vec(message(), 1..25), any::<(bool, bool)>(), vec(0usize..6, 0..3)), 2..5),
        intervals in 1usize..6,
    ) {
        let mut clock = 0;
        let mut rigs: Option<[Rig; 2]> = None;
        let mut conditions: Vec<Condition> = Vec::new();
        let mut audiences = [Vec::new(), Vec::new()];
        for ((more, others), messages, (stays, is_kept), paused) in stages {
            let kept = if is_kept { conditions.clone() } else { Vec::new() };
            // Some rules stay, and some come; or all are others.
            if !stays {
                conditions.clear();
                audiences.iter_mut().for_each(Vec::clear);
            }
            more.into_iter().for_each(|one| if !conditions.contains(&one) { conditions.push(one) });
            audiences.iter_mut().zip(others).for_each(|(audiences, others)| audiences.extend(others));
            let rules = Rules::drawn(&conditions, &audiences);
            let new = [Engine::State, Engine::Scan].map(|engine| {
                let settings = Settings { engine, intervals, ..Settings::default() };
                Rig::standing(settings, &rules, &kept, &paused)
            });
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

fn with(conditions: &[Condition], kept: &[Condition], paused: &[usize]) -> Rig {
    let settings = Settings { intervals: 4, ..Settings::default() };
    Rig::standing(settings, &Rules::each(conditions), kept, paused)
}

#[test]
fn rules_are_gone_back_to_without_reading_history() {
    let (old, new) = ([count("buy", 100, 2)], [count("look", 50, 1)]);
    for (kept, reads) in [(&old[..], 1), (&[], 2)] {
        let mut rig = bought(&old);
        rig.follow(with(&new, kept, &[]), at(25));
        let (message, now) = single(30, true);
        rig.message(&message, now);
        rig.follow(with(&old, &[], &[]), at(40));
        assert_eq!(
            rig.reads, reads,
            "for the new series, and for the old ones unless they were kept"
        );
        let told = rig.transitions.last().map(|told| (told.at, told.change));
        assert_eq!(told, Some((at(40), Change::Entered)));
        while let Some(due) = rig.due.filter(|due| *due < at(200)) {
            rig.step(&[], due);
        }
        let told = rig.transitions.last().map(|told| (told.at, told.change));
        assert_eq!(told, Some((at(120), Change::Left)));
    }
}

#[test]
fn nobody_enters_or_leaves_what_is_paused_until_it_is_resumed() {
    let rules = [count("buy", 100, 1), count("buy", 40, 3)];
    let mut rig = bought(&rules);
    let before = rig.transitions.len();
    rig.follow(with(&rules, &[], &[0, 1]), at(30));
    let (message, now) = single(500, true);
    rig.message(&message, now);
    assert_eq!(rig.transitions.len(), before);
    rig.follow(with(&rules, &[], &[0]), at(600));
    let told: Vec<_> = rig.transitions[before..].iter().map(|t| (&*t.audience, t.change)).collect();
    assert_eq!(told, [("a01", Change::Left)]);
    rig.follow(with(&rules, &[], &[]), at(700));
    let told: Vec<_> = rig.transitions[before..].iter().map(|t| (&*t.audience, t.change)).collect();
    assert_eq!(told, [("a01", Change::Left), ("a00", Change::Left)]);
}

#[test]
fn an_explanation_gives_the_values_behind_a_decision() {
    for engine in [Engine::State, Engine::Scan] {
        let rules = [count("buy", 100, 2), count("look", 100, 1)];
        let mut rig = Rig::new(engine, 4, &rules);
        for time in [0, 10, 20] {
            let (message, now) = single(time, true);
            rig.message(&message, now);
        }
        let grounds = rig.explain(AudienceKey::of("a00"));
        let value = grounds[0].value.as_ref().map(ToString::to_string);
        assert_eq!((grounds.len(), value.as_deref()), (1, Some("3")), "{grounds:?}");
        let Condition::Compare { feature, .. } = count("buy", 100, 2) else { unreachable!() };
        assert_eq!(grounds[0].of, Looked::Feature(feature));
        assert!(grounds[0].conditions[0].1);
        assert!(!rig.explain(AudienceKey::of("a01"))[0].conditions[0].1);
        assert!(rig.explain(AudienceKey::of("a02")).is_empty());
    }
}
