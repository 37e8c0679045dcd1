//! The naive evaluator: what a replay must say, recomputed from all events.
//!
//! It is the reference that everything is held to, so it is the dumbest code that can be right. It
//! keeps every event, enumerates every instant at which anything could change, and decides every
//! audience anew at each. It shares values, comparisons and selectors with the engines and nothing
//! else: windows and aggregates are its own.
//!
//! Users do not influence each other, so each is followed alone through the clock's whole course;
//! what they say is put in order at the end.

mod condition;

use crate::timeline::{Entry, IdLimits, Membership, Outcome, Told, UserKey};
use condition::{in_window, is_true};
use muster_core::{
    Cause, Change, Condition, Event, Feature, Message, Selector, Time, Value, Window,
};
use muster_rules::{Definition, Rule};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Says what a replay of the timeline under these definitions must say.
///
/// # Panics
/// When the timeline does not end with the end of a run, or definitions refer to audiences that
/// are not defined.
pub fn evaluate(definitions: &[Definition], limits: IdLimits, timeline: &[Entry]) -> Outcome {
    assert!(matches!(timeline.last(), Some(Entry::End(_))), "a timeline ends with a run's end");
    let course = Course::of(timeline);
    let windows = windows(definitions);
    let mut users: BTreeMap<&UserKey, Vec<(usize, &Message)>> = BTreeMap::new();
    for (index, read) in course.read.iter().enumerate() {
        if let (Entry::Message(user, _), Some(message)) = (&timeline[index], read) {
            users.entry(user).or_default().push((index, message));
        }
    }
    let mut told = Vec::new();
    for (key, messages) in users {
        let mut user = User::new(key, definitions, limits, &course, &windows);
        for (index, message) in messages {
            user.fire_before(course.fires_before[index]);
            user.apply(index, message);
        }
        user.fire_before(course.fires_before[timeline.len() - 1]);
        told.append(&mut user.told);
    }
    // The sort is stable, so that what one evaluation says stays in its order.
    told.sort_by(|one, other| order(one).cmp(&order(other)));
    let memberships = memberships(timeline, &told);
    Outcome { transitions: told, memberships, failure: None }
}

/// Within an entry timers come first, by instant, workspace and user.
fn order(told: &Told) -> (usize, bool, Time, &UserKey) {
    (told.entry, told.cause != Cause::Timer, told.at, &told.user)
}

/// The clock's course over a timeline.
struct Course {
    /// The clock after each entry.
    clocks: Vec<Time>,
    /// Before which instant timers have fired when each entry applies.
    fires_before: Vec<Time>,
    /// What of each message is read: events later than the end of their run are not.
    read: Vec<Option<Message>>,
}

impl Course {
    fn of(timeline: &[Entry]) -> Course {
        let mut course = Course { clocks: vec![], fires_before: vec![], read: vec![] };
        let mut clock = Time::EPOCH;
        let mut fires_before = Time::MIN;
        for (index, entry) in timeline.iter().enumerate() {
            let read = match entry {
                Entry::End(until) => {
                    clock = clock.max(until.unwrap_or(clock));
                    // Timers of that very instant fire too.
                    fires_before = fires_before.max(clock.next());
                    None
                }
                Entry::Message(_, message) => {
                    let read = read(message, end_of_run(&timeline[index..]));
                    let latest = read.as_ref().and_then(Message::latest);
                    clock = clock.max(latest.unwrap_or(clock));
                    fires_before = fires_before.max(clock);
                    read
                }
            };
            course.read.push(read);
            course.clocks.push(clock);
            course.fires_before.push(fires_before);
        }
        course
    }

    /// The entry at which a timer of that instant fires.
    fn entry_firing(&self, instant: Time) -> usize {
        self.fires_before.partition_point(|before| *before <= instant)
    }
}

fn end_of_run(rest: &[Entry]) -> Option<Time> {
    rest.iter().find_map(|entry| match entry {
        Entry::End(until) => Some(*until),
        Entry::Message(..) => None,
    })?
}

fn read(message: &Message, until: Option<Time>) -> Option<Message> {
    let Some(until) = until else { return Some(message.clone()) };
    let mut read = message.clone();
    read.events.retain(|event| event.time <= until);
    let nothing_left = !message.events.is_empty() && read.events.is_empty();
    let too_late = read.latest().is_some_and(|latest| latest > until);
    (!nothing_left && !too_late).then_some(read)
}

/// One user, followed through the whole timeline.
struct User<'a> {
    key: &'a UserKey,
    definitions: &'a [Definition],
    limits: IdLimits,
    course: &'a Course,
    windows: &'a BTreeSet<Window>,
    /// Every accepted event in the order of arrival.
    events: Vec<Arc<Event>>,
    attributes: BTreeMap<Arc<str>, Value>,
    /// Ids that are remembered, of messages and of events, and when they came.
    ids: Vec<(bool, Arc<str>, Time)>,
    members: BTreeSet<Arc<str>>,
    /// The instant of the last evaluation; none of a user not yet known.
    evaluated_at: Option<Time>,
    told: Vec<Told>,
}

impl<'a> User<'a> {
    fn new(
        key: &'a UserKey,
        definitions: &'a [Definition],
        limits: IdLimits,
        course: &'a Course,
        windows: &'a BTreeSet<Window>,
    ) -> User<'a> {
        User {
            key,
            definitions,
            limits,
            course,
            windows,
            events: Vec::new(),
            attributes: BTreeMap::new(),
            ids: Vec::new(),
            members: BTreeSet::new(),
            evaluated_at: None,
            told: Vec::new(),
        }
    }

    /// Evaluates the user at every instant before that one at which anything could change.
    fn fire_before(&mut self, before: Time) {
        let Some(evaluated_at) = self.evaluated_at else { return };
        let mut instants = BTreeSet::new();
        for event in &self.events {
            for window in self.windows {
                instants.extend(window.older_than.map(|older_than| event.time + older_than));
                instants.extend(window.within.map(|within| event.time + within));
            }
        }
        instants.retain(|instant| evaluated_at < *instant && *instant < before);
        for instant in instants {
            self.evaluate(self.course.entry_firing(instant), instant, Cause::Timer);
        }
    }

    fn apply(&mut self, entry: usize, message: &Message) {
        let clock = self.course.clocks[entry];
        let accepted_before = self.events.len();
        let repeated = message.id.as_ref().is_some_and(|id| self.is_repeated(true, id, clock));
        if !repeated {
            for (name, value) in &message.attributes {
                match value {
                    Some(value) => self.attributes.insert(name.clone(), value.clone()),
                    None => self.attributes.remove(name),
                };
            }
            for event in &message.events {
                if !event.id.as_ref().is_some_and(|id| self.is_repeated(false, id, clock)) {
                    self.events.push(event.clone());
                }
            }
        }
        let accepted = self.events.len() > accepted_before;
        self.evaluate(entry, clock, if accepted { Cause::Event } else { Cause::Attribute });
    }

    fn is_repeated(&mut self, of_message: bool, id: &Arc<str>, clock: Time) -> bool {
        let age_ms = |came: Time| clock.milliseconds() - came.milliseconds();
        self.ids.retain(|(_, _, came)| age_ms(*came) < self.limits.horizon_ms);
        if self.ids.iter().any(|(of, seen, _)| *of == of_message && seen == id) {
            return true;
        }
        if self.ids.len() >= self.limits.count {
            self.ids.remove(0);
        }
        self.ids.push((of_message, id.clone(), clock));
        false
    }

    /// Decides every audience at that instant.
    fn evaluate(&mut self, entry: usize, at: Time, cause: Cause) {
        self.evaluated_at = Some(at);
        let mut decided = BTreeMap::new();
        for definition in self.definitions {
            self.decide(&definition.id, at, &mut decided);
        }
        for (audience, is_in) in decided {
            let changed = match is_in {
                true => self.members.insert(audience.clone()),
                false => self.members.remove(&audience),
            };
            if changed {
                self.told.push(Told {
                    entry,
                    user: self.key.clone(),
                    number: self.told.len() as u64 + 1,
                    audience,
                    change: if is_in { Change::Entered } else { Change::Left },
                    at,
                    cause,
                });
            }
        }
    }

    /// Decides an audience, and before it those that it refers to.
    fn decide(&self, id: &Arc<str>, at: Time, decided: &mut BTreeMap<Arc<str>, bool>) -> bool {
        if let Some(known) = decided.get(id) {
            return *known;
        }
        let definition = self.definitions.iter().find(|definition| definition.id == *id);
        let rule = &definition.expect("definitions refer to defined audiences").rule;
        let is_in = self.holds(rule, at, decided);
        decided.insert(id.clone(), is_in);
        is_in
    }

    fn holds(&self, rule: &Rule, at: Time, decided: &mut BTreeMap<Arc<str>, bool>) -> bool {
        match rule {
            Rule::All(rules) => rules.iter().all(|rule| self.holds(rule, at, decided)),
            Rule::Any(rules) => rules.iter().any(|rule| self.holds(rule, at, decided)),
            Rule::Not(rule) => !self.holds(rule, at, decided),
            Rule::Condition(Condition::Member(audience), _) => self.decide(audience, at, decided),
            Rule::Condition(Condition::Compare { feature, comparison }, _) => match feature {
                Feature::Attribute(name) => comparison.holds(self.attributes.get(name)),
                Feature::Events { selector, aggregate, of, window } => {
                    let events = self.visible(selector, window, at);
                    is_true(comparison, *aggregate, of.as_deref(), &events)
                }
            },
        }
    }

    /// The selected events inside the window, by time; those of one time as they arrived.
    fn visible(&self, selector: &Selector, window: &Window, at: Time) -> Vec<&Event> {
        let all = self.events.iter().map(|event| &**event);
        let mut visible: Vec<&Event> = all
            .filter(|event| in_window(window, event.time, at) && selector.selects(event))
            .collect();
        visible.sort_by_key(|event| event.time);
        visible
    }
}

/// Every window that a definition looks through.
fn windows(definitions: &[Definition]) -> BTreeSet<Window> {
    fn collect(rule: &Rule, windows: &mut BTreeSet<Window>) {
        match rule {
            Rule::All(rules) | Rule::Any(rules) => {
                rules.iter().for_each(|rule| collect(rule, windows));
            }
            Rule::Not(rule) => collect(rule, windows),
            Rule::Condition(Condition::Compare { feature, .. }, _) => {
                if let Feature::Events { window, .. } = feature {
                    windows.insert(*window);
                }
            }
            Rule::Condition(Condition::Member(_), _) => {}
        }
    }
    let mut windows = BTreeSet::new();
    definitions.iter().for_each(|definition| collect(&definition.rule, &mut windows));
    windows
}

/// The memberships at each end of a run, as the transitions up to there make them.
fn memberships(timeline: &[Entry], told: &[Told]) -> Vec<Vec<Membership>> {
    let ends = timeline.iter().enumerate().filter(|(_, entry)| matches!(entry, Entry::End(_)));
    ends.map(|(end, _)| {
        let mut since = BTreeMap::new();
        for told in told.iter().take_while(|told| told.entry <= end) {
            let membership = (&told.user, &told.audience);
            match told.change {
                Change::Entered => since.insert(membership, told.at),
                Change::Left => since.remove(&membership),
            };
        }
        let members = since.into_iter().map(|((user, audience), since)| Membership {
            user: user.clone(),
            audience: audience.clone(),
            since,
        });
        members.collect()
    })
    .collect()
}
