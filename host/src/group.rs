//! A group of users whose steps are committed together.
//!
//! Until the commit, what the steps changed is here and not in the store: whoever steps a user
//! looks here first.

use crate::store::{Commit, Store, StoreError, UserCommit, UserKey, UserRecord};
use crate::transitions::to_line;
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
    /// What the last group taken adds to histories.
    in_flight: HashMap<UserKey, Vec<Arrival>>,
    dead_letters: Vec<Vec<u8>>,
    /// Audiences whose ids are yet to be committed, and those that were.
    audiences: Vec<(AudienceKey, Arc<str>)>,
    remembered: HashSet<AudienceKey>,
}

#[derive(Debug)]
struct Pending {
    record: UserRecord,
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

impl Group {
    /// An empty group that remembers that many users of earlier ones. A group must not outgrow it.
    pub fn new(recent: NonZeroUsize) -> Group {
        Group {
            users: HashMap::new(),
            order: Vec::new(),
            recent: LruCache::new(recent),
            in_flight: HashMap::new(),
            dead_letters: Vec::new(),
            audiences: Vec::new(),
            remembered: HashSet::new(),
        }
    }

    /// How many users it holds.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty() && self.dead_letters.is_empty() && self.audiences.is_empty()
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
        let fetched;
        let record = match self.users.get(key) {
            Some(pending) => Some(&pending.record),
            None => {
                fetched = match self.recent.peek(key) {
                    Some(_) => None,
                    None => store.user(key)?,
                };
                self.recent.peek(key).or(fetched.as_ref())
            }
        };
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
            let damaged = |source| {
                let (workspace, user) = (key.workspace.clone(), key.user.clone());
                StepError::Damaged { workspace, user, source }
            };
            match step(rules.plan, input, rules.decide).map_err(damaged)? {
                Outcome::Needs(requests, told) => {
                    verdicts = told;
                    for request in requests {
                        let events = self.history(store, key, &request)?;
                        history.push((request, events));
                    }
                }
                Outcome::Done(step) => {
                    let profile = record.map(|record| record.profile.clone());
                    return Ok(self.keep(key, profile.unwrap_or_default(), *step));
                }
            }
        }
        Err(StepError::Endless { workspace: key.workspace.clone(), user: key.user.clone() })
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

    fn keep(&mut self, key: &UserKey, profile: Arc<Vec<u8>>, step: Step) -> Stepped {
        let pending = self.users.entry(key.clone()).or_insert_with(|| {
            self.order.push(key.clone());
            Pending {
                record: UserRecord { state: Arc::default(), profile },
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
        pending.members.extend(step.members);
        pending.transitions.extend(step.transitions.iter().map(|t| to_line(key, t)));
        Stepped {
            transitions: step.transitions,
            due_before: step.due_before,
            due: step.due,
            report: step.report,
        }
    }

    /// Takes everything out, to be committed at that clock. The commit before it must be complete.
    pub fn take(&mut self, clock: Time) -> Commit {
        let mut users = std::mem::take(&mut self.users);
        self.in_flight.clear();
        let mut commits = Vec::with_capacity(self.order.len());
        for key in std::mem::take(&mut self.order) {
            let Some(pending) = users.remove(&key) else { continue };
            if !pending.history.is_empty() {
                self.in_flight.insert(key.clone(), pending.history.clone());
            }
            self.recent.put(key.clone(), pending.record.clone());
            commits.push(UserCommit {
                key,
                state: Some(pending.record.state),
                profile: pending.profile_changed.then_some(pending.record.profile),
                due_before: pending.due_before,
                due: pending.due,
                history: pending.history,
                members: pending.members.into_iter().collect(),
                transitions: pending.transitions,
            });
        }
        let dead_letters = std::mem::take(&mut self.dead_letters);
        let audiences = std::mem::take(&mut self.audiences);
        Commit { clock, users: commits, dead_letters, audiences }
    }
}
