//! Reading users and their histories.

use super::Shared;
use super::error::CqlError;
use super::pending;
use crate::history::reaching;
use crate::{Found, Stamp, Untold, UserKey, UserRecord, Version, Wanted};
use futures_util::future::try_join_all;
use muster_core::codec::Reader;
use muster_core::{Arrival, Time};
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// The columns of a user that there is one of each.
pub(super) type Columns = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<i64>,
);

impl Shared {
    pub(super) async fn read_user(&self, key: &UserKey) -> Result<Found, CqlError> {
        self.read_user_by(&self.statements.user, key).await
    }

    /// Reads a user when everything that was being written of her has been decided.
    pub(super) async fn read_user_decided(&self, key: &UserKey) -> Result<Found, CqlError> {
        self.read_user_by(&self.statements.user_serial, key).await
    }

    async fn read_user_by(
        &self,
        statement: &PreparedStatement,
        key: &UserKey,
    ) -> Result<Found, CqlError> {
        let names = (&*key.workspace, &*key.user);
        let rows = self.database.rows::<Columns>("read_user", statement, names).await?;
        let Some((version, state, profile, shadow, hint, untold, told)) = rows.into_iter().next()
        else {
            return Ok(Found::default());
        };
        // History alone is what a time to live has not yet taken, of a user who is gone.
        let Some(version) = version else { return Ok(Found::default()) };
        let damaged = || CqlError::UserDamaged { key: key.clone() };
        let version = Version::from_bytes(version.try_into().map_err(|_| damaged())?);
        // Without one, the next commit writes one.
        let hint = hint.and_then(Time::from_milliseconds);
        let untold = match untold {
            Some(untold) => {
                let untold = pending::decode(&untold).map_err(|_| damaged())?;
                later_than(untold, told.unwrap_or(0))
            }
            None => None,
        };
        let stamp = Stamp { version: Some(version), hint, untold };
        let (state, profile) = (state.unwrap_or_default(), profile.unwrap_or_default());
        let record = UserRecord { state: Arc::new(state), profile: Arc::new(profile), stamp };
        Ok(Found { record: Some(record), shadow: shadow.map(Arc::new), is_damaged: false })
    }

    pub(super) async fn read_users(&self, keys: &[UserKey]) -> Result<Vec<Found>, CqlError> {
        try_join_all(keys.iter().map(|key| async {
            match self.read_user(key).await {
                Err(CqlError::UserDamaged { .. }) => {
                    Ok(Found { is_damaged: true, ..Found::default() })
                }
                found => found,
            }
        }))
        .await
    }

    pub(super) async fn read_history(&self, part: &Wanted) -> Result<Vec<Arrival>, CqlError> {
        if part.from > part.to {
            return Ok(Vec::new());
        }
        type Row = (Option<String>, Option<Vec<u8>>);
        let (workspace, user) = (&*part.key.workspace, &*part.key.user);
        let rows = match &part.event {
            None => {
                let statement = &self.statements.history;
                self.database.rows::<Row>("read_history", statement, (workspace, user)).await?
            }
            Some(event) => {
                let statement = &self.statements.history_of;
                let (from, to) = (reaching(part.from).milliseconds(), part.to.milliseconds());
                let values = (workspace, user, &**event, from, to);
                self.database.rows::<Row>("read_history", statement, values).await?
            }
        };
        let mut events = Vec::new();
        for (name, arrivals) in rows {
            // A user without history is one row without any.
            let Some((name, arrivals)) = name.zip(arrivals) else { continue };
            let row = Reader::new(&arrivals).arrivals(&name.into());
            let row = row.map_err(|_| CqlError::UserDamaged { key: part.key.clone() })?;
            let within = |a: &Arrival| a.event.time >= part.from && a.event.time <= part.to;
            events.extend(row.into_iter().filter(within));
        }
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        Ok(events)
    }

    pub(super) async fn read_histories(
        &self,
        wanted: &[Wanted],
    ) -> Result<Vec<Vec<Arrival>>, CqlError> {
        try_join_all(wanted.iter().map(|part| self.read_history(part))).await
    }
}

/// What was not told yet of what a row holds.
fn later_than(untold: Untold, told: i64) -> Option<Arc<Untold>> {
    let is_later = |number: u64| i64::try_from(number).is_ok_and(|number| number > told);
    let lines: Vec<_> = untold.lines.into_iter().filter(|line| is_later(line.number)).collect();
    (!lines.is_empty()).then(|| Arc::new(Untold { lines, members: untold.members }))
}
