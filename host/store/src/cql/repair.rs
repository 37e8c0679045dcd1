//! Repairing a user whose row does not decode: from what of it does, from the index of members, and from her
//! history, which the rules in force decide her anew by.
//!
//! What is there of her is not deleted first: what was told and who is in which audience is written in the
//! order of transitions, timers in that of versions, and a deletion by the machine's clock would have all of
//! that deleted which is written of her afterwards.

use super::Shared;
use super::documents::applied;
use super::error::CqlError;
use super::index::shard_of;
use super::pending;
use super::session::Backoff;
use crate::{Untold, UserKey, Version};
use futures_util::future::{try_join, try_join_all};
use muster_core::codec::{Damaged, Reader};
use muster_core::{AudienceKey, Counts, Memberships, Profile, Time, anew, check_state};
use muster_core::{due, transitions};
use scylla::value::{CqlValue, MaybeUnset};
use std::collections::BTreeMap;

/// So many numbers of transitions are left out where it is not known how many there were: far more than can
/// be yet to be told.
const TRANSITIONS_LEAP: u64 = 1_000_000;
/// What is further is no number of a transition: as the order of writes it would be later than now.
const TRANSITIONS_MAX: u64 = 1 << 50;
/// So many versions are left out where it is not known how many there were: who is written ten times a second
/// has as many in three years.
const VERSIONS_LEAP: u32 = 1 << 30;
/// Rows of history that an error names at the most.
const ROWS_NAMED_MAX: usize = 8;

/// What was damaged of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The version of her row.
    Version,
    /// Her state, or it tells of fewer transitions than were told.
    State,
    /// Her profile.
    Profile,
    /// What was yet to be told of her.
    Untold,
    /// The instant under which her timer is found.
    Timer,
    /// What is kept of her for rules or an engine that are tried.
    Shadow,
    /// Who is in which audience, of her.
    Members,
}

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing is kept of the user.
    Unknown,
    /// Nothing of her is damaged, and nothing was changed.
    Whole,
    /// She was repaired.
    Done(Repaired),
}

/// What a repair found of a user, and what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What was damaged.
    pub damaged: Vec<Damage>,
    /// Whether it is still known how far her messages were taken.
    pub keeps_positions: bool,
    /// The audiences that she is in.
    pub memberships: usize,
    /// The events of her history.
    pub events: usize,
    /// The number that her transitions go on from.
    pub transitions: u64,
}

/// A user's row, of which each part decodes or does not.
struct Row {
    version: Option<Vec<u8>>,
    state: Vec<u8>,
    profile: Result<Profile, Damaged>,
    shadow: Option<Vec<u8>>,
    hint: Option<i64>,
    untold: Result<Option<Untold>, Damaged>,
    told: Option<i64>,
    /// Whether there is a version at the most.
    is_empty: bool,
}

/// What there is of a user's history.
struct History {
    events: usize,
    /// The number of the latest arrival.
    arrivals: u64,
}

/// What the index says of a user: since when she is in an audience, and by which transition.
type Index = BTreeMap<AudienceKey, Option<(Time, u64)>>;

/// What is to be written of a user.
struct Mend {
    /// The version that it makes.
    version: Version,
    /// What stays as it is is none.
    state: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    members: Vec<(AudienceKey, Option<Time>)>,
    found: Repaired,
}

impl Shared {
    /// Repairs a user, if anything of her is damaged. Whether a shadow decodes is for whoever keeps them to
    /// say.
    pub(super) async fn repair(
        &self,
        key: &UserKey,
        is_shadow: &dyn Fn(&[u8]) -> bool,
        clock_max: Time,
    ) -> Result<Repair, CqlError> {
        let mut backoff = Backoff::default();
        let mut tried: Option<Mend> = None;
        loop {
            let Some(row) = self.read_row(key).await? else { return Ok(Repair::Unknown) };
            // An attempt of which nothing was told may have counted.
            let found = row.version.as_deref();
            if let Some(mend) = tried.filter(|mend| found == Some(&mend.version.to_bytes())) {
                return self.write_index(key, mend).await;
            }
            let (history, index) =
                try_join(self.look_through_history(key), self.read_index(key, &row)).await?;
            if row.is_empty && history.events == 0 {
                return Ok(Repair::Unknown);
            }
            let at = self.clock().min(clock_max).previous();
            let Some(mend) = row.mend(&history, &index, at, is_shadow) else {
                return Ok(Repair::Whole);
            };
            if self.write_mend(key, &row, &mend, at).await? {
                return self.write_index(key, mend).await;
            }
            tried = Some(mend);
            self.database.pause(&mut backoff).await?;
        }
    }

    async fn read_row(&self, key: &UserKey) -> Result<Option<Row>, CqlError> {
        let (statement, names) = (&self.statements.user_serial, (&*key.workspace, &*key.user));
        let rows = self.database.rows::<super::rows::Columns>("repair", statement, names).await?;
        let row = rows.into_iter().next();
        Ok(row.map(|(version, state, profile, shadow, hint, untold, told)| Row {
            is_empty: [&state, &profile, &untold].iter().all(|column| column.is_none())
                && told.is_none(),
            version,
            state: state.unwrap_or_default(),
            profile: profile.ok_or(Damaged).and_then(|profile| Profile::decode(&profile)),
            shadow,
            hint,
            untold: untold.map(|untold| pending::decode(&untold)).transpose(),
            told,
        }))
    }

    /// Sees what there is of a user's history.
    ///
    /// # Errors
    /// When a row of it does not decode: its events are nowhere else.
    async fn look_through_history(&self, key: &UserKey) -> Result<History, CqlError> {
        type Columns = (Option<String>, Option<i64>, Option<i64>, Option<Vec<u8>>);
        let (statement, names) = (&self.statements.history_rows, (&*key.workspace, &*key.user));
        let rows = self.database.rows::<Columns>("repair", statement, names).await?;
        let mut history = History { events: 0, arrivals: 0 };
        let mut damaged = Vec::new();
        for (event, at, number, arrivals) in rows {
            // Where there are no rows, what there is one of has one without any.
            let (Some(event), Some(at), Some(number)) = (event, at, number) else { continue };
            match Reader::new(&arrivals.unwrap_or_default()).arrivals(&event.as_str().into()) {
                Ok(arrivals) => {
                    history.events += arrivals.len();
                    let latest = arrivals.iter().map(|arrival| arrival.number).max();
                    history.arrivals = latest.unwrap_or(0).max(history.arrivals);
                }
                Err(Damaged) => damaged.push((event, at, number)),
            }
        }
        if damaged.is_empty() {
            return Ok(history);
        }
        let deletion = |(event, at, number): &(String, i64, i64)| {
            let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
            format!(
                "DELETE FROM {}.users WHERE workspace = {} AND user = {} AND event = {} AND at = {at} AND number = {number};",
                self.database.keyspace,
                text(&key.workspace),
                text(&key.user),
                text(event),
            )
        };
        let deletions: Vec<String> = damaged.iter().take(ROWS_NAMED_MAX).map(deletion).collect();
        Err(CqlError::HistoryDamaged {
            key: key.clone(),
            rows: damaged.len(),
            deletions: deletions.join(" "),
        })
    }

    /// What the index says of a user, of every audience that there ever was and those that she is in.
    async fn read_index(&self, key: &UserKey, row: &Row) -> Result<Index, CqlError> {
        let all = self.read_audience_ids().await?.into_iter().map(|(audience, _)| audience);
        let own = row.profile.iter().flat_map(|profile| profile.memberships.iter());
        let changed = row.untold.iter().flatten().flat_map(|untold| untold.members.iter().copied());
        let named = own.map(|(audience, _)| audience).chain(changed.map(|(audience, _)| audience));
        let mut index: Index = all.chain(named).map(|audience| (audience, None)).collect();
        let part = shard_of(key);
        try_join_all(index.iter_mut().map(async |(audience, found)| {
            let values = (&*key.workspace, audience.bits().cast_signed(), part, &*key.user);
            let statement = &self.statements.member;
            let rows = self.database.rows::<(i64, i64)>("repair", statement, values).await?;
            *found = rows.first().and_then(|(since, transition)| {
                Some((Time::from_milliseconds(*since)?, u64::try_from(*transition).ok()?))
            });
            Ok::<_, CqlError>(())
        }))
        .await?;
        Ok(index)
    }

    /// Writes a row, if it is as it was read, and before it the timer by which an instance finds it. Says
    /// whether it is known to be written.
    async fn write_mend(
        &self,
        key: &UserKey,
        row: &Row,
        mend: &Mend,
        at: Time,
    ) -> Result<bool, CqlError> {
        self.write_timer(at, key, Some(mend.version)).await?;
        let kept = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => MaybeUnset::Set(Some(CqlValue::Blob(bytes.clone()))),
            None => MaybeUnset::Unset,
        };
        let set = |value| MaybeUnset::Set(Some(value));
        let values = vec![
            set(CqlValue::Blob(mend.version.to_bytes().to_vec())),
            kept(&mend.state),
            kept(&mend.profile),
            // Beside what was made anew it would differ for no reason of the rules that are tried.
            MaybeUnset::Set(None),
            set(CqlValue::BigInt(at.milliseconds())),
            if row.untold.is_ok() { MaybeUnset::Unset } else { MaybeUnset::Set(None) },
            set(CqlValue::Text(key.workspace.to_string())),
            set(CqlValue::Text(key.user.to_string())),
            MaybeUnset::Set(row.version.clone().map(CqlValue::Blob)),
        ];
        let answer =
            self.database.decide_one("repair", &self.statements.write_user, values).await?;
        Ok(answer.map(applied).transpose()?.is_some_and(|applied| applied.is_applied))
    }

    /// Writes what follows from a row: who is in which audience. All of it, since somebody may yet be writing
    /// what followed from the row before.
    async fn write_index(&self, key: &UserKey, mend: Mend) -> Result<Repair, CqlError> {
        let transition = mend.found.transitions;
        let members = mend.members.iter();
        try_join_all(
            members.map(|(audience, since)| self.write_member(key, *audience, *since, transition)),
        )
        .await?;
        Ok(Repair::Done(mend.found))
    }
}

impl Row {
    /// What is to be written, if anything is damaged. An instance looks at her timer as soon as the clock is
    /// past `at`.
    fn mend(
        &self,
        history: &History,
        index: &Index,
        at: Time,
        is_shadow: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Mend> {
        let known = self.known_transitions(index);
        let counted = transitions(&self.state).ok();
        let counted = counted.filter(|counted| (known..=TRANSITIONS_MAX).contains(counted));
        let whole = counted.filter(|_| check_state(&self.state).is_ok());
        let memberships = match &self.profile {
            Ok(profile) => profile.memberships.clone(),
            Err(Damaged) => self.indexed(index),
        };
        let damages = [
            (Damage::Version, self.stood().is_none()),
            (Damage::State, whole.is_none()),
            (Damage::Profile, self.profile.is_err()),
            (Damage::Untold, self.untold.is_err()),
            (Damage::Timer, !self.is_found_by_timer(whole.is_some())),
            (Damage::Shadow, self.shadow.as_ref().is_some_and(|shadow| !is_shadow(shadow))),
            (Damage::Members, !is_in_index(&memberships, index)),
        ];
        let damaged = damages.into_iter().filter(|(_, is_so)| *is_so).map(|(damage, _)| damage);
        let damaged: Vec<Damage> = damaged.collect();
        if damaged.is_empty() {
            return None;
        }
        let transitions = whole.unwrap_or(counted.unwrap_or(known) + TRANSITIONS_LEAP);
        let state = (whole.is_none() || self.profile.is_err()).then(|| {
            let counts = Counts { arrivals: history.arrivals, transitions };
            anew(Some(&self.state), counts, at.next())
        });
        let version = match self.stood() {
            Some(version) => Version::after(Some(version)),
            None => Version::beyond(VERSIONS_LEAP),
        };
        let member = |audience: &AudienceKey| (*audience, memberships.since(*audience));
        let members = index.keys().map(member).collect();
        let found = Repaired {
            damaged,
            keeps_positions: due(&self.state).is_ok(),
            memberships: memberships.iter().len(),
            events: history.events,
            transitions,
        };
        let profile = Profile { memberships, ..Profile::default() };
        let profile = self.profile.is_err().then(|| profile.encode());
        Some(Mend { version, state, profile, members, found })
    }

    /// The version that her row has, if it is one.
    fn stood(&self) -> Option<Version> {
        self.version.clone()?.try_into().ok().map(Version::from_bytes)
    }

    /// How many transitions there were at least, by what is beside the state.
    fn known_transitions(&self, index: &Index) -> u64 {
        let told = self.told.and_then(|told| u64::try_from(told).ok());
        let untold = self.untold.iter().flatten().flat_map(|untold| &untold.lines);
        let indexed = index.values().flatten().map(|(_, transition)| *transition);
        let all = told.into_iter().chain(untold.map(|line| line.number)).chain(indexed);
        all.filter(|number| *number <= TRANSITIONS_MAX).max().unwrap_or(0)
    }

    /// The audiences that a user is in by the index, and by what may not have come to be there yet.
    fn indexed(&self, index: &Index) -> Memberships {
        let mut since: BTreeMap<AudienceKey, Option<Time>> = index
            .iter()
            .map(|(audience, found)| (*audience, found.map(|(since, _)| since)))
            .collect();
        since.extend(self.untold.iter().flatten().flat_map(|untold| untold.members.clone()));
        since.into_iter().filter_map(|(audience, since)| Some((audience, since?))).collect()
    }

    /// Whether her timer is found when it is due, as far as her state tells when that is.
    fn is_found_by_timer(&self, has_state: bool) -> bool {
        let hint = self.hint.map(Time::from_milliseconds);
        let due = due(&self.state).ok().flatten().filter(|_| has_state);
        match (hint, due) {
            (Some(None), _) | (None, Some(_)) => false,
            (Some(Some(hint)), Some(due)) => hint <= due,
            (_, None) => true,
        }
    }
}

/// Whether the index says of a user what her memberships do.
fn is_in_index(memberships: &Memberships, index: &Index) -> bool {
    let indexed = |(audience, found): (&AudienceKey, &Option<(Time, u64)>)| {
        memberships.since(*audience) == found.map(|(since, _)| since)
    };
    index.iter().all(indexed)
}
