//! A user's rows: written in a commit, and read back as a history.

use super::EmbeddedStore;
use super::keys::{self, Parts};
use super::tables::Tables;
use crate::history::{each_row, reaching};
use crate::{StoreError, UserCommit, UserKey};
use fjall::{OwnedWriteBatch, Slice};
use muster_core::codec::{Reader, put_arrivals};
use muster_core::{Arrival, Time};
use std::sync::Arc;

/// Keys, and values to put there; those without one are deleted.
type Rows = Vec<(Slice, Option<Slice>)>;

/// What a commit writes of its users, to be written table by table in the order of keys: where one
/// row goes, its neighbours are still in the processor's cache.
#[derive(Default)]
pub(super) struct UserRows {
    users: Rows,
    profiles: Rows,
    shadows: Rows,
    timers: Rows,
    members: Rows,
    history: Rows,
    // What keys and values are made in, to allocate neither twice.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl UserRows {
    pub(super) fn add(&mut self, user: UserCommit) {
        self.key.clear();
        keys::put_user(&mut self.key, &user.key);
        if let Some(state) = user.state {
            self.users.push((self.key.as_slice().into(), Some(state.as_slice().into())));
        }
        if let Some(profile) = user.profile {
            self.profiles.push((self.key.as_slice().into(), Some(profile.as_slice().into())));
        }
        if let Some(shadow) = user.shadow {
            let shadow = shadow.map(|shadow| shadow.as_slice().into());
            self.shadows.push((self.key.as_slice().into(), shadow));
        }
        self.add_history(user.history);
        if user.due_before != user.due {
            for (due, value) in [(user.due_before, None), (user.due, Some(Slice::empty()))] {
                let Some(due) = due else { continue };
                self.key.clear();
                keys::put_timer(&mut self.key, due, &user.key);
                self.timers.push((self.key.as_slice().into(), value));
            }
        }
        for (audience, since) in user.members {
            let member = keys::member(&user.key.workspace, audience, &user.key.user);
            self.members.push((member.into(), since.map(|since| keys::ordered(since).into())));
        }
    }

    /// Adds rows for events of the user whose key is being made.
    fn add_history(&mut self, events: Vec<Arrival>) {
        let user_bytes = self.key.len();
        each_row(events, |row| {
            let first = &row[0];
            self.value.clear();
            put_arrivals(&mut self.value, row);
            self.key.truncate(user_bytes);
            keys::put_history(&mut self.key, &first.event.name, first.event.time, first.number);
            self.history.push((self.key.as_slice().into(), Some(self.value.as_slice().into())));
        });
    }

    pub(super) fn write(self, batch: &mut OwnedWriteBatch, tables: &Tables) {
        let by_table = [
            (&tables.users, self.users),
            (&tables.profiles, self.profiles),
            (&tables.shadows, self.shadows),
            (&tables.timers, self.timers),
            (&tables.members, self.members),
            (&tables.history, self.history),
        ];
        for (table, mut rows) in by_table {
            rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(table, key, value),
                    None => batch.remove(table, key),
                }
            }
        }
    }
}

impl EmbeddedStore {
    pub(super) fn rows(
        &self,
        key: &UserKey,
        name: &Arc<str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError> {
        let prefix = &keys::history_prefix(key, Some(name));
        let range = keys::history(prefix, reaching(from), 0)..=keys::history(prefix, to, u64::MAX);
        let damaged = || StoreError::UserDamaged { key: key.clone(), table: "history" };
        let mut events = Vec::new();
        for guard in self.tables.history.range(range) {
            let (_, value) = self.pair(guard)?;
            let row = Reader::new(&value).arrivals(name);
            let row = row.map_err(|_| damaged())?;
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
            let damaged = || StoreError::UserDamaged { key: key.clone(), table: "history" };
            let name = Parts(rest).text().ok_or_else(damaged)?;
            // On to the first key after all those of this name.
            from = keys::history_prefix(key, Some(&name));
            from.pop();
            from.push(1);
            names.push(name);
        }
    }
}
