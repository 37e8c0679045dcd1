//! A group of users whose steps are committed together.
//!
//! Until the commit, what the steps changed is here and not in the store: whoever steps a user
//! looks here first.

mod beside;

pub use beside::{Beside, Compared};

use crate::store::{Commit, Store, StoreError, UserCommit, UserKey, UserRecord};
use crate::transitions::to_line;
use beside::Shadow;
use lru::LruCache;
use muster_core::codec::Damaged;
use muster_core::{
    Arrival, AudienceKey, Decide, Input, Message, Outcome, Plan, Report, Request, Step, Succession,
    Time, Transition, Verdicts, step,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

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
    /// still be under way.
    recent: LruCache<UserKey, UserRecord>,
    /// The same of their shadows, of those that were looked for.
    recent_shadows: LruCache<UserKey, Option<Arc<Shadow>>>,
    /// What the last group taken adds to histories.
    in_flight: HashMap<UserKey, Vec<Arrival>>,
    dead_letters: Vec<Vec<u8>>,
    /// Audiences whose ids are yet to be committed, and those that were.
    audiences: Vec<(AudienceKey, Arc<str>)>,
    remembered: HashSet<AudienceKey>,
    documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
}

#[derive(Debug)]
struct Pending {
    record: UserRecord,
    is_new: bool,
    /// Her shadow, once it was set.
    shadow: Option<Option<Arc<Shadow>>>,
    profile_changed: bool,
    due_before: Option<Time>,
    due: Option<Time>,
    history: Vec<Arrival>,
    members: BTreeMap<AudienceKey, Option<Time>>,
    transitions: Vec<Vec<u8>>,
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

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's stored state does not decode.
    #[error(
        "the stored state of user `{user}` in workspace `{workspace}` is damaged: restore it from a backup"
    )]
    Damaged {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
        /// What the core said.
        source: Damaged,
    },
    /// The step asked for history again and again.
    #[error("user `{user}` in workspace `{workspace}` needs more history than can be read")]
    Endless {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
    },
}

impl StepError {
    fn damaged(key: &UserKey, source: Damaged) -> StepError {
        let (workspace, user) = (key.workspace.clone(), key.user.clone());
        StepError::Damaged { workspace, user, source }
    }

    fn endless(key: &UserKey) -> StepError {
        StepError::Endless { workspace: key.workspace.clone(), user: key.user.clone() }
    }
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
        Ok(self.keep(key, record.map(|record| record.profile), step))
    }

    /// What is known of a user: by this group, by earlier ones, or by the store.
    fn record(&self, store: &dyn Store, key: &UserKey) -> Result<Option<UserRecord>, StoreError> {
        match self.users.get(key) {
            Some(pending) => Ok(Some(pending.record.clone())),
            None => match self.recent.peek(key) {
                Some(record) => Ok(Some(record.clone())),
                None => store.user(key),
            },
        }
    }

    /// Takes a step from a record, and keeps nothing of it.
    fn run(
        &self,
        store: &dyn Store,
        rules: Evaluator<'_>,
        key: &UserKey,
        record: Option<&UserRecord>,
        messages: &[Message],
        now: Time,
    ) -> Result<Step, StepError> {
        let mut history: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
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
        let mut events = store.history(key, request.event.as_deref(), extent.first, extent.last)?;
        let unstored = self.in_flight.get(key).into_iter().flatten();
        let pending = self.users.get(key).into_iter().flat_map(|user| &user.history);
        events.extend(unstored.chain(pending).filter(|arrival| request.covers(arrival)).cloned());
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        // The last group may have been committed in the meantime.
        events.dedup_by_key(|arrival| arrival.number);
        Ok(events)
    }

    /// Keeps what a step changed of a user, whose profile was that if she was known.
    fn keep(&mut self, key: &UserKey, profile: Option<Arc<Vec<u8>>>, step: Step) -> Stepped {
        let pending = self.users.entry(key.clone()).or_insert_with(|| {
            self.order.push(key.clone());
            Pending {
                is_new: profile.is_none(),
                record: UserRecord { state: Arc::default(), profile: profile.unwrap_or_default() },
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
        pending.transitions.extend(step.transitions.iter().map(|t| to_line(key, t)));
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
            self.recent.put(key.clone(), pending.record.clone());
            let shadow = pending.shadow.map(|shadow| {
                self.recent_shadows.put(key.clone(), shadow.clone());
                shadow.map(|shadow| Arc::new(shadow.encode()))
            });
            commits.push(UserCommit {
                key,
                state: Some(pending.record.state),
                profile: pending.profile_changed.then_some(pending.record.profile),
                due_before: pending.due_before,
                due: pending.due,
                history: pending.history,
                members: pending.members.into_iter().collect(),
                transitions: pending.transitions,
                shadow,
                is_new: pending.is_new,
            });
        }
        let dead_letters = std::mem::take(&mut self.dead_letters);
        let audiences = std::mem::take(&mut self.audiences);
        let documents = std::mem::take(&mut self.documents);
        Commit { clock, made, users: commits, dead_letters, audiences, documents }
    }
}
