//! What is past its retention: how long that is, and deleting it, a bounded part at a time.

use super::turn::Turns;
use crate::clock::wall_time;
use crate::group::StepError;
use crate::store::Commit;
use muster_core::{Reach, Time};
use std::collections::HashMap;
use std::sync::Arc;

/// Turns between two rounds of deleting, and rows looked at in each.
const EXPIRE_EVERY: u64 = 64;
const EXPIRE_ROWS: usize = 1_024;

impl Turns {
    /// For how long the events of a commit are kept.
    pub(super) fn kept_ms(&self, commit: &Commit) -> HashMap<(Arc<str>, Arc<str>), i64> {
        let mut kept = HashMap::new();
        for user in &commit.users {
            for arrival in &user.history {
                let workspace = &user.key.workspace;
                let name = (workspace.clone(), arrival.event.name.clone());
                let span = self.kept_for_ms(workspace, &arrival.event.name);
                kept.extend(span.map(|span| (name, span)));
            }
        }
        kept
    }

    /// For how long events of a name are kept; without end when there is none.
    fn kept_for_ms(&self, workspace: &str, event: &str) -> Option<i64> {
        let retained = self.settings.history_retention_ms;
        match self.rules.get(workspace).and_then(|deployment| deployment.reach(event)) {
            Some(Reach::Forever) => None,
            Some(Reach::Span(milliseconds)) => Some(milliseconds.max(retained)),
            None => Some(retained),
        }
    }

    /// Deletes a bounded part of what is past its retention.
    pub(super) fn expire(&mut self) -> Result<(), StepError> {
        if !self.turns.is_multiple_of(EXPIRE_EVERY) {
            return Ok(());
        }
        let store = &self.shared.store;
        let ago = |now: Time, milliseconds: i64| {
            let at = now.milliseconds().saturating_sub(milliseconds);
            Time::from_milliseconds(at).unwrap_or(Time::MIN)
        };
        let before = |milliseconds| ago(self.stood, milliseconds);
        let expired = &self.shared.metrics.expired;
        let rows =
            store.expire_transitions(ago(wall_time(), self.settings.transitions_retention_ms))?;
        expired.with_label_values(&["outbox"]).inc_by(rows);
        let expiring = self.expiring.take();
        let keep_from = |workspace: &str, event: &str| match self.kept_for_ms(workspace, event) {
            Some(milliseconds) => before(milliseconds),
            None => Time::MIN,
        };
        let (rows, cursor) = store.expire_history(expiring, EXPIRE_ROWS, &keep_from)?;
        expired.with_label_values(&["history"]).inc_by(rows);
        self.expiring = cursor;
        for (table, bytes) in store.sizes()? {
            let gauge = self.shared.metrics.store_bytes.with_label_values(&[table]);
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
