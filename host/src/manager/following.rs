//! Rules of a store that is shared: changed by one process at a time, taken over by the others.

use super::versions::decode;
use super::{ActError, Documents, LOCK, Manager, Seat};
use crate::api::Service;
use crate::lifecycle::{RulesState, names};
use crate::worker::Unavailable;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a message waits for rules that another process has put in force: it looks for them each second,
/// and compiles them.
const FOLLOW_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether they are there.
const FOLLOW_LOOK: Duration = Duration::from_millis(100);

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
    /// The workspaces of which another process that shares the store changed the rules.
    ///
    /// # Errors
    /// When the store fails.
    pub fn changed_elsewhere(&self) -> Result<Vec<Arc<str>>, ActError> {
        let mut changed = Vec::new();
        for (name, document) in self.versions.store().documents(names::STATE, None, usize::MAX)? {
            let workspace: Arc<str> = name.strip_prefix(names::STATE).unwrap_or_default().into();
            let state = decode::<RulesState>(&document).ok();
            // What does not decode is for taking it over to say.
            if state.is_none() || self.states.find(&workspace) != state {
                changed.push(workspace);
            }
        }
        Ok(changed)
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
        for workspace in manager.changed_elsewhere()? {
            if let Err(error) = manager.follow(&self.seat(&workspace)) {
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

    /// Why a workspace's rules could not be taken over, if they could not.
    fn lags(&self, workspace: &str) -> Option<Arc<str>> {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned()
    }

    /// Waits until a workspace has rules here, if another process has put some in force.
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
            awaited = tokio::time::timeout(FOLLOW_WAIT_MAX, self.look_for_rules(workspace, missing)) => {
                awaited.unwrap_or_else(|_| {
                    let waited = FOLLOW_WAIT_MAX.as_secs();
                    Awaited::Missing(format!(
                        "the rules of `{workspace}` were not taken over within {waited} s: send it again"
                    ))
                })
            }
            _ = ending.wait_for(|ending| *ending) => Awaited::Ending,
        }
    }

    async fn look_for_rules(self: &Arc<Service>, workspace: &str, missing: String) -> Awaited {
        loop {
            let (store, name) = (self.store.clone(), names::state(workspace));
            let found = tokio::task::spawn_blocking(move || store.document(&name)).await;
            let state = match found {
                Ok(Ok(document)) => document.map(|document| decode::<RulesState>(&document)),
                Ok(Err(error)) => return Awaited::Missing(error.to_string()),
                Err(_) => return Awaited::Ending,
            };
            if self.has_workspace(workspace) {
                return Awaited::InForce;
            }
            match state {
                Some(Ok(state)) if state.active.is_some() => {}
                Some(Err(error)) => return Awaited::Missing(error.to_string()),
                Some(Ok(_)) | None => return Awaited::Missing(missing),
            }
            if let Some(reason) = self.lags(workspace) {
                return Awaited::Missing(format!(
                    "the rules of `{workspace}` cannot be taken over: {reason}: send it again"
                ));
            }
            tokio::time::sleep(FOLLOW_LOOK).await;
        }
    }
}
