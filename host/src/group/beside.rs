//! Users evaluated twice: by what counts, and beside it by what is tried.
//!
//! A user's *shadow* is a second record of her, which begins as the first one and is stepped by other
//! rules or another engine with the same messages. Nothing of it is published. Her timer is the
//! earlier one of both records: each may find that nothing is due.

use super::{Evaluator, Group, StepError, Stepped};
use crate::store::{Stamp, Store, StoreError, UserKey, UserRecord};
use muster_core::codec::Damaged;
use muster_core::{
    Arrival, AudienceKey, Explanation, Ground, Input, Memberships, Message, Profile, Report,
    Request, Time, Verdicts, check_state, due, explain,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A user's second record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shadow {
    /// Which trial it is of.
    since: u64,
    record: UserRecord,
}

/// What users are evaluated by beside what counts.
pub struct Beside<'a> {
    /// The rules.
    pub rules: Evaluator<'a>,
    /// Which trial it is: shadows of another one are begun anew.
    pub since: u64,
}

/// How the two records of a user compare.
#[derive(Debug)]
pub struct Compared {
    /// The audiences in which they differ since this step.
    pub appeared: Vec<AudienceKey>,
    /// Her record.
    pub counts: UserRecord,
    /// Her shadow.
    pub shadow: UserRecord,
    /// What the shadow's step took.
    pub report: Report,
}

impl Compared {
    /// Whether she is a member by what counts, and by her shadow.
    pub fn memberships(&self, audience: AudienceKey) -> Result<(bool, bool), Damaged> {
        let is_in = |record| Ok(members(record)?.since(audience).is_some());
        Ok((is_in(&self.counts)?, is_in(&self.shadow)?))
    }
}

impl Group {
    /// Takes a step of a user of a workspace in which shadows are or were: of her and of her shadow,
    /// or with nothing beside, so that her shadow ends.
    ///
    /// # Errors
    /// When the store fails or what it holds of the user is damaged; the group is unchanged then.
    pub fn step_tried(
        &mut self,
        store: &dyn Store,
        rules: Evaluator<'_>,
        beside: Option<Beside<'_>>,
        key: &UserKey,
        messages: &[Message],
        now: Time,
    ) -> Result<(Stepped, Option<Compared>), StepError> {
        let damaged = |source| StepError::damaged(key, source);
        let before = self.record(store, key)?;
        let shadow = self.shadow(store, key)?;
        let shadow_due = match &shadow {
            Some(shadow) => due(&shadow.record.state).map_err(damaged)?,
            None => None,
        };
        let Some(Beside { rules: others, since }) = beside else {
            let mut stepped = self.step(store, rules, key, messages, now)?;
            if shadow.is_some() {
                self.set_shadow(key, None, shadow_due, None);
                stepped.due_before = earlier(stepped.due_before, shadow_due);
            }
            return Ok((stepped, None));
        };
        let shadow = shadow.filter(|shadow| shadow.since == since);
        let base = shadow.as_ref().map(|shadow| &shadow.record).or(before.as_ref());
        let other = self.run(store, others, key, base, messages, now)?;
        let other_before = base.cloned().unwrap_or_default();
        let (state, profile) = (Arc::new(other.state), other.profile.map(Arc::new));
        let profile = profile.unwrap_or(other_before.profile.clone());
        let record = UserRecord { state, profile, stamp: Stamp::default() };
        let mut stepped = self.step(store, rules, key, messages, now)?;
        let counts = self.record(store, key)?.unwrap_or_default();
        let was_compared = shadow.is_some();
        self.set_shadow(key, Some(Shadow { since, record: record.clone() }), shadow_due, other.due);
        stepped.due_before = earlier(stepped.due_before, shadow_due);
        stepped.due = earlier(stepped.due, other.due);
        let mut appeared = Vec::new();
        let may_differ = !was_compared || !other.members.is_empty() || stepped.has_changed_members;
        if may_differ {
            let before = before.filter(|_| was_compared);
            let known = match &before {
                Some(before) => differing(before, &other_before).map_err(damaged)?,
                None => BTreeSet::new(),
            };
            let found = differing(&counts, &record).map_err(damaged)?;
            appeared.extend(found.difference(&known));
        }
        let compared = Compared { appeared, counts, shadow: record, report: other.report };
        Ok((stepped, Some(compared)))
    }

    /// What a record's last decision in an audience rests on.
    ///
    /// # Errors
    /// When the store fails or what it holds of the user is damaged.
    pub fn explain(
        &self,
        store: &dyn Store,
        rules: Evaluator<'_>,
        key: &UserKey,
        record: &UserRecord,
        audience: AudienceKey,
    ) -> Result<Vec<Ground>, StepError> {
        let mut history: Vec<(Request, Vec<Arrival>)> = Vec::new();
        let mut verdicts = Verdicts::default();
        for _ in 0..super::ROUNDS_MAX {
            let input = Input {
                state: Some(&record.state),
                profile: Some(&record.profile),
                messages: &[],
                now: Time::MIN,
                history: &history,
                verdicts: &verdicts,
                successions: &[],
            };
            let explanation = explain(rules.plan, input, audience, rules.decide);
            match explanation.map_err(|source| StepError::damaged(key, source))? {
                Explanation::Done(grounds) => return Ok(grounds),
                Explanation::Needs(requests, told) => {
                    verdicts = told;
                    for request in requests {
                        let events = self.history(store, key, &request)?;
                        history.push((request, events));
                    }
                }
            }
        }
        Err(StepError::endless(key))
    }

    /// Whether there is a shadow of a user.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_shadow(&mut self, store: &dyn Store, key: &UserKey) -> Result<bool, StepError> {
        Ok(self.shadow(store, key)?.is_some())
    }

    fn shadow(
        &mut self,
        store: &dyn Store,
        key: &UserKey,
    ) -> Result<Option<Arc<Shadow>>, StepError> {
        if let Some(shadow) = self.users.get(key).and_then(|pending| pending.shadow.as_ref()) {
            return Ok(shadow.clone());
        }
        if let Some(shadow) = self.recent_shadows.get(key) {
            return Ok(shadow.clone());
        }
        let shadow = match store.shadow(key)? {
            Some(bytes) => Some(Arc::new(Shadow::read(key, &bytes)?)),
            None => None,
        };
        self.recent_shadows.put(key.clone(), shadow.clone());
        Ok(shadow)
    }

    /// Sets the shadow of a user who was stepped just now, and when it is due.
    fn set_shadow(
        &mut self,
        key: &UserKey,
        shadow: Option<Shadow>,
        due_before: Option<Time>,
        due: Option<Time>,
    ) {
        let Some(pending) = self.users.get_mut(key) else { return };
        if pending.shadow.is_none() {
            pending.due_before = earlier(pending.due_before, due_before);
        }
        pending.shadow = Some(shadow.map(Arc::new));
        pending.due = earlier(pending.due, due);
    }
}

impl Shadow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (state, profile) = (&self.record.state, &self.record.profile);
        let mut out = Vec::with_capacity(16 + state.len() + profile.len());
        out.extend_from_slice(&self.since.to_le_bytes());
        out.extend_from_slice(&(state.len() as u64).to_le_bytes());
        out.extend_from_slice(state);
        out.extend_from_slice(profile);
        out
    }

    pub(super) fn read(key: &UserKey, bytes: &[u8]) -> Result<Shadow, StoreError> {
        let damaged = || StoreError::UserDamaged { key: key.clone(), table: "shadows" };
        Shadow::decode(bytes).ok_or_else(damaged)
    }

    fn decode(bytes: &[u8]) -> Option<Shadow> {
        let (since, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (state, profile) = rest.split_at_checked(length)?;
        let record = UserRecord {
            state: Arc::new(state.to_vec()),
            profile: Arc::new(profile.to_vec()),
            stamp: Stamp::default(),
        };
        Some(Shadow { since: u64::from_le_bytes(*since), record })
    }
}

/// Whether what is stored as a user's shadow decodes, all of it.
pub fn is_shadow(bytes: &[u8]) -> bool {
    Shadow::decode(bytes).is_some_and(|Shadow { record, .. }| {
        check_state(&record.state).is_ok() && members(&record).is_ok()
    })
}

fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter().chain(other).min()
}

fn members(record: &UserRecord) -> Result<Memberships, Damaged> {
    match record.profile.is_empty() {
        true => Ok(Memberships::default()),
        false => Ok(Profile::decode(&record.profile)?.memberships),
    }
}

/// The audiences of which a user is a member by one record alone.
fn differing(one: &UserRecord, other: &UserRecord) -> Result<BTreeSet<AudienceKey>, Damaged> {
    let keys = |record| -> Result<BTreeSet<AudienceKey>, Damaged> {
        Ok(members(record)?.iter().map(|(key, _)| key).collect())
    };
    Ok(keys(one)?.symmetric_difference(&keys(other)?).copied().collect())
}
