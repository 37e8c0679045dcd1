//! Carries out what is done with the rules of workspaces: loads versions, lays out deployments, keeps
//! what was done, and hands all of it to the worker in one commit.

mod error;
mod folders;
mod overseer;
mod versions;

pub use error::ActError;
pub use folders::Folders;
pub use overseer::oversee;
pub(crate) use overseer::waits_for;

use crate::clock::wall_time;
use crate::decode::format_time;
use crate::lifecycle::{
    Action, Arm, Deployment, Refused, RulesState, Share, Subject, Version, VersionId, names,
};
use crate::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use crate::store::Store;
use crate::worker::{Unavailable, Worker};
use muster_core::{AudienceKey, Engine, Settings, Standing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use versions::{Loaded, Versions, decode, encode};

/// Documents to be put, or deleted, by name.
pub type Documents = Vec<(Arc<str>, Option<Vec<u8>>)>;

/// Deployments in force, by workspace: what interfaces look at.
pub type Deployments = RwLock<HashMap<Arc<str>, Arc<Deployment>>>;

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
    workspaces: BTreeMap<Arc<str>, RulesState>,
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
        let mut manager = Manager { versions, known, engine, workspaces: BTreeMap::new() };
        let mut deployments = HashMap::new();
        for (name, document) in store.documents(names::STATE, None, usize::MAX)? {
            let workspace: Arc<str> = name.strip_prefix(names::STATE).unwrap_or_default().into();
            let state: RulesState = decode(&document)?;
            let deployment = manager.lay_out(&workspace, &state, None)?;
            deployments.extend(deployment.map(|deployment| (workspace.clone(), deployment)));
            manager.workspaces.insert(workspace, state);
        }
        Ok((manager, deployments))
    }

    /// The workspaces of which another process that shares the store changed the rules.
    ///
    /// # Errors
    /// When the store fails.
    pub fn changed_elsewhere(&self) -> Result<Vec<Arc<str>>, ActError> {
        let mut changed = Vec::new();
        for (name, document) in self.versions.store().documents(names::STATE, None, usize::MAX)? {
            let workspace: Arc<str> = name.strip_prefix(names::STATE).unwrap_or_default().into();
            let state: RulesState = decode(&document)?;
            let known = self.workspaces.get(&workspace);
            if known.is_none_or(|known| known.revision != state.revision) {
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
        if self.workspaces.get(seat.workspace).is_some_and(|own| own.revision == state.revision) {
            return Ok(());
        }
        self.known.extend(store.audience_ids()?);
        let deployment = self.lay_out(seat.workspace, &state, seat.in_force().as_deref())?;
        self.put_in_force(seat, state, deployment, Documents::new())
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
        self.workspaces.insert(seat.workspace.into(), state);
        if let Some(deployment) = shown {
            seat.put(deployment);
        }
        self.versions.retain(self.workspaces.values());
        Ok(())
    }

    /// Does something that no other process that shares the store does at the same time, after whatever
    /// they did.
    fn alone<T>(
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
        store.unlock(LOCK)?;
        acted
    }

    /// The state of a workspace's rules.
    ///
    /// # Errors
    /// When it has none.
    pub fn state(&self, workspace: &str) -> Result<&RulesState, ActError> {
        let unknown = || ActError::UnknownWorkspace(workspace.to_string());
        self.workspaces.get(workspace).ok_or_else(unknown)
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
        if let Some(expected) = asker.revision.filter(|expected| *expected != before.revision) {
            return Err(Refused::Conflict { expected, found: before.revision }.into());
        }
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
        documents.push((names::state(workspace), Some(encode(&next))));
        documents.push((names::change(workspace, revision), Some(encode(&change))));
        if let Some(oldest) = revision.checked_sub(CHANGES_MAX) {
            documents.push((names::change(workspace, oldest), None));
        }
        self.put_in_force(seat, next.clone(), deployment, documents)?;
        tracing::info!(workspace, revision, by = change.by, action = %change.action, "rules changed");
        Ok(next)
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
            let state = manager.workspaces.get(seat.workspace);
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
        let folder = self.workspaces.get(seat.workspace).and_then(|state| state.folder.as_ref());
        folder.is_some_and(|folder| *folder != nothing)
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
            let active = manager.state(seat.workspace)?.active.clone();
            let active = active.ok_or(Refused::NothingActive)?;
            let mut files = manager.versions.files(seat.workspace, &active)?;
            files.without.insert(audience.to_string());
            let (version, documents) = manager.prepare(seat, &files, &asker.by)?;
            let action = Action::Remove { audience: audience.to_string(), version: version.id };
            manager.act_with(seat, action, asker, documents)
        })
    }

    /// The version whose name begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, workspace: &str, name: &str) -> Result<Version, ActError> {
        self.state(workspace)?;
        let mut found = self.versions.all(workspace)?;
        found.retain(|version| version.id.as_str().starts_with(name) && !name.is_empty());
        match found.len() {
            0 => Err(ActError::UnknownVersion(name.to_string())),
            1 => Ok(found.remove(0)),
            _ => Err(ActError::AmbiguousVersion(name.to_string())),
        }
    }

    /// What is in a version.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn version(&self, workspace: &str, id: &VersionId) -> Result<Version, ActError> {
        self.versions.version(workspace, id)
    }

    fn state_or_new(&self, workspace: &str) -> Result<RulesState, ActError> {
        if workspace.is_empty()
            || workspace.len() > crate::decode::ID_BYTES_MAX
            || workspace.contains('\0')
        {
            return Err(ActError::BadWorkspace(workspace.to_string()));
        }
        let known = self.workspaces.get(workspace).cloned();
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

    /// Everything that users are evaluated by in a state; nothing while no version is active.
    fn lay_out(
        &mut self,
        workspace: &str,
        state: &RulesState,
        before: Option<&Deployment>,
    ) -> Result<Option<Deployment>, ActError> {
        let Some(active) = &state.active else { return Ok(None) };
        let loaded = self.versions.load_version(workspace, active)?;
        let shadowed = |of| state.shadow.as_ref().is_some_and(|shadow| shadow.of == of);
        let candidate = state.candidate.as_ref();
        let candidate = candidate.filter(|c| c.share > Share::NONE || shadowed(Subject::Rules));
        let mut engines = vec![(Engine::State, state.state_engine > Share::NONE)];
        engines.push((Engine::Scan, state.state_engine < Share::ALL));
        engines.retain(|(_, is_used)| *is_used || shadowed(Subject::Engine));
        let previous = match &state.previous {
            Some(previous) => self.loaded_or_none(workspace, previous),
            None => None,
        };
        let mut arms = Vec::new();
        for (engine, _) in &engines {
            let ruleset = self.ruleset(&loaded, previous.as_ref(), *engine, state)?;
            arms.push(Arm::new(Some(active.clone()), false, *engine, ruleset));
        }
        if let Some(candidate) = candidate {
            let tried = self.versions.load_version(workspace, &candidate.version)?;
            for (engine, _) in &engines {
                let ruleset = self.ruleset(&tried, Some(&loaded), *engine, state)?;
                arms.push(Arm::new(Some(candidate.version.clone()), true, *engine, ruleset));
            }
        }
        Ok(Some(Deployment::new(state.clone(), arms, before)))
    }

    /// The version before serves only to be gone back to: that it does not load is no reason to stop.
    fn loaded_or_none(&mut self, workspace: &str, id: &VersionId) -> Option<Loaded> {
        match self.versions.load_version(workspace, id) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                tracing::warn!(workspace, version = %id, "cannot load the version before: {error}");
                None
            }
        }
    }

    fn ruleset(
        &self,
        loaded: &Loaded,
        kept: Option<&Loaded>,
        engine: Engine,
        state: &RulesState,
    ) -> Result<Ruleset, ActError> {
        let standing = Standing {
            known: self.known.iter().map(|(key, id)| (*key, id.clone())).collect(),
            paused: state.paused.iter().map(|id| AudienceKey::of(id)).collect::<BTreeSet<_>>(),
            without: loaded.without.clone(),
            kept: &[],
        };
        let settings = Settings { engine, ..self.versions.loader().settings() };
        let kept = kept.map(|kept| kept.modules.clone()).unwrap_or_default();
        Ok(Ruleset::new(loaded.modules.clone(), kept, settings, standing)?)
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

    fn put(&self, deployment: Arc<Deployment>) {
        let mut deployments = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        deployments.insert(self.workspace.into(), deployment);
    }
}
