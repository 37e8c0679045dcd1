//! Rules of a store that is shared: changed by one process at a time, taken over by the others.

use super::versions::decode;
use super::{ActError, Documents, LOCK, Manager, Seat};
use crate::api::Service;
use crate::lifecycle::{RulesState, names};
use crate::worker::Unavailable;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked whether they are there.
const FOLLOW_LOOK: Duration = Duration::from_millis(250);

/// Workspaces whose rules are others in the store, and why they could not be taken over.
pub type Lagging = Mutex<BTreeMap<Arc<str>, Arc<str>>>;

/// What a message finds of its workspace's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// They are in force here.
    InForce,
    /// They are not, and why.
    Missing(String),
    /// The service ends, and nobody waits for them any more.
    Ending,
}

impl Manager {
    /// The workspaces that have rules, and whether another process that shares the store changed them.
    ///
    /// # Errors
    /// When the store fails.
    pub fn changed_elsewhere(&self) -> Result<Vec<(Arc<str>, bool)>, ActError> {
        let mut workspaces = Vec::new();
        for (name, document) in self.versions.store().documents(names::STATE, None, usize::MAX)? {
            let workspace: Arc<str> = name.strip_prefix(names::STATE).unwrap_or_default().into();
            let state = decode::<RulesState>(&document).ok();
            // What does not decode is for taking it over to say.
            let is_changed = state.is_none() || self.states.find(&workspace) != state;
            workspaces.push((workspace, is_changed));
        }
        Ok(workspaces)
    }

    /// Takes over a workspace's rules as they are in the store.
    ///
    /// # Errors
    /// When the store fails, or they do not load; they stay as they are then.
    pub fn follow(&mut self, seat: &Seat<'_>) -> Result<(), ActError> {
        let store = self.versions.store().clone();
        let Some(document) = store.document(&names::state(seat.workspace))? else { return Ok(()) };
        let state: RulesState = decode(&document)?;
        if self.states.find(seat.workspace).is_some_and(|own| own == state) {
            return Ok(());
        }
        self.known.extend(store.audience_ids()?);
        let deployment = self.lay_out(seat.workspace, &state, seat.in_force().as_deref())?;
        self.put_in_force(seat, state, deployment, Documents::new())
    }

    /// Does something that no other process that shares the store does at the same time, after whatever
    /// they did. Whoever is silent for too long loses the lock; what it writes then is refused for not being
    /// made from what is there.
    pub(super) fn alone<T>(
        &mut self,
        seat: &Seat<'_>,
        act: impl FnOnce(&mut Manager) -> Result<T, ActError>,
    ) -> Result<T, ActError> {
        let store = self.versions.store().clone();
        if !store.is_shared() {
            return act(self);
        }
        store.lock(LOCK)?;
        let acted = self.follow(seat).and_then(|()| act(self));
        let given_back = store.unlock(LOCK);
        let acted = acted?;
        given_back?;
        Ok(acted)
    }
}

impl Service {
    /// Takes over the rules of all workspaces, as other processes that share the store left them. Those that
    /// cannot be taken over are noted, and hold up no others.
    ///
    /// # Errors
    /// When the store fails.
    pub fn follow_rules(&self) -> Result<(), ActError> {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lagging = BTreeMap::new();
        let begun = Instant::now();
        for (workspace, is_changed) in manager.changed_elsewhere()? {
            if !is_changed {
                self.worker.note_rules_seen(workspace, begun);
            } else if let Err(error) = manager.follow(&self.seat(&workspace)) {
                let reason = format!("{:#}", anyhow::Error::from(error));
                lagging.insert(workspace, Arc::<str>::from(reason));
            }
        }
        drop(manager);
        let mut noted = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
        for (workspace, reason) in &lagging {
            if noted.get(workspace) != Some(reason) {
                tracing::error!(%workspace, "cannot take over rules: {reason}");
            }
        }
        *noted = lagging;
        Ok(())
    }

    /// Whether messages are being processed, by the rules that are in force everywhere, and why not.
    ///
    /// # Errors
    /// When they are not.
    pub fn readiness(&self) -> Result<(), Unavailable> {
        self.worker.readiness()?;
        let lagging = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
        match lagging.first_key_value() {
            Some((workspace, reason)) => Err(Unavailable::Waiting(
                format!("the rules of `{workspace}`, which cannot be taken over: {reason}").into(),
            )),
            None => Ok(()),
        }
    }

    /// Whether the rules of some workspace could not be taken over.
    pub(crate) fn is_lagging(&self) -> bool {
        !self.lagging.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits until a workspace has rules here, if another process has put some in force: however long
    /// this one takes to compile them, or cannot.
    pub async fn await_rules(self: &Arc<Service>, workspace: &str) -> Awaited {
        if self.has_workspace(workspace) {
            return Awaited::InForce;
        }
        let missing = format!("no rules for `{workspace}`: deploy some, and send it again");
        if !self.store.is_shared() {
            return Awaited::Missing(missing);
        }
        let mut ending = self.ending.subscribe();
        tokio::select! {
            has_rules = self.look_for_rules(workspace) => match has_rules {
                true => Awaited::InForce,
                false => Awaited::Missing(missing),
            },
            _ = ending.wait_for(|ending| *ending) => Awaited::Ending,
        }
    }

    /// Whether a workspace has rules, as soon as they are in force here.
    async fn look_for_rules(self: &Arc<Service>, workspace: &str) -> bool {
        loop {
            let (store, name) = (self.store.clone(), names::state(workspace));
            let found = tokio::task::spawn_blocking(move || store.document(&name)).await;
            if self.has_workspace(workspace) {
                return true;
            }
            match found {
                Ok(Ok(None)) => return false,
                Ok(Ok(Some(document))) => match decode::<RulesState>(&document) {
                    Ok(state) if state.active.is_none() => return false,
                    // Why they are not taken over is told where that is tried.
                    Ok(_) | Err(_) => {}
                },
                Ok(Err(error)) => tracing::warn!(workspace, "cannot look for rules: {error}"),
                Err(error) => {
                    tracing::warn!(workspace, "looking for rules was broken off: {error}")
                }
            }
            tokio::time::sleep(FOLLOW_LOOK).await;
        }
    }
}
