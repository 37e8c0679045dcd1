//! Deleting what is past its retention, a bounded part at a time.

use super::EmbeddedStore;
use super::keys::{self, Parts};
use super::tables::{Cursor, EXPIRED};
use crate::history::HISTORY_ROW_SPAN_MS;
use crate::{EXPIRED_MAX, HistoryCursor, StoreError};
use fjall::OwnedWriteBatch;
use muster_core::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

impl EmbeddedStore {
    pub(super) fn delete_transitions(&self, made_before: Time) -> Result<u64, StoreError> {
        let cursors: Vec<(Arc<str>, Cursor)> =
            self.state().cursors.iter().map(|(name, cursor)| (name.clone(), *cursor)).collect();
        let mut deleted = 0;
        for (workspace, cursor) in cursors {
            let range = keys::outbox(&workspace, cursor.expired + 1)
                ..=keys::outbox(&workspace, cursor.newest);
            if range.is_empty() {
                continue;
            }
            let mut batch = self.database.batch();
            let mut expired = cursor.expired;
            for guard in self.tables.outbox.range(range).take(EXPIRED_MAX) {
                let (key, value) = self.pair(guard)?;
                let row = Parts(&value).time().zip(keys::outbox_sequence(&key));
                let (made, sequence) = row.ok_or(StoreError::Damaged { table: "outbox" })?;
                if made >= made_before {
                    break;
                }
                batch.remove(&self.tables.outbox, key);
                expired = sequence;
            }
            if expired == cursor.expired {
                continue;
            }
            let meta = keys::per_workspace(EXPIRED, &workspace);
            batch.insert(&self.tables.meta, meta, expired.to_be_bytes());
            self.delete(batch)?;
            // Told only when it is done. Whoever reads in between sees from the rows themselves that
            // some are gone.
            self.state().cursors.entry(workspace).or_default().expired = expired;
            deleted += expired - cursor.expired;
        }
        Ok(deleted)
    }

    pub(super) fn delete_history(
        &self,
        after: Option<HistoryCursor>,
        rows: usize,
        keep_from: &dyn Fn(&str, &str) -> Time,
    ) -> Result<(u64, Option<HistoryCursor>), StoreError> {
        let mut from = after.map(|cursor| cursor.0).unwrap_or_default();
        from.push(0);
        let mut batch = self.database.batch();
        let (mut deleted, mut looked_at, mut last) = (0, 0, None);
        let mut forgotten: BTreeMap<Vec<u8>, Time> = BTreeMap::new();
        for guard in self.tables.history.range(from..).take(rows) {
            let key = guard.key().map_err(|error| self.broken(error))?;
            let mut parts = Parts(&key);
            let row = parts.user().zip(parts.text()).zip(parts.time());
            let ((user, name), first) = row.ok_or(StoreError::Damaged { table: "history" })?;
            let keep_from = keep_from(&user.workspace, &name);
            looked_at += 1;
            last = Some(HistoryCursor(key.to_vec()));
            let latest = first.milliseconds() + HISTORY_ROW_SPAN_MS;
            let latest = Time::from_milliseconds(latest).unwrap_or(Time::MAX);
            if latest < keep_from {
                batch.remove(&self.tables.history, key);
                deleted += 1;
                let until = forgotten.entry(keys::forgotten(&user.workspace, &name));
                until.and_modify(|until| *until = latest.max(*until)).or_insert(latest);
            }
        }
        if deleted > 0 {
            self.forget(&mut batch, forgotten)?;
            self.delete(batch)?;
        }
        Ok((deleted, last.filter(|_| looked_at == rows)))
    }

    /// Notes up to when events are gone, by key; what is known to be gone stays so.
    pub(super) fn forget(
        &self,
        batch: &mut OwnedWriteBatch,
        forgotten: impl IntoIterator<Item = (Vec<u8>, Time)>,
    ) -> Result<(), StoreError> {
        for (key, until) in forgotten {
            let before = self.get(&self.tables.meta, &key)?;
            if before.is_none_or(|before| before.as_slice() < keys::ordered(until).as_slice()) {
                batch.insert(&self.tables.meta, key, keys::ordered(until));
            }
        }
        Ok(())
    }

    pub(super) fn read_forgotten(
        &self,
        workspace: &str,
    ) -> Result<Vec<(Arc<str>, Time)>, StoreError> {
        let prefix = keys::forgotten_prefix(workspace);
        let mut forgotten = Vec::new();
        for guard in self.tables.meta.prefix(&prefix) {
            let (key, value) = self.pair(guard)?;
            let name = Parts(&key[prefix.len()..]).text().zip(Parts(&value).time());
            forgotten.push(name.ok_or(StoreError::Damaged { table: "meta" })?);
        }
        Ok(forgotten)
    }

    /// Commits deletions, not synced: those that a crash undoes are made again. When it fails, as
    /// little is known of the tables as after a failed commit.
    fn delete(&self, batch: OwnedWriteBatch) -> Result<(), StoreError> {
        self.check_writable()?;
        batch.commit().map_err(|error| self.fail(&error))
    }
}
