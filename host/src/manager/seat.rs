//! What of the rules may be looked at without waiting for whoever changes them.

use super::ActError;
use crate::lifecycle::{Deployment, RulesState};
use crate::worker::Worker;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Deployments in force, by workspace: what interfaces look at.
pub type Deployments = RwLock<HashMap<Arc<str>, Arc<Deployment>>>;

/// The states of all workspaces' rules, as this process carries them out.
#[derive(Debug, Default)]
pub struct States(RwLock<BTreeMap<Arc<str>, RulesState>>);

impl States {
    /// The state of a workspace's rules.
    ///
    /// # Errors
    /// When it has none.
    pub fn of(&self, workspace: &str) -> Result<RulesState, ActError> {
        self.find(workspace).ok_or_else(|| ActError::UnknownWorkspace(workspace.to_string()))
    }

    pub(super) fn find(&self, workspace: &str) -> Option<RulesState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned()
    }

    pub(super) fn all(&self) -> Vec<RulesState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn put(&self, workspace: Arc<str>, state: RulesState) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(workspace, state);
    }
}

/// A workspace, with the worker that decides its users and what interfaces see of its rules.
pub struct Seat<'a> {
    /// Which.
    pub workspace: &'a str,
    /// Who decides its users.
    pub worker: &'a Worker,
    /// What interfaces see.
    pub deployments: &'a Deployments,
}

impl Seat<'_> {
    /// What is in force.
    pub fn in_force(&self) -> Option<Arc<Deployment>> {
        let deployments = self.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.get(self.workspace).cloned()
    }

    pub(super) fn put(&self, deployment: Arc<Deployment>) {
        let mut deployments = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        deployments.insert(self.workspace.into(), deployment);
    }
}
