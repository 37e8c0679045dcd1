//! Running what a user is told, on the engine that the service runs.

use super::{User, membership_attribute};
use crate::Module;
use crate::bindings::exports::muster::rules::decisions as wire;
use crate::selection_bindings::exports::muster::rules::selection;
use muster_core::{
    Arrival, Audience, Comparison, Condition, Decide, DecideError, Decimal, Feature, Fields, Input,
    Message, Outcome, Plan, Question, Request, Selection, Settings, Standing, Test, Time, Value,
    Verdicts, step,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What came of it.
pub(super) struct Ran {
    /// The module's audiences.
    pub(super) audiences: Vec<String>,
    pub(super) members: BTreeSet<String>,
    pub(super) transitions: Vec<String>,
}

/// Runs a user's steps in order, and time up to her clock.
pub(super) fn run(user: &User) -> Ran {
    let mut rig = Rig::new(user.module);
    for told in &user.steps {
        rig.pass(told.at);
        rig.step(std::slice::from_ref(&told.message), told.at);
    }
    rig.pass(user.clock.next());
    rig.ran
}

/// One user, what is stored of her, and all of her history.
struct Rig {
    plan: Plan,
    rules: Rules,
    state: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    due: Option<Time>,
    history: Vec<Arrival>,
    ran: Ran,
}

/// The module, and one that stands for those of the audiences that it refers to.
struct Rules {
    module: &'static Module,
}

/// The module's place in the plan; the other one's is behind it.
const MODULE: usize = 0;

impl Rig {
    fn new(module: &'static Module) -> Rig {
        let described = match muster_rules::manifest::read(module.manifest()) {
            Ok(described) => described,
            Err(error) => panic!("{error}"),
        };
        let audiences = described.audiences.iter().map(|audience| audience.id.to_string());
        let audiences: Vec<String> = audiences.collect();
        let elsewhere = elsewhere(&described);
        let mut rules = Rules { module };
        let modules = [described, elsewhere];
        let plan = match Plan::new(Settings::default(), &modules, Standing::default(), &mut rules) {
            Ok(plan) => plan,
            Err(error) => panic!("{error}"),
        };
        let ran = Ran { audiences, members: BTreeSet::new(), transitions: Vec::new() };
        let history = Vec::new();
        Rig { plan, rules, state: None, profile: None, due: None, history, ran }
    }

    /// Lets the time pass up to an instant, and what is due before it happen.
    fn pass(&mut self, until: Time) {
        while let Some(due) = self.due.filter(|due| *due < until) {
            self.step(&[], due);
        }
    }

    fn step(&mut self, messages: &[Message], now: Time) {
        let mut supplied: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
        let done = loop {
            let input = Input {
                state: self.state.as_deref(),
                profile: self.profile.as_deref(),
                messages,
                now,
                history: &supplied,
                verdicts: &verdicts,
                successions: &[],
            };
            match step(&self.plan, input, &mut self.rules) {
                Ok(Outcome::Done(done)) => break *done,
                Ok(Outcome::Needs(requests, told)) => {
                    verdicts = told;
                    supplied.extend(requests.into_iter().map(|request| {
                        let events = self.events(&request);
                        (request, events)
                    }));
                }
                Err(_) => unreachable!("the state is as the last step left it"),
            }
        };
        self.state = Some(done.state);
        self.profile = done.profile.or(self.profile.take());
        self.due = done.due;
        self.history.extend(done.history);
        for transition in done.transitions {
            let id = transition.audience.to_string();
            if !self.ran.audiences.contains(&id) {
                continue;
            }
            let (at, change) = (shown(transition.at), transition.change.name());
            self.ran.transitions.push(format!("{at} {change} {id}"));
            match transition.change {
                muster_core::Change::Entered => self.ran.members.insert(id),
                muster_core::Change::Left => self.ran.members.remove(&id),
            };
        }
    }

    fn events(&self, request: &Request) -> Vec<Arrival> {
        let covered = self.history.iter().filter(|arrival| request.covers(arrival));
        let mut events: Vec<Arrival> = covered.cloned().collect();
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        events
    }
}

/// A module of the audiences that are referred to: each has its members by an attribute.
fn elsewhere(described: &muster_core::Module) -> muster_core::Module {
    let ids: BTreeSet<&Arc<str>> = described
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Member(id) => Some(id),
            Condition::Compare { .. } => None,
        })
        .collect();
    let conditions = ids.iter().map(|id| Condition::Compare {
        feature: Feature::Attribute(membership_attribute(id)),
        comparison: Comparison::new(vec![Test::Equal(Value::Boolean(true))]),
    });
    let audiences = (0u32..).zip(&ids).map(|(at, id)| Audience {
        id: (*id).clone(),
        name: (*id).clone(),
        version: "1".into(),
        conditions: vec![at],
        values: Vec::new(),
        requires: vec![at],
        excludes: Vec::new(),
    });
    muster_core::Module {
        name: "elsewhere".into(),
        code: "".into(),
        predicates: Vec::new(),
        conditions: conditions.collect(),
        values: Vec::new(),
        audiences: audiences.collect(),
    }
}

impl Decide for Rules {
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError> {
        let Question { module, audiences, conditions, values } = question;
        if module != MODULE {
            return Ok(audiences.iter().map(|audience| conditions.contains(audience)).collect());
        }
        let values: Vec<wire::Value> = values.iter().map(hand_over).collect();
        Ok(self.module.evaluate(audiences, conditions, &values))
    }

    fn select(&mut self, asked: Selection<'_>) -> Result<Vec<bool>, DecideError> {
        let candidates = asked.candidates.iter().map(|candidate| selection::Candidate {
            event: selection::Event {
                name: candidate.event.name.to_string(),
                time: candidate.event.time.milliseconds(),
                properties: hand_over_all(&candidate.event.properties),
                context: hand_over_all(&candidate.event.context),
            },
            predicates: candidate.predicates.clone(),
        });
        Ok(self.module.select(&candidates.collect::<Vec<_>>()))
    }
}

fn hand_over_all(fields: &Fields) -> Vec<selection::Property> {
    let property = |(name, value): &(Arc<str>, Value)| {
        let name = name.to_string();
        let value = match value {
            Value::Boolean(boolean) => selection::Value::Boolean(*boolean),
            Value::Number(number) => {
                let (high, low) = halves(*number);
                selection::Value::Number(selection::Decimal { high, low })
            }
            Value::Text(text) => selection::Value::Text(text.to_string()),
            Value::Composite(json) => selection::Value::Json(json.to_string()),
        };
        selection::Property { name, value }
    };
    fields.iter().map(property).collect()
}

fn halves(number: Decimal) -> (i64, u64) {
    let billionths = number.billionths();
    ((billionths >> 64) as i64, billionths as u64)
}

fn hand_over(value: &Option<Value>) -> wire::Value {
    match value {
        None => wire::Value::None,
        Some(Value::Boolean(boolean)) => wire::Value::Boolean(*boolean),
        Some(Value::Number(number)) => {
            let (high, low) = halves(*number);
            wire::Value::Number(wire::Decimal { high, low })
        }
        Some(Value::Text(text)) => wire::Value::Text(text.to_string()),
        Some(Value::Composite(json)) => wire::Value::Json(json.to_string()),
    }
}

/// An instant as tests write it: without the seconds, or the time of day, when they are zero.
fn shown(time: Time) -> String {
    let Some(text) = muster_rules::format_instant(time) else {
        return time.milliseconds().to_string();
    };
    let text = text.trim_end_matches('Z').replacen('T', " ", 1);
    let text = text.strip_suffix(".000").unwrap_or(&text);
    let text = text.strip_suffix(":00").unwrap_or(text);
    text.strip_suffix(" 00:00").unwrap_or(text).to_owned()
}
