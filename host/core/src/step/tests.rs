//! Both engines over the same random conditions and messages: the same transitions, however little
//! room the state engine has.

use super::{Explanation, Ground, Input, Outcome, Step, Verdicts, explain, step};
use crate::{
    Aggregate, Arrival, AudienceKey, Change, Comparison, Condition, Engine, Event, ExactFrom,
    Feature, Message, Plan, Predicate, Request, Selector, Settings, Span, Standing, Succession,
    Test, Time, Transition, Value, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rules::{Drawn, Mirror, Rules, drawn};
use std::sync::Arc;

mod anew;
mod retry;
mod rules;
mod select;
mod succession;

fn predicate(index: u32) -> Predicate {
    Predicate { name: format!("p{index}").into(), index, code: "".into() }
}

/// One user, her stored blobs, and all of her history.
struct Rig {
    plan: Plan,
    successions: Vec<Succession>,
    mirror: Mirror,
    state: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    due: Option<Time>,
    history: Vec<Arrival>,
    transitions: Vec<Transition>,
    reads: usize,
    /// How many conditions were decided by the likelier answer, and the worst bound of its error.
    likely: (u64, f64),
}

impl Rig {
    fn new(engine: Engine, intervals: usize, conditions: &[Condition]) -> Rig {
        Rig::with(Settings { engine, intervals, ..Settings::default() }, conditions)
    }

    fn with(settings: Settings, conditions: &[Condition]) -> Rig {
        Rig::standing(settings, &Rules::each(conditions), &[], &[])
    }

    /// Audiences of which some are paused, beside conditions whose series are kept.
    fn standing(settings: Settings, rules: &Rules, kept: &[Condition], paused: &[usize]) -> Rig {
        let kept = Rules::each(kept).modules;
        let keys =
            |at: &usize| ["a", "b"].map(|module| AudienceKey::of(&format!("{module}{at:02}")));
        let paused = paused.iter().flat_map(keys).collect();
        let standing = Standing { known: Vec::new(), paused, without: [].into(), kept: &kept };
        let mut mirror = Mirror::of(rules);
        let plan = Plan::new(settings, &rules.modules, standing, &mut mirror);
        Rig {
            plan: plan.unwrap(),
            successions: Vec::new(),
            mirror,
            state: None,
            profile: None,
            due: None,
            history: Vec::new(),
            transitions: Vec::new(),
            reads: 0,
            likely: (0, 0.0),
        }
    }

    /// Goes over to the rules of another, carrying over what can be.
    fn follow(&mut self, rules: Rig, now: Time) {
        self.successions = Succession::new(&self.plan, &rules.plan).into_iter().collect();
        self.replace(rules);
        self.step(&[], now);
    }

    fn replace(&mut self, rules: Rig) {
        self.plan = rules.plan;
        self.mirror.follow(rules.mirror);
    }

    fn step(&mut self, messages: &[Message], now: Time) {
        let mut supplied: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
        let done: Step = loop {
            let input = Input {
                state: self.state.as_deref(),
                profile: self.profile.as_deref(),
                messages,
                now,
                history: &supplied,
                successions: &self.successions,
                verdicts: &verdicts,
            };
            match step(&self.plan, input, &mut self.mirror).unwrap() {
                Outcome::Done(step) => break *step,
                Outcome::Needs(requests, told) => {
                    verdicts = told;
                    supplied.extend(requests.into_iter().map(|request| {
                        self.reads += 1;
                        let all = self.history.iter();
                        let mut events: Vec<_> =
                            all.filter(|a| request.covers(a)).cloned().collect();
                        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
                        (request, events)
                    }));
                }
            }
        };
        self.state = Some(done.state);
        self.profile = done.profile.or(self.profile.take());
        self.due = done.due;
        self.likely.0 += done.report.likely;
        self.likely.1 = self.likely.1.max(done.report.likely_error_max);
        self.history.extend(done.history);
        self.transitions.extend(done.transitions);
    }

    fn explain(&mut self, audience: AudienceKey) -> Vec<Ground> {
        let mut supplied: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
        loop {
            let input = Input {
                state: self.state.as_deref(),
                profile: self.profile.as_deref(),
                messages: &[],
                now: Time::MIN,
                history: &supplied,
                successions: &[],
                verdicts: &verdicts,
            };
            match explain(&self.plan, input, audience, &mut self.mirror).unwrap() {
                Explanation::Done(grounds) => return grounds,
                Explanation::Needs(requests, told) => {
                    verdicts = told;
                    for request in requests {
                        let events = self.history.iter().filter(|a| request.covers(a)).cloned();
                        supplied.push((request.clone(), events.collect()));
                    }
                }
            }
        }
    }

    fn message(&mut self, message: &Message, now: Time) {
        while let Some(due) = self.due.filter(|due| *due < now) {
            self.step(&[], due);
        }
        self.step(std::slice::from_ref(message), now);
    }
}

fn span() -> impl Strategy<Value = Span> {
    (1i64..40).prop_map(|length| Span::from_milliseconds(length * 5).unwrap())
}

fn window() -> impl Strategy<Value = Window> {
    let fixed = proptest::option::weighted(0.15, (0i64..500, 1i64..400));
    (proptest::option::weighted(0.8, span()), proptest::option::weighted(0.2, span()), fixed)
        .prop_map(|(within, older_than, fixed)| Window {
            within,
            older_than: older_than.filter(|older| within.is_none_or(|within| *older < within)),
            from: fixed.and_then(|(from, _)| Time::from_milliseconds(from)),
            to: fixed.and_then(|(from, length)| Time::from_milliseconds(from + length)),
        })
}

fn condition() -> impl Strategy<Value = Condition> {
    let aggregate = proptest::sample::select(Aggregate::ALL.to_vec());
    let number = (-3i64..25).prop_map(crate::Decimal::from);
    (aggregate, window(), number, 0u8..6, 0u8..5).prop_map(
        |(aggregate, window, number, test, who)| {
            let selector = match who {
                0 => Selector::new(None, vec![], vec![]),
                1 => Selector::new(Some("buy".into()), vec![], vec![]),
                2 => Selector::new(None, vec![], vec![]).matching(predicate(1)),
                3 => Selector::new(Some("buy".into()), vec![], vec![]).matching(predicate(0)),
                _ => {
                    let small = Comparison::new(vec![Test::Less(5.into())]);
                    Selector::new(Some("buy".into()), vec![], vec![("v".into(), small)])
                }
            };
            let test = match test {
                0 | 1 => Test::GreaterOrEqual(number),
                2 => Test::Less(number),
                3 => Test::Equal(Value::Number(number)),
                4 => Test::NotEqual(Value::Number(number)),
                _ => Test::Exists(true),
            };
            Condition::Compare {
                feature: Feature::Events {
                    selector: Arc::new(selector),
                    aggregate,
                    of: (aggregate != Aggregate::Count).then(|| "v".into()),
                    window,
                },
                comparison: Comparison::new(vec![test]),
            }
        },
    )
}

/// A pause before the message, and its events: how late each is (early, when negative), whether it
/// is a `buy`, and its value.
fn message() -> impl Strategy<Value = (i64, Vec<(i64, bool, Option<i64>)>)> {
    let event =
        (-15i64..60, proptest::bool::weighted(0.8), proptest::option::weighted(0.9, -4i64..12));
    (prop_oneof![4 => 0i64..8, 1 => 0i64..120], proptest::collection::vec(event, 1..3))
}

fn event(time: i64, buy: bool, value: Option<i64>) -> Arc<Event> {
    let value = value.map(|value| ("v".into(), Value::Number(value.into())));
    Arc::new(Event {
        name: if buy { "buy" } else { "look" }.into(),
        time: Time::from_milliseconds(time).unwrap(),
        id: None,
        properties: value.into_iter().collect(),
        context: Arc::default(),
    })
}

/// A message at that clock, of events that are so late.
fn arrivals(clock: i64, events: Vec<(i64, bool, Option<i64>)>) -> Message {
    let events = events.into_iter().enumerate().map(|(at, (late, buy, value))| {
        let late = if at == 0 && late > 20 { 0 } else { late };
        event(clock - late, buy, value)
    });
    Message { events: events.collect(), ..Message::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_agree(
        conditions in vec(condition(), 1..6),
        audiences in [vec(drawn(), 1..6), vec(drawn(), 0..4)],
        messages in vec(message(), 1..90),
        intervals in 1usize..6,
    ) {
        let mut conditions = conditions;
        conditions.sort();
        conditions.dedup();
        let [mut state, mut scan] = [Engine::State, Engine::Scan].map(|engine| {
            let settings = Settings { engine, intervals, ..Settings::default() };
            Rig::standing(settings, &Rules::drawn(&conditions, &audiences), &[], &[])
        });
        let mut clock = 0;
        for (pause, events) in messages {
            let base = clock + pause;
            let message = arrivals(base, events);
            // Some events are ahead of the clock, and come into view by themselves.
            clock = base;
            let now = Time::from_milliseconds(clock).unwrap();
            state.message(&message, now);
            scan.message(&message, now);
            prop_assert_eq!(
                state.transitions.last().map(|t| (t.at, t.number, &t.audience, t.change)),
                scan.transitions.last().map(|t| (t.at, t.number, &t.audience, t.change)),
                "after {:?}", message
            );
        }
        let told = |rig: &Rig| -> Vec<_> {
            rig.transitions.iter().map(|t| (t.number, t.at, t.audience.clone(), t.change, t.cause)).collect()
        };
        prop_assert_eq!(told(&state), told(&scan));
    }
}

fn count(event: &str, within_ms: i64, least: i64) -> Condition {
    let window = Window { within: Span::from_milliseconds(within_ms), ..Window::LIFETIME };
    Condition::Compare {
        feature: Feature::Events {
            selector: Arc::new(Selector::new(Some(event.into()), vec![], vec![])),
            aggregate: Aggregate::Count,
            of: None,
            window,
        },
        comparison: Comparison::new(vec![Test::GreaterOrEqual(least.into())]),
    }
}

fn single(time: i64, buy: bool) -> (Message, Time) {
    let message = Message { events: vec![event(time, buy, None)], ..Message::default() };
    (message, Time::from_milliseconds(time).unwrap())
}

#[test]
fn series_that_no_window_sees_any_more_are_dropped() {
    // Neither condition ever holds, so that no timer looks at the series.
    let conditions = [count("buy", 10, 5), count("look", 1_000, 5)];
    let sizes = [false, true].map(|bought| {
        let mut rig = Rig::new(Engine::State, 4, &conditions);
        let (message, now) = single(0, bought);
        rig.message(&message, now);
        let (message, now) = single(20, false);
        rig.message(&message, now);
        rig.state.unwrap().len()
    });
    let [looked_twice, bought_before] = sizes;
    assert!(bought_before < looked_twice, "{sizes:?}");
}

#[test]
fn bounded_accuracy_reads_no_history_and_tells_its_bound() {
    let settings = Settings { exact: false, intervals: 2, ..Settings::default() };
    let conditions = [count("buy", 300, 60), count("buy", 700, 170)];
    let mut rig = Rig::with(settings, &conditions);
    for time in 0..900 {
        let (message, now) = single(3 * time, true);
        rig.message(&message, now);
    }
    assert_eq!(rig.reads, 0);
    let (decided, bound) = rig.likely;
    assert!(decided > 0 && bound > 0.0 && bound < 1.0, "{decided} conditions, bound {bound}");
}

#[test]
fn answers_are_exact_when_windows_have_passed_what_is_gone() {
    let lifetime = Condition::Compare {
        feature: Feature::Events {
            selector: Arc::new(Selector::new(None, vec![], vec![])),
            aggregate: Aggregate::Count,
            of: None,
            window: Window::LIFETIME,
        },
        comparison: Comparison::new(vec![Test::GreaterOrEqual(1.into())]),
    };
    let rig = Rig::new(Engine::State, 4, &[count("buy", 100, 1), count("look", 100, 1), lifetime]);
    let gone =
        std::collections::BTreeMap::from([("buy".into(), Time::from_milliseconds(50).unwrap())]);
    let exact_from =
        ["a00", "a01", "a02"].map(|id| rig.plan.exact_from(AudienceKey::of(id), &gone));
    let passed = ExactFrom::Instant(Time::from_milliseconds(150).unwrap());
    assert_eq!(exact_from, [passed, ExactFrom::Always, ExactFrom::Never]);
}

#[test]
fn what_history_tells_of_a_condition_late_sets_its_timer() {
    // Nobody asks how many were bought before something is looked at.
    let conditions = [count("look", 10_000, 1), count("buy", 1_000, 100)];
    let settings = Settings { intervals: 1, ..Settings::default() };
    let mut rig = Rig::standing(settings, &Rules::all(&conditions), &[], &[]);
    for time in 0..300 {
        let (message, now) = single(time, true);
        rig.message(&message, now);
    }
    let (message, now) = single(1_180, false);
    rig.message(&message, now);
    assert_eq!(rig.reads, 1, "the window's edge lies within an interval");
    while let Some(due) = rig.due {
        rig.step(&[], due);
    }
    let left = rig.transitions.iter().find(|told| told.change == Change::Left);
    let left = left.map(|told| told.at.milliseconds());
    assert_eq!(left, Some(1_200), "when the event of 200 goes, 99 are left");
}

#[test]
fn a_fixed_window_within_an_interval_is_looked_into_when_it_opens() {
    let fixed = Window {
        from: Time::from_milliseconds(10),
        to: Time::from_milliseconds(11),
        older_than: Span::from_milliseconds(50),
        within: None,
    };
    let bought = |window| Condition::Compare {
        feature: Feature::Events {
            selector: Arc::new(Selector::new(Some("buy".into()), vec![], vec![])),
            aggregate: Aggregate::Count,
            of: None,
            window,
        },
        comparison: Comparison::new(vec![Test::GreaterOrEqual(1.into())]),
    };
    let conditions = [bought(Window::LIFETIME), bought(fixed)];
    let mut rig = Rig::with(Settings { intervals: 1, ..Settings::default() }, &conditions);
    for (late, now) in (0..40).filter(|time| *time != 10).map(|time| (0, time)).chain([(45, 55)]) {
        let message = Message { events: vec![event(now - late, true, None)], ..Message::default() };
        rig.message(&message, Time::from_milliseconds(now).unwrap());
    }
    let opens = Time::from_milliseconds(60).unwrap();
    assert_eq!(rig.due, Some(opens));
    rig.step(&[], opens);
    let entered = rig.transitions.last().map(|told| (&*told.audience, told.at));
    assert_eq!(entered, Some(("a01", opens)));
}

#[test]
fn a_raw_value_that_was_not_asked_for_is_looked_at_when_it_may_be_another() {
    let of = |selector, aggregate, window, test| Condition::Compare {
        feature: Feature::Events {
            selector: Arc::new(selector),
            aggregate,
            of: Some("v".into()),
            window,
        },
        comparison: Comparison::new(vec![test]),
    };
    let any = || Selector::new(None, vec![], vec![]);
    let buy = Selector::new(Some("buy".into()), vec![], vec![]);
    let milliseconds = Span::from_milliseconds;
    let lately = Window { within: milliseconds(55), ..Window::LIFETIME };
    let before = Window {
        within: milliseconds(120),
        older_than: milliseconds(50),
        from: Time::from_milliseconds(419),
        to: None,
    };
    let not_ten = Test::NotEqual(Value::Number(10.into()));
    let conditions = [
        of(any(), Aggregate::Sum, lately, not_ten),
        of(buy, Aggregate::Distinct, before, Test::GreaterOrEqual(4.into())),
    ];
    // While the sum is ten, nobody is in, and how many values there are is not asked for.
    let audience = Drawn { conditions: vec![(0, true)], even: Some(1), says_so: true };
    let rules = Rules::drawn(&conditions, &[vec![audience], vec![]]);
    let transitions = [Engine::State, Engine::Scan].map(|engine| {
        let settings = Settings { engine, intervals: 1, ..Settings::default() };
        let mut rig = Rig::standing(settings, &rules, &[], &[]);
        let (four, fourteen) = (Some(-4), Some(14));
        let events = [(419, 419, four), (458, 458, four), (485, 490, four), (485, 485, fourteen)];
        for (now, time, value) in events.into_iter().chain([(541, 541, None), (620, 620, None)]) {
            let message =
                Message { events: vec![event(time, value == four, value)], ..Message::default() };
            rig.message(&message, Time::from_milliseconds(now).unwrap());
        }
        let told = rig.transitions.iter();
        told.map(|told| (told.at.milliseconds(), told.change)).collect::<Vec<_>>()
    });
    let [state, scan] = transitions;
    assert_eq!(scan.last(), Some(&(610, Change::Entered)));
    assert_eq!(state, scan);
}
