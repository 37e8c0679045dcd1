//! A user's rows: written in a commit, and read back as a history.

use super::EmbeddedStore;
use super::keys::{self, Parts};
use crate::store::{StoreError, UserCommit, UserKey};
use fjall::OwnedWriteBatch;
use muster_core::codec::{Reader, put_arrivals};
use muster_core::{Arrival, Time};
use std::sync::Arc;

/// How much time one row of history spans at the most, so that a read of a span need look only so
/// far before it for rows that reach into it.
pub(super) const HISTORY_ROW_SPAN_MS: i64 = 3_600_000;

impl EmbeddedStore {
    pub(super) fn put_user(&self, batch: &mut OwnedWriteBatch, user: UserCommit) {
        let tables = &self.tables;
        let key = keys::user(&user.key);
        if let Some(state) = user.state {
            batch.insert(&tables.users, key.as_slice(), state);
        }
        if let Some(profile) = user.profile {
            batch.insert(&tables.profiles, key.as_slice(), profile);
        }
        if user.due_before != user.due {
            if let Some(due) = user.due_before {
                batch.remove(&tables.timers, keys::timer(due, &user.key));
            }
            if let Some(due) = user.due {
                batch.insert(&tables.timers, keys::timer(due, &user.key), []);
            }
        }
        for (audience, since) in user.members {
            let member = keys::member(&user.key.workspace, audience, &user.key.user);
            match since {
                Some(since) => batch.insert(&tables.members, member, keys::ordered(since)),
                None => batch.remove(&tables.members, member),
            }
        }
        self.put_history(batch, &user.key, user.history);
    }

    pub(super) fn put_history(
        &self,
        batch: &mut OwnedWriteBatch,
        key: &UserKey,
        mut events: Vec<Arrival>,
    ) {
        events.sort_by(|one, other| {
            let order = |a: &Arrival| (a.event.time, a.number);
            one.event.name.cmp(&other.event.name).then(order(one).cmp(&order(other)))
        });
        let in_one_row = |one: &[Arrival], next: &Arrival| {
            let first = one[0].event.time.milliseconds();
            one[0].event.name == next.event.name
                && next.event.time.milliseconds() - first <= HISTORY_ROW_SPAN_MS
        };
        let mut rest = events.as_slice();
        while let Some(first) = rest.first() {
            let length = (1..rest.len()).find(|at| !in_one_row(rest, &rest[*at]));
            let (row, after) = rest.split_at(length.unwrap_or(rest.len()));
            let prefix = keys::history_prefix(key, Some(&first.event.name));
            let mut value = Vec::with_capacity(64 * row.len());
            put_arrivals(&mut value, row);
            let at = keys::history(&prefix, first.event.time, first.number);
            batch.insert(&self.tables.history, at, value);
            rest = after;
        }
    }

    pub(super) fn rows(
        &self,
        prefix: &[u8],
        name: &Arc<str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError> {
        let before = from.milliseconds().saturating_sub(HISTORY_ROW_SPAN_MS);
        let before = Time::from_milliseconds(before).unwrap_or(Time::MIN);
        let range = keys::history(prefix, before, 0)..=keys::history(prefix, to, u64::MAX);
        let mut events = Vec::new();
        for guard in self.tables.history.range(range) {
            let (_, value) = self.pair(guard)?;
            let row = Reader::new(&value).arrivals(name);
            let row = row.map_err(|_| StoreError::Damaged { table: "history" })?;
            events.extend(row.into_iter().filter(|a| a.event.time >= from && a.event.time <= to));
        }
        Ok(events)
    }

    /// The names of a user's events.
    pub(super) fn names(&self, key: &UserKey) -> Result<Vec<Arc<str>>, StoreError> {
        let all = keys::history_prefix(key, None);
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut from = all.clone();
        loop {
            let next = self.tables.history.range(from..).next();
            let Some(guard) = next else { return Ok(names) };
            let (found, _) = self.pair(guard)?;
            let Some(rest) = found.strip_prefix(all.as_slice()) else { return Ok(names) };
            let name = Parts(rest).text().ok_or(StoreError::Damaged { table: "history" })?;
            // On to the first key after all those of this name.
            from = keys::history_prefix(key, Some(&name));
            from.pop();
            from.push(1);
            names.push(name);
        }
    }
}
