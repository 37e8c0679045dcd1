//! Versions of rules in the store, and their modules in memory.

use super::{ActError, Documents};
use crate::guest::LoadedModule;
use crate::lifecycle::{RulesState, Version, VersionId, names};
use crate::ruleset::{RuleFiles, RulesetLoader};
use crate::store::{Store, StoreError};
use muster_core::AudienceKey;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Versions of a workspace that are kept beside those that are in use; the oldest go first.
const VERSIONS_MAX: usize = 32;

/// Versions of all workspaces.
pub(super) struct Versions {
    store: Arc<dyn Store>,
    loader: RulesetLoader,
    loaded: HashMap<VersionId, Loaded>,
}

/// A version's modules.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) modules: Vec<LoadedModule>,
    pub(super) without: BTreeSet<AudienceKey>,
}

impl Versions {
    pub(super) fn new(store: Arc<dyn Store>, loader: RulesetLoader) -> Versions {
        Versions { store, loader, loaded: HashMap::new() }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn loader(&self) -> &RulesetLoader {
        &self.loader
    }

    /// Loads the modules of files, which may not be a version yet.
    pub(super) fn load(&mut self, files: &RuleFiles) -> Result<Loaded, ActError> {
        let id = VersionId::of(files);
        if let Some(loaded) = self.loaded.get(&id) {
            return Ok(loaded.clone());
        }
        let loaded = Loaded { modules: self.loader.load_modules(files)?, without: files.without() };
        self.loaded.insert(id, loaded.clone());
        Ok(loaded)
    }

    /// Loads the modules of a version.
    pub(super) fn load_version(
        &mut self,
        workspace: &str,
        id: &VersionId,
    ) -> Result<Loaded, ActError> {
        match self.loaded.get(id) {
            Some(loaded) => Ok(loaded.clone()),
            None => {
                let files = self.files(workspace, id)?;
                self.load(&files)
            }
        }
    }

    /// The files of a version.
    pub(super) fn files(&self, workspace: &str, id: &VersionId) -> Result<RuleFiles, ActError> {
        let component = |digest: &str| {
            let bytes = self.store.document(&names::component(digest))?;
            bytes.ok_or(ActError::Store(StoreError::Damaged { table: "documents" }))
        };
        read_version(&*self.store, workspace, id)?.files(component)
    }

    /// What is to be kept of a new version, and let go of for it.
    pub(super) fn keep(
        &self,
        workspace: &str,
        version: &Version,
        files: &RuleFiles,
        state: &RulesState,
    ) -> Result<Documents, ActError> {
        let mut documents = Documents::new();
        let kept = all_versions(&*self.store, workspace)?;
        if kept.iter().any(|kept| kept.id == version.id) {
            return Ok(documents);
        }
        documents.push((names::version(workspace, &version.id), Some(encode(version))));
        for (component, file) in version.components.iter().zip(&files.components) {
            documents.push((names::component(&component.digest), Some(file.bytes.clone())));
        }
        let in_use: BTreeSet<&VersionId> = state.versions().collect();
        let idle: Vec<&Version> = kept.iter().filter(|kept| !in_use.contains(&kept.id)).collect();
        let gone = idle.len().saturating_sub(VERSIONS_MAX);
        let gone = &idle[..gone];
        documents.extend(gone.iter().map(|old| (names::version(workspace, &old.id), None)));
        let gone_ids: BTreeSet<&VersionId> = gone.iter().map(|old| &old.id).collect();
        let mut used: BTreeSet<String> =
            version.components.iter().map(|component| component.digest.clone()).collect();
        if gone.iter().any(|old| !old.components.is_empty()) {
            for (name, _) in self.store.documents(names::STATE, None, usize::MAX)? {
                let other = name.strip_prefix(names::STATE).unwrap_or_default();
                for version in all_versions(&*self.store, other)? {
                    if other != workspace || !gone_ids.contains(&version.id) {
                        used.extend(version.components.into_iter().map(|c| c.digest));
                    }
                }
            }
        }
        let unused = gone.iter().flat_map(|old| &old.components);
        let unused = unused.filter(|component| !used.contains(&component.digest));
        documents.extend(unused.map(|component| (names::component(&component.digest), None)));
        Ok(documents)
    }

    /// Lets go of modules that no state uses.
    pub(super) fn retain<'a>(&mut self, states: impl Iterator<Item = &'a RulesState>) {
        let used: BTreeSet<&VersionId> = states.flat_map(RulesState::versions).collect();
        self.loaded.retain(|id, _| used.contains(id));
        self.loader.retain(self.loaded.values().flat_map(|loaded| &loaded.modules));
    }
}

/// A version, as it was deployed.
///
/// # Errors
/// When there is none, or the store fails.
pub fn read_version(
    store: &dyn Store,
    workspace: &str,
    id: &VersionId,
) -> Result<Version, ActError> {
    let document = store.document(&names::version(workspace, id))?;
    decode(&document.ok_or_else(|| ActError::UnknownVersion(id.short().to_string()))?)
}

/// The version whose name begins so.
///
/// # Errors
/// When there is none, or more than one, or the store fails.
pub fn find_version(store: &dyn Store, workspace: &str, name: &str) -> Result<Version, ActError> {
    let mut found = all_versions(store, workspace)?;
    found.retain(|version| version.id.as_str().starts_with(name) && !name.is_empty());
    match found.len() {
        0 => Err(ActError::UnknownVersion(name.to_string())),
        1 => Ok(found.remove(0)),
        _ => Err(ActError::AmbiguousVersion(name.to_string())),
    }
}

/// All versions of a workspace that are kept, the oldest first.
fn all_versions(store: &dyn Store, workspace: &str) -> Result<Vec<Version>, ActError> {
    let prefix = names::versions(workspace);
    let mut versions = Vec::new();
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.documents(&prefix, after.as_deref(), VERSIONS_MAX)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, document) in &page {
            versions.push(decode::<Version>(document)?);
        }
    }
    versions.sort_by(|one, other| one.created.cmp(&other.created));
    Ok(versions)
}

/// A document as it is kept.
pub(super) fn encode(document: &impl serde::Serialize) -> Vec<u8> {
    // Texts, numbers and lists of them always serialise.
    serde_json::to_vec(document).unwrap_or_default()
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(document: &[u8]) -> Result<T, ActError> {
    serde_json::from_slice(document)
        .map_err(|_| ActError::Store(StoreError::Damaged { table: "documents" }))
}
