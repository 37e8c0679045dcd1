//! A store in memory, for replays that keep nothing and for tests.

use super::{
    Commit, Committed, DEAD_LETTERS_MAX, EXPIRED_MAX, HistoryCursor, NamedDocument, Store,
    StoreError, UserKey, UserRecord,
};
use muster_core::{Arrival, AudienceKey, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

/// By user, event name, time and number.
type Histories = BTreeMap<(UserKey, Arc<str>), BTreeMap<(Time, u64), Arrival>>;

/// By workspace and event name.
type Forgotten = BTreeMap<(Arc<str>, Arc<str>), Time>;

#[derive(Debug, Default)]
struct Tables {
    clock: Time,
    users: BTreeMap<UserKey, UserRecord>,
    shadows: BTreeMap<UserKey, Arc<Vec<u8>>>,
    documents: BTreeMap<Arc<str>, Vec<u8>>,
    history: Histories,
    /// The latest event deleted, here or where it came from.
    forgotten: Forgotten,
    timers: BTreeSet<(Time, UserKey)>,
    members: BTreeMap<(Arc<str>, AudienceKey, Arc<str>), Time>,
    outbox: BTreeMap<Arc<str>, Outbox>,
    dead_letters: BTreeMap<u64, Vec<u8>>,
    last_dead_letter: u64,
    audiences: BTreeMap<AudienceKey, Arc<str>>,
}

/// A workspace's transitions by sequence, each with when its commit was made.
#[derive(Debug, Default)]
struct Outbox {
    newest: u64,
    expired: u64,
    transitions: BTreeMap<u64, (Time, Vec<u8>)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing here panics halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn clock(&self) -> Time {
        self.tables().clock
    }

    fn user(&self, key: &UserKey) -> Result<Option<UserRecord>, StoreError> {
        Ok(self.tables().users.get(key).cloned())
    }

    fn shadow(&self, key: &UserKey) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        Ok(self.tables().shadows.get(key).cloned())
    }

    fn history(
        &self,
        key: &UserKey,
        event: Option<&str>,
        from: Time,
        to: Time,
    ) -> Result<Vec<Arrival>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let tables = self.tables();
        let first_name: Arc<str> = event.unwrap_or_default().into();
        let mut events = Vec::new();
        for ((user, name), rows) in tables.history.range((key.clone(), first_name)..) {
            if user != key || event.is_some_and(|event| event != &**name) {
                break;
            }
            events.extend(rows.range((from, 0)..=(to, u64::MAX)).map(|(_, a)| a.clone()));
        }
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        Ok(events)
    }

    fn due(&self, until: Time, limit: usize) -> Result<Vec<(Time, UserKey)>, StoreError> {
        let tables = self.tables();
        Ok(tables.timers.iter().take_while(|(at, _)| *at < until).take(limit).cloned().collect())
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let tables = &mut *self.tables();
        tables.clock = commit.clock;
        for user in commit.users {
            let key = &user.key;
            let record = tables.users.entry(key.clone()).or_default();
            record.state = user.state.unwrap_or(std::mem::take(&mut record.state));
            record.profile = user.profile.unwrap_or(std::mem::take(&mut record.profile));
            match user.shadow {
                Some(Some(shadow)) => drop(tables.shadows.insert(key.clone(), shadow)),
                Some(None) => drop(tables.shadows.remove(key)),
                None => {}
            }
            if let Some(due) = user.due_before {
                tables.timers.remove(&(due, key.clone()));
            }
            if let Some(due) = user.due {
                tables.timers.insert((due, key.clone()));
            }
            for arrival in user.history {
                let name = arrival.event.name.clone();
                let rows = tables.history.entry((key.clone(), name)).or_default();
                rows.insert((arrival.event.time, arrival.number), arrival);
            }
            for (audience, since) in user.members {
                let member = (key.workspace.clone(), audience, key.user.clone());
                match since {
                    Some(since) => tables.members.insert(member, since),
                    None => tables.members.remove(&member),
                };
            }
            let outbox = tables.outbox.entry(key.workspace.clone()).or_default();
            for transition in user.transitions {
                outbox.newest += 1;
                outbox.transitions.insert(outbox.newest, (commit.made, transition.json));
            }
        }
        for letter in commit.dead_letters {
            tables.last_dead_letter += 1;
            tables.dead_letters.insert(tables.last_dead_letter, letter);
            if let Some(oldest) = tables.last_dead_letter.checked_sub(DEAD_LETTERS_MAX) {
                tables.dead_letters.remove(&oldest);
            }
        }
        for (name, until) in commit.forgotten {
            forget(&mut tables.forgotten, name, until);
        }
        tables.audiences.extend(commit.audiences);
        for (name, document) in commit.documents {
            match document {
                Some(document) => tables.documents.insert(name, document),
                None => tables.documents.remove(&name),
            };
        }
        Ok(Committed::default())
    }

    fn members(
        &self,
        workspace: &str,
        audience: AudienceKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        let tables = self.tables();
        let from = (workspace.into(), audience, after.unwrap_or_default().into());
        let after = tables.members.range((Bound::Excluded(from), Bound::Unbounded));
        let same = |(name, key, _): &(Arc<str>, AudienceKey, Arc<str>)| {
            &**name == workspace && *key == audience
        };
        let members = after.take_while(|(member, _)| same(member)).take(limit);
        Ok(members.map(|((_, _, user), since)| (user.clone(), *since)).collect())
    }

    fn users(
        &self,
        workspace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        let tables = self.tables();
        let (workspace, user) = (workspace.into(), after.unwrap_or_default().into());
        let from = UserKey { workspace, user };
        let after = tables.users.range((Bound::Excluded(&from), Bound::Unbounded));
        let same = after.take_while(|(key, _)| key.workspace == from.workspace);
        Ok(same.take(limit).map(|(key, _)| key.user.clone()).collect())
    }

    fn workspaces(&self) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        let mut workspaces: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for key in self.tables().users.keys() {
            *workspaces.entry(key.workspace.clone()).or_default() += 1;
        }
        Ok(workspaces.into_iter().collect())
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().documents.get(name).cloned())
    }

    fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError> {
        let tables = self.tables();
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let found = tables.documents.range::<str, _>((from, Bound::Unbounded));
        let same = found.take_while(|(name, _)| name.starts_with(prefix)).take(limit);
        Ok(same.map(|(name, document)| (name.clone(), document.clone())).collect())
    }

    fn transitions(
        &self,
        workspace: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let tables = self.tables();
        let newest = tables.outbox.get(workspace).map_or(0, |outbox| outbox.newest);
        if after > newest {
            return Err(StoreError::CursorAhead { after, newest });
        }
        let Some(outbox) = tables.outbox.get(workspace) else { return Ok(Vec::new()) };
        if after < outbox.expired {
            return Err(StoreError::CursorExpired { oldest: outbox.expired });
        }
        let found = outbox.transitions.range(after.saturating_add(1)..).take(limit);
        Ok(found.map(|(sequence, (_, json))| (*sequence, json.clone())).collect())
    }

    fn cursor(&self, workspace: &str) -> Result<u64, StoreError> {
        Ok(self.tables().outbox.get(workspace).map_or(0, |outbox| outbox.newest))
    }

    fn expire_transitions(&self, made_before: Time) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for outbox in self.tables().outbox.values_mut() {
            for _ in 0..EXPIRED_MAX {
                let Some(entry) = outbox.transitions.first_entry() else { break };
                if entry.get().0 >= made_before {
                    break;
                }
                outbox.expired = *entry.key();
                entry.remove();
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Rows here are single events, and each call looks at all of them.
    fn expire_history(
        &self,
        _after: Option<HistoryCursor>,
        _rows: usize,
        keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError> {
        let mut deleted = 0;
        let tables = &mut *self.tables();
        tables.history.retain(|(user, name), rows| {
            let kept = rows.split_off(&(keep_from(&user.workspace, name), 0));
            if let Some(((latest, _), _)) = rows.last_key_value() {
                forget(&mut tables.forgotten, (user.workspace.clone(), name.clone()), *latest);
            }
            deleted += rows.len() as u64;
            *rows = kept;
            !rows.is_empty()
        });
        Ok((deleted, None))
    }

    fn forgotten(&self, workspace: &str) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        let tables = self.tables();
        let of_workspace = tables.forgotten.iter().filter(|((name, _), _)| &**name == workspace);
        Ok(of_workspace.map(|((_, name), until)| (name.clone(), *until)).collect())
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let tables = self.tables();
        let found = tables.dead_letters.range(after.saturating_add(1)..).take(limit);
        Ok(found.map(|(sequence, letter)| (*sequence, letter.clone())).collect())
    }

    fn audience_ids(&self) -> Result<Vec<(AudienceKey, Arc<str>)>, StoreError> {
        Ok(self.tables().audiences.iter().map(|(key, id)| (*key, id.clone())).collect())
    }

    fn sizes(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

fn forget(forgotten: &mut Forgotten, name: (Arc<str>, Arc<str>), until: Time) {
    let known = forgotten.entry(name).or_insert(until);
    *known = until.max(*known);
}
