//! The step: a user's state, a micro-batch and an instant in; new state, transitions and timers out.
//!
//! The step touches nothing outside. What it needs of history it asks for by returning
//! [`Outcome::Needs`]; it is then taken again from the beginning with the answers supplied, and
//! comes to the same point with them, and with what modules said of events meanwhile.

mod apply;
mod decide;
mod evaluate;
mod explain;
mod scan;
mod select;

pub use explain::{Explanation, Ground, Looked, explain};
pub use select::Verdicts;

use crate::codec::Damaged;
use crate::decide::Decide;
use crate::event::{Arrival, Message};
use crate::module::AudienceKey;
use crate::plan::{Engine, Plan, Succession};
use crate::profile::Profile;
use crate::series::Series;
use crate::time::Time;
use crate::transition::{Cause, Change, Transition};
use crate::user::User;
use crate::window::Extent;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a step starts from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The user's state as the last step left it; none for a user never seen.
    pub state: Option<&'a [u8]>,
    /// The user's profile as the last step left it.
    pub profile: Option<&'a [u8]>,
    /// The messages of the micro-batch, in the order in which they arrived; none when a timer or a
    /// change of rules brings the step about.
    pub messages: &'a [Message],
    /// The instant to evaluate at: the clock, or the timer's due time. A user's own time never goes
    /// back: she is not evaluated earlier than before.
    pub now: Time,
    /// What of history was asked for and read.
    pub history: &'a [(Request, Vec<Arrival>)],
    /// What modules said of events, as the step that asked for more history gave it.
    pub verdicts: &'a Verdicts,
    /// How users come to this plan from earlier ones. One who was evaluated by another yet has
    /// everything gathered from her history.
    pub successions: &'a [Succession],
}

/// A part of a user's history, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The events' name; all events when there is none.
    pub event: Option<Arc<str>>,
    /// The span of time.
    pub extent: Extent,
}

impl Request {
    /// Whether an event is of this part.
    pub fn covers(&self, arrival: &Arrival) -> bool {
        self.event.as_ref().is_none_or(|name| arrival.event.name == *name)
            && self.extent.contains(arrival.event.time)
    }
}

/// What a step comes to.
#[derive(Debug)]
pub enum Outcome {
    /// The step is complete.
    Done(Box<Step>),
    /// The step must be taken again with these parts of history beside those it had, and with what
    /// modules said of events in the place of what it had.
    Needs(Vec<Request>, Verdicts),
}

/// What a step changes.
#[derive(Debug, Default)]
pub struct Step {
    /// The user's state.
    pub state: Vec<u8>,
    /// The user's profile, when it changed.
    pub profile: Option<Vec<u8>>,
    /// When the user's timer was due, and when it is now.
    pub due_before: Option<Time>,
    /// The instant at which something may change by itself.
    pub due: Option<Time>,
    /// The events that were accepted.
    pub history: Vec<Arrival>,
    /// Audiences entered, since when, and audiences left.
    pub members: Vec<(AudienceKey, Option<Time>)>,
    /// Who entered and left, in order.
    pub transitions: Vec<Transition>,
    /// What it took.
    pub report: Report,
}

/// What a step took, for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Events and messages dropped as repetitions.
    pub duplicates: u64,
    /// Events accepted that were older than the user's last evaluation.
    pub late: u64,
    /// How often the user was evaluated.
    pub evaluations: u64,
    /// How many of these needed history.
    pub evaluations_with_history: u64,
    /// Audiences decided by their modules.
    pub decisions: u64,
    /// Audiences that an essential condition decided without asking.
    pub ruled_out: u64,
    /// Calls of rule modules.
    pub crossings: u64,
    /// Calls of rule modules about events that their predicates may select.
    pub selections: u64,
    /// Rows of history looked at.
    pub rows: u64,
    /// Conditions decided by the likelier answer, since history may not be read.
    pub likely: u64,
    /// How far the likelier answers may lie from the true values at the most, as a share of the
    /// answers: at most 1, which says that nothing is known.
    pub likely_error_max: f64,
    /// Audiences that could not be decided, and why.
    pub failures: Vec<(Arc<str>, Arc<str>)>,
}

/// Takes a step.
///
/// Timers of the user that are due before `now` are evaluated first, each at its own instant; then
/// the messages apply whole, and the user is evaluated once, at `now`.
///
/// # Errors
/// When the stored bytes do not decode; nothing else can fail.
pub fn step(plan: &Plan, input: Input<'_>, decide: &mut dyn Decide) -> Result<Outcome, Damaged> {
    let mut session = Session::open(plan, input, decide)?;
    // Another process may have evaluated her, by a clock that was ahead.
    let input = Input { now: input.now.max(session.user.evaluated_at), ..input };
    session.run(input)?;
    if !session.needs.is_empty() {
        return Ok(Outcome::Needs(session.needs, session.verdicts));
    }
    Ok(Outcome::Done(Box::new(session.close(input.now))))
}

/// A step under way.
struct Session<'a> {
    plan: &'a Plan,
    decide: &'a mut dyn Decide,
    supplied: &'a [(Request, Vec<Arrival>)],
    successions: &'a [Succession],
    user: User<'a>,
    known: bool,
    due_before: Option<Time>,
    profile: Profile,
    profile_changed: bool,
    accepted: Vec<Arrival>,
    needs: Vec<Request>,
    transitions: Vec<Transition>,
    members: BTreeMap<AudienceKey, Option<Time>>,
    history_used: bool,
    verdicts: Verdicts,
    /// Audiences that look at a series that lacks events, and so stay undecided.
    stuck: BTreeSet<usize>,
    /// Of the failures reported, how many the next attempt is set for.
    failures_met: usize,
    report: Report,
}

impl<'a> Session<'a> {
    fn open(
        plan: &'a Plan,
        input: Input<'a>,
        decide: &'a mut dyn Decide,
    ) -> Result<Session<'a>, Damaged> {
        let user = match input.state {
            Some(bytes) => User::decode(bytes)?,
            None => User::new(plan.fingerprint),
        };
        let profile = match input.profile {
            Some(bytes) => Profile::decode(bytes)?,
            None => Profile::default(),
        };
        let lacking = user.lacking.iter().filter_map(|key| plan.by_key.get(key));
        let stuck = lacking.flat_map(|series| plan.audiences_of(*series)).collect();
        Ok(Session {
            plan,
            decide,
            supplied: input.history,
            successions: input.successions,
            due_before: user.due(),
            known: input.state.is_some(),
            user,
            profile,
            profile_changed: input.profile.is_none(),
            accepted: Vec::new(),
            needs: Vec::new(),
            transitions: Vec::new(),
            members: BTreeMap::new(),
            history_used: false,
            verdicts: input.verdicts.clone(),
            stuck,
            failures_met: 0,
            report: Report::default(),
        })
    }

    /// Goes on until it is done, or history is needed.
    fn run(&mut self, input: Input<'_>) -> Result<(), Damaged> {
        if self.known && self.user.rules != self.plan.fingerprint {
            // What was due before was due under whichever rules are in force when it is noticed.
            let overdue = self.user.due().filter(|due| *due < input.now);
            self.adopt(overdue.unwrap_or(input.now))?;
        }
        if self.needs.is_empty() {
            let before = if input.messages.is_empty() { input.now.next() } else { input.now };
            self.fire(before)?;
        }
        if !self.needs.is_empty() || input.messages.is_empty() {
            return Ok(());
        }
        match self.plan.settings.engine {
            Engine::State => self.apply_to_series(input.messages, input.now),
            Engine::Scan => self.apply_to_history(input.messages, input.now),
        }
    }

    /// Evaluates the user at each of her timers due before that instant.
    fn fire(&mut self, before: Time) -> Result<(), Damaged> {
        while let Some(due) = self.user.due().filter(|due| *due < before) {
            match self.plan.settings.engine {
                Engine::State => {
                    let mut touched = Touched::default();
                    self.touch_due(&mut touched, due)?;
                    if self.is_retried(due) {
                        self.touch_unsettled(&mut touched);
                        self.complete(&mut touched, due)?;
                    }
                    if !self.needs.is_empty() {
                        return Ok(());
                    }
                    self.evaluate(touched, due, Cause::Timer)?;
                }
                Engine::Scan => self.scan(due, Cause::Timer),
            }
            if !self.needs.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Notes that the user entered or left audiences, in the order of their ids.
    fn change(&mut self, mut changes: Vec<(usize, Change)>, at: Time, cause: Cause) {
        changes.sort_by_key(|(audience, _)| *audience);
        for (audience, change) in changes {
            let plan = &self.plan.audiences[audience];
            self.note(plan.key, plan.id.clone(), plan.version.clone(), change, at, cause);
        }
    }

    fn note(
        &mut self,
        key: AudienceKey,
        audience: Arc<str>,
        rules: Arc<str>,
        change: Change,
        at: Time,
        cause: Cause,
    ) {
        self.profile.memberships.set(key, (change == Change::Entered).then_some(at));
        self.members.insert(key, (change == Change::Entered).then_some(at));
        self.profile_changed = true;
        self.user.transitions += 1;
        let engine = self.plan.settings.engine;
        let number = self.user.transitions;
        let transition = Transition { number, audience, key, change, at, cause, engine, rules };
        self.transitions.push(transition);
    }

    /// The user's events in a part of history: those that were supplied, and those that this step
    /// accepted. Asks for what was not supplied.
    fn events(&mut self, request: Request) -> Option<Vec<Arrival>> {
        let Some(events) = self.supplied(&request) else {
            if !self.needs.contains(&request) {
                self.needs.push(request);
            }
            return None;
        };
        self.history_used = true;
        self.report.rows += events.len() as u64;
        Some(events)
    }

    /// The user's events in a part of history, if it was supplied.
    fn supplied(&self, request: &Request) -> Option<Vec<Arrival>> {
        let covering = self.supplied.iter().find(|(supplied, _)| {
            (supplied.event.is_none() || supplied.event == request.event)
                && supplied.extent.first <= request.extent.first
                && supplied.extent.last >= request.extent.last
        });
        let (_, stored) = covering?;
        let all = stored.iter().chain(&self.accepted);
        let mut events: Vec<Arrival> = all.filter(|event| request.covers(event)).cloned().collect();
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        Some(events)
    }

    fn close(mut self, now: Time) -> Step {
        self.user.compact(self.plan, now);
        Step {
            state: self.user.encode(),
            profile: self.profile_changed.then(|| self.profile.encode()),
            due_before: self.due_before,
            due: self.user.due(),
            history: self.accepted,
            members: self.members.into_iter().collect(),
            transitions: self.transitions,
            report: self.report,
        }
    }
}

/// What a batch or a timer touched, by what it was worth before.
#[derive(Default)]
struct Touched {
    /// The places of the features of each touched series, before; none when there was no series.
    series: BTreeMap<usize, Option<Vec<crate::plan::Place>>>,
    /// Conditions on attributes that may have changed.
    conditions: BTreeSet<usize>,
    /// Audiences to decide whatever their conditions.
    audiences: BTreeSet<usize>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.series.is_empty() && self.conditions.is_empty() && self.audiences.is_empty()
    }
}

/// An empty series of a plan's kind.
fn empty_series(plan: &Plan, series: usize) -> Series {
    plan.series[series].kind.empty()
}

#[cfg(test)]
mod tests;
