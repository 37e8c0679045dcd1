//! What modules say of events: asked for once, and made good when it failed.

use super::{Rig, arrivals, condition, event, message, predicate, single};
use crate::{
    Aggregate, Change, Comparison, Condition, Engine, Feature, Message, Selector, Settings, Span,
    Test, Time, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const ENGINES: [Engine; 2] = [Engine::State, Engine::Scan];

fn at(milliseconds: i64) -> Time {
    Time::from_milliseconds(milliseconds).unwrap()
}

/// So many even purchases in a window, by code of that name.
fn even(within_ms: i64, least: i64, code: &str) -> Condition {
    let predicate = crate::Predicate { code: code.into(), ..predicate(0) };
    let selector = Selector::new(Some("buy".into()), vec![], vec![]).matching(predicate);
    Condition::Compare {
        feature: Feature::Events {
            selector: Arc::new(selector),
            aggregate: Aggregate::Count,
            of: None,
            window: Window { within: Span::from_milliseconds(within_ms), ..Window::LIFETIME },
        },
        comparison: Comparison::new(vec![Test::GreaterOrEqual(least.into())]),
    }
}

fn bought(time: i64, value: i64) -> Message {
    Message { events: vec![event(time, true, Some(value))], ..Message::default() }
}

fn told(rig: &Rig) -> Vec<(i64, Change)> {
    rig.transitions.iter().map(|told| (told.at.milliseconds(), told.change)).collect()
}

fn pass(rig: &mut Rig, until: i64) {
    while let Some(due) = rig.due.filter(|due| *due <= at(until)) {
        rig.step(&[], due);
    }
}

#[test]
fn a_module_is_asked_once_about_all_of_a_batch() {
    let mut rig = Rig::new(Engine::State, 4, &[even(100, 1, ""), even(1_000, 2, "")]);
    let batch = [bought(0, 1), bought(1, 2), single(2, false).0, bought(3, 4)];
    rig.step(&batch, at(3));
    assert_eq!(rig.mirror.asked, [3], "not about the event of another name");
    assert_eq!(told(&rig), [(3, Change::Entered); 2]);
    // Nobody asks about what no window sees.
    rig.message(&bought(-2_000, 2), at(4));
    assert_eq!(rig.mirror.asked, [3]);
}

#[test]
fn a_module_without_predicates_is_asked_about_nothing() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, 4, &[super::count("buy", 100, 1)]);
        rig.message(&bought(0, 2), at(0));
        assert!(rig.mirror.asked.is_empty());
    }
}

#[test]
fn what_is_read_of_history_is_asked_about_together() {
    // Two thresholds that one merged interval leaves open, over two windows.
    let conditions = [even(500, 15, ""), even(700, 25, ""), even(2_000, 300, "")];
    let mut rig = Rig::with(Settings { intervals: 1, ..Settings::default() }, &conditions);
    let mut steps_that_read = 0;
    for time in (0..3_000).step_by(3) {
        let reads = rig.reads;
        rig.mirror.asked.clear();
        rig.step(&[bought(time, 2 * time)], at(time));
        if rig.reads > reads {
            steps_that_read += 1;
            // What came in, once, however often the step is taken again; and what was read.
            let asked = &rig.mirror.asked;
            assert!(asked[0] == 1 && asked.len() == 2 && asked[1] > 1, "{asked:?}");
        }
    }
    assert!(steps_that_read > 10, "{steps_that_read}");
}

#[test]
fn what_a_module_failed_to_select_is_gathered_from_history() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, 4, &[even(10_000, 2, "")]);
        rig.message(&bought(0, 2), at(0));
        rig.mirror.select_failures = 2;
        rig.message(&bought(100, 4), at(100));
        assert_eq!((told(&rig), rig.due), (vec![], Some(at(1_100))), "{engine:?}");
        assert_eq!(rig.history.len(), 2, "the event is accepted all the same");
        pass(&mut rig, 1_100);
        assert_eq!((told(&rig), rig.due), (vec![], Some(at(3_100))), "{engine:?}");
        pass(&mut rig, 3_100);
        assert_eq!(told(&rig), [(3_100, Change::Entered)], "{engine:?}");
        // From there on everything is as if nothing had happened.
        assert_eq!(rig.due, Some(at(10_000)), "{engine:?}");
        pass(&mut rig, 20_000);
        assert_eq!(told(&rig)[1..], [(10_000, Change::Left)], "{engine:?}");
    }
}

#[test]
fn a_module_that_failed_is_not_asked_again_before_its_time() {
    let mut rig = Rig::new(Engine::State, 4, &[even(10_000, 1, "")]);
    rig.mirror.select_failures = 1;
    rig.message(&bought(0, 2), at(0));
    for time in 1..100 {
        rig.message(&bought(time, 2 * time), at(time));
    }
    assert_eq!((rig.mirror.asked.len(), rig.reads), (1, 0));
    pass(&mut rig, 1_000);
    assert_eq!(rig.mirror.asked, [1, 100]);
    assert_eq!(told(&rig), [(1_000, Change::Entered)]);
}

#[test]
fn a_user_keeps_her_membership_while_a_module_fails() {
    let conditions = [even(500, 1, ""), super::count("buy", 500, 1)];
    let mut rig = Rig::new(Engine::State, 4, &conditions);
    rig.message(&bought(0, 2), at(0));
    rig.mirror.select_failures = 1;
    rig.message(&bought(400, 2), at(400));
    pass(&mut rig, 950);
    // The other audience is decided meanwhile.
    let left: Vec<&str> = rig.transitions[2..].iter().map(|told| &*told.audience).collect();
    assert_eq!(left, ["a01"]);
    pass(&mut rig, 1_400);
    assert_eq!(told(&rig)[3..], [(1_400, Change::Left)]);
}

#[test]
fn other_code_is_another_predicate() {
    let mut rig = Rig::new(Engine::State, 4, &[even(10_000, 1, "one")]);
    rig.message(&bought(0, 2), at(0));
    let fingerprint = rig.plan.fingerprint();
    let (asked, reads) = (rig.mirror.asked.len(), rig.reads);
    rig.follow(Rig::new(Engine::State, 4, &[even(10_000, 1, "two")]), at(5));
    assert_ne!(rig.plan.fingerprint(), fingerprint);
    assert_eq!((rig.mirror.asked.len(), rig.reads), (asked + 1, reads + 1));
    assert_eq!(told(&rig), [(0, Change::Entered)]);
}

#[test]
fn a_change_of_rules_gathers_what_is_lacking() {
    let mut rig = Rig::new(Engine::State, 4, &[even(10_000, 1, "")]);
    rig.mirror.select_failures = 1;
    rig.message(&bought(0, 2), at(0));
    // The series is one that the next rules know, and lacks an event.
    let next = [even(10_000, 1, ""), super::count("look", 5, 1)];
    rig.follow(Rig::new(Engine::State, 4, &next), at(100));
    assert_eq!((told(&rig), rig.due), (vec![(100, Change::Entered)], Some(at(10_000))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a module fails, users end up where they would have been without it.
    #[test]
    fn failures_are_made_good(
        conditions in vec(condition(), 1..6),
        messages in vec((message(), 0u32..8), 1..60),
        intervals in 1usize..6,
        engine in proptest::sample::select(ENGINES.to_vec()),
    ) {
        let mut conditions = conditions;
        conditions.sort();
        conditions.dedup();
        let mut failing = Rig::new(engine, intervals, &conditions);
        let mut sound = Rig::new(engine, intervals, &conditions);
        let mut clock = 0;
        for ((pause, events), failures) in messages {
            clock += pause;
            let message = arrivals(clock, events);
            // Most messages find the module at work.
            failing.mirror.select_failures = failures.saturating_sub(5);
            failing.message(&message, at(clock));
            sound.message(&message, at(clock));
        }
        failing.mirror.select_failures = 0;
        // The longest wait is over by then, and the windows are not all.
        for until in [clock + 40, clock + 4_000_000] {
            pass(&mut failing, until);
            pass(&mut sound, until);
        }
        let members = |rig: &Rig| {
            let mut members = std::collections::BTreeSet::new();
            for told in &rig.transitions {
                match told.change {
                    Change::Entered => members.insert(told.audience.clone()),
                    Change::Left => members.remove(&told.audience),
                };
            }
            members
        };
        prop_assert_eq!(members(&failing), members(&sound));
        // What follows is told alike: nothing of the failures is left in the series.
        let told_before = (failing.transitions.len(), sound.transitions.len());
        let mut clock = clock + 4_000_000;
        for events in [vec![(0, true, Some(2))], vec![(5, true, Some(4)), (0, false, None)]] {
            clock += 7;
            let message = arrivals(clock, events);
            failing.message(&message, at(clock));
            sound.message(&message, at(clock));
        }
        pass(&mut failing, clock + 1_000);
        pass(&mut sound, clock + 1_000);
        let since = |rig: &Rig, from: usize| -> Vec<_> {
            rig.transitions[from..].iter().map(|t| (t.at, t.audience.clone(), t.change)).collect()
        };
        prop_assert_eq!(since(&failing, told_before.0), since(&sound, told_before.1));
    }
}
