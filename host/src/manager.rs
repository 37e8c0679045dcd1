//! Carries out what is done with the rules of workspaces: loads versions, lays out deployments, keeps
//! what was done, and hands all of it to the worker in one commit.

mod error;
mod folders;
mod following;
mod layout;
mod overseer;
mod seat;
mod versions;

pub use error::ActError;
pub use folders::Folders;
pub use following::{Awaited, Lagging};
pub use overseer::oversee;
pub(crate) use overseer::waits_for;
pub use seat::{Deployments, Seat, States};
pub use versions::{find_version, read_version};

use crate::clock::wall_time;
use crate::decode::format_time;
use crate::lifecycle::{Action, Deployment, Refused, RulesState, Version, VersionId, names};
use crate::ruleset::{RuleFiles, RulesetLoader};
use crate::store::Store;
use crate::worker::Unavailable;
use muster_core::{AudienceKey, Engine};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use versions::{Versions, decode, encode};

/// Documents to be put, or deleted, by name.
pub type Documents = Vec<(Arc<str>, Option<Vec<u8>>)>;

/// What a process takes that changes rules in a store that it shares.
const LOCK: &str = "rules";
/// Changes of a workspace's rules that are kept; the oldest go first.
const CHANGES_MAX: u64 = 10_000;

/// The rules of all workspaces.
pub struct Manager {
    versions: Versions,
    /// Every audience that there ever was, for when it is removed.
    known: BTreeMap<AudienceKey, Arc<str>>,
    engine: Engine,
    states: Arc<States>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The revision that it led to.
    pub revision: u64,
    /// When, as RFC 3339.
    pub at: String,
    /// Who did it.
    pub by: String,
    /// What was done.
    #[serde(flatten)]
    pub action: Action,
    /// Why, when nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who does something, and what she has seen.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Her name.
    pub by: String,
    /// Why, when nobody asked for it.
    pub reason: Option<String>,
    /// The revision that she has seen; nothing where it does not matter.
    pub revision: Option<u64>,
}

impl Asker {
    /// Whether the rules are as she has seen them.
    fn check(&self, state: &RulesState) -> Result<(), Refused> {
        match self.revision {
            Some(expected) if expected != state.revision => {
                Err(Refused::Conflict { expected, found: state.revision })
            }
            _ => Ok(()),
        }
    }
}

impl Manager {
    /// Reads what was done so far, and lays out what is in force.
    ///
    /// # Errors
    /// When the store fails, or what is in force does not load any more.
    pub fn open(
        store: Arc<dyn Store>,
        loader: RulesetLoader,
    ) -> Result<(Manager, HashMap<Arc<str>, Deployment>), ActError> {
        let known = store.audience_ids()?.into_iter().collect();
        let engine = loader.settings().engine;
        let versions = Versions::new(store.clone(), loader);
        let mut manager = Manager { versions, known, engine, states: Arc::default() };
        let mut deployments = HashMap::new();
        for (name, document) in store.documents(names::STATE, None, usize::MAX)? {
            let workspace: Arc<str> = name.strip_prefix(names::STATE).unwrap_or_default().into();
            let state: RulesState = decode(&document)?;
            let deployment = manager.lay_out(&workspace, &state, None)?;
            deployments.extend(deployment.map(|deployment| (workspace.clone(), deployment)));
            manager.states.put(workspace, state);
        }
        Ok((manager, deployments))
    }

    /// Hands what is in force from now on to the worker, and waits until it is durable.
    fn put_in_force(
        &mut self,
        seat: &Seat<'_>,
        state: RulesState,
        deployment: Option<Deployment>,
        documents: Documents,
    ) -> Result<(), ActError> {
        let shown = deployment.clone().map(Arc::new);
        let told = seat.worker.deploy(seat.workspace.into(), deployment, documents);
        told.blocking_recv().map_err(|_| Unavailable::ShuttingDown)??;
        let (workspace, revision) = (seat.workspace, state.revision);
        tracing::info!(workspace, revision, "rules in force");
        let in_use = state.versions().map(VersionId::short).collect();
        seat.worker.retain_versions(seat.workspace, &in_use);
        self.states.put(seat.workspace.into(), state);
        if let Some(deployment) = shown {
            seat.put(deployment);
        }
        self.versions.retain(self.states.all().iter());
        Ok(())
    }

    /// The state of a workspace's rules.
    ///
    /// # Errors
    /// When it has none.
    pub fn state(&self, workspace: &str) -> Result<RulesState, ActError> {
        self.states.of(workspace)
    }

    /// The states of all workspaces, to be looked at whatever is being done.
    pub fn states(&self) -> Arc<States> {
        self.states.clone()
    }

    /// Does something with a workspace's rules. Gives their state when that is durable.
    ///
    /// # Errors
    /// When it may not be done, or could not be; nothing is changed then.
    pub fn act(
        &mut self,
        seat: &Seat<'_>,
        action: Action,
        asker: &Asker,
    ) -> Result<RulesState, ActError> {
        self.alone(seat, |manager| manager.act_with(seat, action, asker, Documents::new()))
    }

    fn act_with(
        &mut self,
        seat: &Seat<'_>,
        action: Action,
        asker: &Asker,
        mut documents: Documents,
    ) -> Result<RulesState, ActError> {
        let workspace = seat.workspace;
        let before = self.state_or_new(workspace)?;
        asker.check(&before)?;
        if let Action::Pause { audiences } = &action {
            self.check_audiences(seat, audiences)?;
        }
        let now = wall_time();
        let next = before.after(&action, now.milliseconds())?;
        let in_force = seat.in_force();
        let deployment = self.lay_out(workspace, &next, in_force.as_deref())?;
        let (at, by) = (format_time(now), asker.by.clone());
        let (revision, reason) = (next.revision, asker.reason.clone());
        let change = Change { revision, at, by, action, reason };
        documents.push((names::change(workspace, revision), Some(encode(&change))));
        if let Some(oldest) = revision.checked_sub(CHANGES_MAX) {
            documents.push((names::change(workspace, oldest), None));
        }
        let documents = self.keep(workspace, &before, &next, documents)?;
        self.put_in_force(seat, next.clone(), deployment, documents)?;
        tracing::info!(workspace, revision, by = change.by, action = %change.action, "rules changed");
        Ok(next)
    }

    /// Keeps a state and what belongs to it, where a store is shared: before it is in force anywhere, and only
    /// if nobody has changed the state before meanwhile. Gives what is left to be kept with the commit that
    /// puts it in force.
    fn keep(
        &self,
        workspace: &str,
        before: &RulesState,
        next: &RulesState,
        mut documents: Documents,
    ) -> Result<Documents, ActError> {
        let (store, name) = (self.versions.store(), names::state(workspace));
        if !store.is_shared() {
            documents.push((name, Some(encode(next))));
            return Ok(documents);
        }
        let is_before = |found: Option<&[u8]>| match found {
            Some(found) => decode::<RulesState>(found).is_ok_and(|found| found == *before),
            None => before.revision == 0,
        };
        match store.replace((&name, encode(next)), &is_before, documents)? {
            true => Ok(Documents::new()),
            false => Err(ActError::Overtaken(workspace.to_string())),
        }
    }

    /// Makes a version of files: its name, once it is known that it loads, and what is to be kept of
    /// it.
    fn prepare(
        &mut self,
        seat: &Seat<'_>,
        files: &RuleFiles,
        by: &str,
    ) -> Result<(Version, Documents), ActError> {
        let state = self.state_or_new(seat.workspace)?;
        let loaded = self.versions.load(files)?;
        let ruleset = self.ruleset(&loaded, None, self.engine, &state)?;
        for audience in ruleset.plan.audiences() {
            self.known.insert(audience.key, audience.id.clone());
        }
        let created = format_time(wall_time());
        let version = Version::new(files, ruleset.versions(), by, created);
        let documents = self.versions.keep(seat.workspace, &version, files, &state)?;
        Ok((version, documents))
    }

    /// Makes the files the candidate.
    ///
    /// # Errors
    /// When they do not load, or are active already.
    pub fn deploy(
        &mut self,
        seat: &Seat<'_>,
        files: &RuleFiles,
        asker: &Asker,
    ) -> Result<(Version, RulesState), ActError> {
        self.alone(seat, |manager| {
            let (version, documents) = manager.prepare(seat, files, &asker.by)?;
            let action = Action::Deploy { version: version.id.clone() };
            let state = manager.act_with(seat, action, asker, documents)?;
            Ok((version, state))
        })
    }

    /// Makes what a folder holds active, when that is not what it held last. Says whether it did.
    ///
    /// # Errors
    /// When it does not load.
    pub fn deploy_folder(&mut self, seat: &Seat<'_>, files: &RuleFiles) -> Result<bool, ActError> {
        let folder = Some(VersionId::of(files));
        let is_deployed = |manager: &Manager| {
            let state = manager.states.find(seat.workspace);
            state.is_some_and(|state| state.folder == folder)
        };
        if is_deployed(self) {
            return Ok(false);
        }
        self.alone(seat, |manager| {
            if is_deployed(manager) {
                return Ok(false);
            }
            let asker = Asker { by: "folder".to_string(), reason: None, revision: None };
            let (version, documents) = manager.prepare(seat, files, &asker.by)?;
            manager.act_with(seat, Action::Folder { version: version.id }, &asker, documents)?;
            Ok(true)
        })
    }

    /// Whether rules were deployed from a folder.
    fn has_folder(&self, seat: &Seat<'_>) -> bool {
        let nothing = VersionId::of(&RuleFiles::default());
        let folder = self.states.find(seat.workspace).and_then(|state| state.folder);
        folder.is_some_and(|folder| folder != nothing)
    }

    /// Takes an audience out of the active version.
    ///
    /// # Errors
    /// When there is no such audience, or others refer to it.
    pub fn remove(
        &mut self,
        seat: &Seat<'_>,
        audience: &str,
        asker: &Asker,
    ) -> Result<RulesState, ActError> {
        self.alone(seat, |manager| {
            manager.check_audiences(seat, &[audience.to_string()])?;
            let active = manager.state(seat.workspace)?.active;
            let active = active.ok_or(Refused::NothingActive)?;
            let mut files = manager.versions.files(seat.workspace, &active)?;
            files.without.insert(audience.to_string());
            let (version, documents) = manager.prepare(seat, &files, &asker.by)?;
            let action = Action::Remove { audience: audience.to_string(), version: version.id };
            manager.act_with(seat, action, asker, documents)
        })
    }

    fn state_or_new(&self, workspace: &str) -> Result<RulesState, ActError> {
        if workspace.is_empty()
            || workspace.len() > crate::decode::ID_BYTES_MAX
            || workspace.contains('\0')
        {
            return Err(ActError::BadWorkspace(workspace.to_string()));
        }
        let known = self.states.find(workspace);
        Ok(known.unwrap_or_else(|| RulesState::new(self.engine)))
    }

    fn check_audiences(&self, seat: &Seat<'_>, audiences: &[String]) -> Result<(), ActError> {
        let in_force = seat.in_force();
        let is_known = |id: &String| {
            in_force.iter().flat_map(|deployment| &deployment.arms).any(|arm| {
                let mut known = arm.ruleset.plan.audiences();
                known.any(|audience| **audience.id == **id)
            })
        };
        match audiences.iter().find(|id| !is_known(id)) {
            Some(unknown) => Err(ActError::UnknownAudience(unknown.clone())),
            None => Ok(()),
        }
    }
}
