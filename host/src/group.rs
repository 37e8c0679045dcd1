//! A group of users whose steps are committed together.
//!
//! Until the commit, what the steps changed is here and not in the store: whoever steps a user
//! looks here first.

mod beside;
mod error;
mod supplies;

pub use beside::{Beside, Compared, is_shadow};
pub use error::StepError;

use crate::store::{Commit, Found, Line, Store, StoreError, UserCommit, UserKey, UserRecord};
use crate::transitions::to_line;
use beside::Shadow;
use lru::LruCache;
use muster_core::{
    Arrival, AudienceKey, Decide, Input, Message, Outcome, Plan, Report, Request, Step, Succession,
    Time, Transition, Verdicts, has_taken, step,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use supplies::Supplies;

/// How often a step may ask for more history before it is broken off. Each time it is given
/// something that it did not have, so a few times are enough for any user.
const ROUNDS_MAX: usize = 10_000;

/// What steps changed since the last commit.
#[derive(Debug)]
pub struct Group {
    users: HashMap<UserKey, Pending>,
    /// The users in the order in which they were first changed.
    order: Vec<UserKey>,
    /// Users of earlier groups as they were left, those of the last one among them: its commit may
    /// still be under way. And users who were looked for; none of those who are not known.
    recent: LruCache<UserKey, Option<UserRecord>>,
    /// The same of their shadows, of those that were looked for.
    recent_shadows: LruCache<UserKey, Option<Arc<Shadow>>>,
    /// What the last group taken adds to histories.
    in_flight: HashMap<UserKey, Vec<Arrival>>,
    supplies: Supplies,
    dead_letters: Vec<Vec<u8>>,
    /// Audiences whose ids are yet to be committed, and those that were.
    audiences: Vec<(AudienceKey, Arc<str>)>,
    remembered: HashSet<AudienceKey>,
    documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
}

#[derive(Debug)]
struct Pending {
    /// Stamped as it was read.
    record: UserRecord,
    is_new: bool,
    /// The timer that was fired.
    fired: Option<Time>,
    /// Her shadow, once it was set.
    shadow: Option<Option<Arc<Shadow>>>,
    profile_changed: bool,
    due_before: Option<Time>,
    due: Option<Time>,
    history: Vec<Arrival>,
    members: BTreeMap<AudienceKey, Option<Time>>,
    transitions: Vec<Line>,
}

/// What users are evaluated by.
pub struct Evaluator<'a> {
    /// The rules, laid out.
    pub plan: &'a Plan,
    /// How users come to them from earlier ones.
    pub successions: &'a [Succession],
    /// The modules.
    pub decide: &'a mut dyn Decide,
}

/// What a step of a group brought.
#[derive(Debug)]
pub struct Stepped {
    /// Who entered and left, in order.
    pub transitions: Vec<Transition>,
    /// When the user's timer was due, and when it is now.
    pub due_before: Option<Time>,
    /// The same, after the step.
    pub due: Option<Time>,
    /// Whether memberships changed.
    pub has_changed_members: bool,
    /// What it took.
    pub report: Report,
}

impl Group {
    /// An empty group that remembers that many users of earlier ones. A group must not outgrow it.
    pub fn new(recent: NonZeroUsize) -> Group {
        Group {
            users: HashMap::new(),
            order: Vec::new(),
            recent: LruCache::new(recent),
            recent_shadows: LruCache::new(recent),
            in_flight: HashMap::new(),
            supplies: Supplies::default(),
            dead_letters: Vec::new(),
            audiences: Vec::new(),
            remembered: HashSet::new(),
            documents: Vec::new(),
        }
    }

    /// How many users it holds.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        let others = self.dead_letters.is_empty() && self.audiences.is_empty();
        self.order.is_empty() && others && self.documents.is_empty()
    }

    /// Keeps the ids of a plan's audiences, to be committed before anybody can be in one, so that
    /// members can leave those that are removed.
    pub fn remember(&mut self, plan: &Plan) {
        for audience in plan.audiences() {
            if self.remembered.insert(audience.key) {
                self.audiences.push((audience.key, audience.id.clone()));
            }
        }
    }

    /// Keeps what was refused, to be committed with the rest.
    pub fn refuse(&mut self, dead_letters: impl IntoIterator<Item = Vec<u8>>) {
        self.dead_letters.extend(dead_letters);
    }

    /// Puts documents, or deletes them, with the rest.
    pub fn put(&mut self, documents: impl IntoIterator<Item = (Arc<str>, Option<Vec<u8>>)>) {
        self.documents.extend(documents);
    }

    /// Takes a step of a user, and keeps what it changed.
    ///
    /// # Errors
    /// When the store fails or what it holds of the user is damaged; the group is unchanged then.
    pub fn step(
        &mut self,
        store: &dyn Store,
        rules: Evaluator<'_>,
        key: &UserKey,
        messages: &[Message],
        now: Time,
    ) -> Result<Stepped, StepError> {
        let record = self.record(store, key)?;
        let step = self.run(store, rules, key, record.as_ref(), messages, now)?;
        Ok(self.keep(key, record, step))
    }

    /// Whether a user is to be read before her step is taken, where a store is shared.
    pub fn lacks(&self, key: &UserKey) -> bool {
        !self.users.contains_key(key) && !self.recent.contains(key)
    }

    /// Takes what was read of a user.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn learn(&mut self, key: UserKey, found: Found) -> Result<(), StoreError> {
        if found.is_damaged {
            return Err(StoreError::UserDamaged { key, table: "users" });
        }
        let shadow = found.shadow.as_deref().map(|bytes| Shadow::read(&key, bytes)).transpose()?;
        self.recent_shadows.put(key.clone(), shadow.map(Arc::new));
        self.recent.put(key, found.record);
        Ok(())
    }

    /// Reads all history that steps wait for.
    pub fn supply(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.supplies.read(store)
    }

    /// Lets go of the history that was read: all steps that waited for it were taken.
    pub fn discard_supplies(&mut self) {
        self.supplies.discard();
    }

    /// Whether a user is known.
    pub fn knows(&self, store: &dyn Store, key: &UserKey) -> Result<bool, StoreError> {
        Ok(self.record(store, key)?.is_some_and(|record| record.is_known()))
    }

    /// Whether a user has taken all of these messages already, by where their sources keep them.
    pub fn has_taken(
        &self,
        store: &dyn Store,
        key: &UserKey,
        messages: &[Message],
    ) -> Result<bool, StepError> {
        if messages.is_empty() || messages.iter().any(|message| message.origin.is_none()) {
            return Ok(false);
        }
        match self.record(store, key)?.filter(UserRecord::is_known) {
            Some(record) => {
                has_taken(&record.state, messages).map_err(|source| StepError::damaged(key, source))
            }
            None => Ok(false),
        }
    }

    /// Notes which timer a step of this group was brought about by.
    pub fn note_fired(&mut self, key: &UserKey, at: Time) {
        if let Some(pending) = self.users.get_mut(key) {
            pending.fired = Some(at.max(pending.fired.unwrap_or(at)));
        }
    }

    /// Lets go of everything that is known of a user, and of what this group changed of her: somebody else
    /// has written her.
    pub fn forget(&mut self, key: &UserKey) {
        self.recent.pop(key);
        self.recent_shadows.pop(key);
        self.in_flight.remove(key);
        if self.users.remove(key).is_some() {
            self.order.retain(|changed| changed != key);
        }
    }

    /// What is known of a user: by this group, by earlier ones, or by the store.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record(
        &self,
        store: &dyn Store,
        key: &UserKey,
    ) -> Result<Option<UserRecord>, StoreError> {
        match self.users.get(key) {
            Some(pending) => Ok(Some(pending.record.clone())),
            None => match self.recent.peek(key) {
                Some(record) => Ok(record.clone()),
                None => store.user(key),
            },
        }
    }

    /// Takes a step from a record, and keeps nothing of it.
    fn run(
        &mut self,
        store: &dyn Store,
        rules: Evaluator<'_>,
        key: &UserKey,
        record: Option<&UserRecord>,
        messages: &[Message],
        now: Time,
    ) -> Result<Step, StepError> {
        let mut history: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
        let record = record.filter(|record| record.is_known());
        for _ in 0..ROUNDS_MAX {
            let input = Input {
                state: record.map(|record| record.state.as_slice()),
                profile: record.map(|record| record.profile.as_slice()),
                messages,
                now,
                history: &history,
                verdicts: &verdicts,
                successions: rules.successions,
            };
            let outcome = step(rules.plan, input, rules.decide);
            match outcome.map_err(|source| StepError::damaged(key, source))? {
                Outcome::Needs(requests, told) => {
                    verdicts = told;
                    if store.is_shared() && self.supplies.lack(key, &requests) {
                        return Err(StepError::Awaits);
                    }
                    for request in requests {
                        let events = self.history(store, key, &request)?;
                        history.push((request, events));
                    }
                }
                Outcome::Done(step) => return Ok(*step),
            }
        }
        Err(StepError::endless(key))
    }

    /// A part of a user's history: what is stored, and what is yet to be.
    fn history(
        &self,
        store: &dyn Store,
        key: &UserKey,
        request: &Request,
    ) -> Result<Vec<Arrival>, StoreError> {
        let extent = request.extent;
        let mut events = match self.supplies.find(key, request) {
            Some(events) => events.to_vec(),
            None => store.history(key, request.event.as_deref(), extent.first, extent.last)?,
        };
        let unstored = self.in_flight.get(key).into_iter().flatten();
        let pending = self.users.get(key).into_iter().flat_map(|user| &user.history);
        events.extend(unstored.chain(pending).filter(|arrival| request.covers(arrival)).cloned());
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        // The last group may have been committed in the meantime.
        events.dedup_by_key(|arrival| arrival.number);
        Ok(events)
    }

    /// Keeps what a step changed of a user, of whom that was known.
    fn keep(&mut self, key: &UserKey, record: Option<UserRecord>, step: Step) -> Stepped {
        let pending = self.users.entry(key.clone()).or_insert_with(|| {
            self.order.push(key.clone());
            Pending {
                is_new: !record.as_ref().is_some_and(UserRecord::is_known),
                record: record.unwrap_or_default(),
                fired: None,
                shadow: None,
                profile_changed: false,
                due_before: step.due_before,
                due: None,
                history: Vec::new(),
                members: BTreeMap::new(),
                transitions: Vec::new(),
            }
        });
        pending.record.state = Arc::new(step.state);
        if let Some(profile) = step.profile {
            pending.record.profile = Arc::new(profile);
            pending.profile_changed = true;
        }
        pending.due = step.due;
        pending.history.extend(step.history);
        let has_changed_members = !step.members.is_empty();
        pending.members.extend(step.members);
        pending.transitions.extend(
            step.transitions.iter().map(|transition| Line {
                number: transition.number,
                json: to_line(key, transition),
            }),
        );
        Stepped {
            transitions: step.transitions,
            due_before: step.due_before,
            due: step.due,
            has_changed_members,
            report: step.report,
        }
    }

    /// Takes everything out, to be committed at that clock. The commit before it must be complete.
    pub fn take(&mut self, clock: Time, made: Time) -> Commit {
        let mut users = std::mem::take(&mut self.users);
        self.in_flight.clear();
        let mut commits = Vec::with_capacity(self.order.len());
        for key in std::mem::take(&mut self.order) {
            let Some(pending) = users.remove(&key) else { continue };
            if !pending.history.is_empty() {
                self.in_flight.insert(key.clone(), pending.history.clone());
            }
            let stamp = pending.record.stamp;
            let next = stamp.after(pending.due, pending.fired);
            let (state, profile) = (pending.record.state, pending.record.profile);
            let record =
                UserRecord { state: state.clone(), profile: profile.clone(), stamp: next.clone() };
            self.recent.put(key.clone(), Some(record));
            let shadow = pending.shadow.map(|shadow| {
                self.recent_shadows.put(key.clone(), shadow.clone());
                shadow.map(|shadow| Arc::new(shadow.encode()))
            });
            commits.push(UserCommit {
                key,
                state: Some(state),
                profile: pending.profile_changed.then_some(profile),
                due_before: pending.due_before,
                due: pending.due,
                history: pending.history,
                members: pending.members.into_iter().collect(),
                transition: pending.transitions.last().map_or(0, |line| line.number),
                transitions: pending.transitions,
                shadow,
                is_new: pending.is_new,
                fired: pending.fired,
                stamp,
                next,
            });
        }
        let dead_letters = std::mem::take(&mut self.dead_letters);
        let audiences = std::mem::take(&mut self.audiences);
        let documents = std::mem::take(&mut self.documents);
        let (users, kept_ms, forgotten) = (commits, HashMap::new(), HashMap::new());
        Commit { clock, made, users, dead_letters, audiences, documents, kept_ms, forgotten }
    }
}
