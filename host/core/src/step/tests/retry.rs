//! Users whose evaluation failed: nothing is taken for decided, and nothing stays undecided.

use super::{Rig, count, single};
use crate::{Change, Engine, Settings, Time};

const ENGINES: [Engine; 2] = [Engine::State, Engine::Scan];

fn rig(engine: Engine) -> Rig {
    Rig::new(engine, 4, &[count("buy", 10_000, 1)])
}

fn buy(rig: &mut Rig, time: i64) {
    let (message, now) = single(time, true);
    rig.message(&message, now);
}

/// Fires the user's timers due by then, one after another.
fn pass(rig: &mut Rig, until: i64) {
    let until = Time::from_milliseconds(until).unwrap();
    while let Some(due) = rig.due.filter(|due| *due <= until) {
        rig.step(&[], due);
    }
}

fn told(rig: &Rig) -> Vec<(i64, Change)> {
    rig.transitions.iter().map(|told| (told.at.milliseconds(), told.change)).collect()
}

fn due(rig: &Rig) -> Option<i64> {
    rig.due.map(Time::milliseconds)
}

#[test]
fn the_next_message_decides_what_failed() {
    for engine in ENGINES {
        let mut rig = rig(engine);
        rig.mirror.failures = 1;
        buy(&mut rig, 0);
        assert_eq!(told(&rig), []);
        let (look, now) = single(500, false);
        rig.message(&look, now);
        assert_eq!(told(&rig), [(500, Change::Entered)], "{engine:?}");
        // She waits for nothing but the end of the window any more.
        assert_eq!(due(&rig), Some(10_000), "{engine:?}");
    }
}

#[test]
fn without_messages_it_is_tried_again_at_longer_and_longer_intervals() {
    for engine in ENGINES {
        let mut rig = rig(engine);
        rig.mirror.failures = 3;
        buy(&mut rig, 0);
        let mut instants = Vec::new();
        while told(&rig).is_empty() {
            let at = rig.due.unwrap();
            instants.push(at.milliseconds());
            rig.step(&[], at);
        }
        assert_eq!(instants, [1_000, 3_000, 7_000], "{engine:?}");
        assert_eq!(told(&rig), [(7_000, Change::Entered)], "{engine:?}");
        // What failed again begins again with the shortest wait.
        rig.mirror.failures = 1;
        pass(&mut rig, 10_000);
        assert_eq!(due(&rig), Some(11_000), "{engine:?}");
        pass(&mut rig, 11_000);
        assert_eq!(told(&rig)[1..], [(11_000, Change::Left)], "{engine:?}");
        assert_eq!(due(&rig), None, "{engine:?}");
    }
}

#[test]
fn the_longest_wait_is_an_hour() {
    let mut rig = rig(Engine::State);
    rig.mirror.failures = u32::MAX;
    buy(&mut rig, 0);
    let mut last = 0;
    let mut waits = Vec::new();
    for _ in 0..16 {
        let at = rig.due.unwrap();
        rig.step(&[], at);
        // The end of the window is between the others.
        if at.milliseconds() != 10_000 {
            waits.push((at.milliseconds() - last) / 1_000);
            last = at.milliseconds();
        }
    }
    assert_eq!(waits[..3], [1, 2, 4]);
    assert_eq!(waits[12..], [3_600, 3_600, 3_600]);
}

#[test]
fn a_failed_evaluation_consumes_no_timer() {
    // Two windows end at different instants; the module fails at the first, and the second one's
    // timer still comes, in whose evaluation both are right.
    for engine in ENGINES {
        let mut rig = Rig::new(engine, 4, &[count("buy", 10_000, 1), count("buy", 10_500, 1)]);
        buy(&mut rig, 0);
        rig.mirror.failures = 1;
        pass(&mut rig, 10_000);
        assert_eq!(told(&rig), [(0, Change::Entered); 2], "{engine:?}");
        assert_eq!(due(&rig), Some(10_500), "{engine:?}");
        pass(&mut rig, 11_000);
        let left: Vec<Change> = told(&rig)[2..].iter().map(|(_, change)| *change).collect();
        assert_eq!(left, [Change::Left; 2], "{engine:?}");
        assert_eq!((rig.transitions[2].at.milliseconds(), due(&rig)), (10_500, None));
    }
}

#[test]
fn a_change_of_rules_decides_what_failed() {
    for engine in ENGINES {
        let mut rig = rig(engine);
        rig.mirror.failures = 1;
        buy(&mut rig, 0);
        let settings = Settings { engine, intervals: 4, ..Settings::default() };
        rig.replace(Rig::with(settings, &[count("buy", 20_000, 1), count("look", 5, 1)]));
        rig.step(&[], Time::from_milliseconds(100).unwrap());
        assert_eq!(told(&rig), [(100, Change::Entered)], "{engine:?}");
        assert_eq!(due(&rig), Some(20_000), "{engine:?}");

        // What fails under the next rules as well begins with the shortest wait again.
        rig.mirror.failures = 3;
        let (look, now) = single(200, false);
        rig.message(&look, now);
        pass(&mut rig, 1_200);
        rig.replace(Rig::with(settings, &[count("look", 10_000, 2)]));
        rig.step(&[], Time::from_milliseconds(1_300).unwrap());
        assert_eq!(due(&rig), Some(2_300), "{engine:?}");
        pass(&mut rig, 2_300);
        assert_eq!(told(&rig)[1..], [(2_300, Change::Left)], "{engine:?}");
    }
}
