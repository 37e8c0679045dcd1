//! Rules that change on disk: loaded when they check, left as they are when they do not.

use crate::api::Service;
use crate::ruleset::{RuleFiles, Ruleset, RulesetError, RulesetLoader};
use anyhow::Context;
use muster_core::AudienceKey;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// How often folders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Folders in folders that are looked into.
const DEPTH_MAX: usize = 16;

/// Loads the rules of every workspace, at first and whenever they change.
pub(super) struct Reloader {
    loader: RulesetLoader,
    /// Every audience that there ever was, for when it is removed.
    audiences: BTreeMap<AudienceKey, Arc<str>>,
    folders: BTreeMap<Arc<str>, PathBuf>,
    loaded: HashMap<Arc<str>, Ruleset>,
    seen: BTreeMap<Arc<str>, Look>,
}

/// What a folder looks like from outside: each file, when it was changed, and its length.
type Look = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Reloader {
    pub(super) fn new(
        loader: RulesetLoader,
        audiences: impl IntoIterator<Item = (AudienceKey, Arc<str>)>,
        folders: &BTreeMap<String, PathBuf>,
    ) -> Reloader {
        let audiences = audiences.into_iter().collect();
        let folders =
            folders.iter().map(|(name, folder)| (name.as_str().into(), folder.clone())).collect();
        Reloader { loader, audiences, folders, loaded: HashMap::new(), seen: BTreeMap::new() }
    }

    /// Loads the rules of every workspace.
    ///
    /// # Errors
    /// When those of one do not load.
    pub(super) fn load_all(&mut self) -> anyhow::Result<HashMap<Arc<str>, Ruleset>> {
        for (workspace, folder) in self.folders.clone() {
            self.seen.insert(workspace.clone(), look(&folder));
            let ruleset = self
                .load(&folder)
                .with_context(|| format!("the rules of workspace `{workspace}`"))?;
            self.loaded.insert(workspace, ruleset);
        }
        Ok(self.loaded.clone())
    }

    fn load(&mut self, folder: &Path) -> anyhow::Result<Ruleset> {
        let files = match RuleFiles::read(std::slice::from_ref(&folder.to_path_buf())) {
            // A workspace may begin without any.
            Err(RulesetError::Empty { .. }) => RuleFiles::default(),
            files => files?,
        };
        let removed = self.audiences.iter().map(|(key, id)| (*key, id.clone()));
        let ruleset = self.loader.load(&files, removed)?;
        let audiences = ruleset.plan.audiences();
        self.audiences.extend(audiences.map(|audience| (audience.key, audience.id.clone())));
        Ok(ruleset)
    }

    /// Looks for changes until it is dropped; a hangup signal loads everything at once.
    pub(super) async fn watch(mut self, service: Arc<Service>) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::error!(%error, "cannot listen for hangups: rules are not reloaded");
                return;
            }
        };
        loop {
            let forced = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let service = service.clone();
            let looked = tokio::task::spawn_blocking(move || {
                self.look(&service, forced);
                self
            });
            match looked.await {
                Ok(reloader) => self = reloader,
                Err(error) => {
                    tracing::error!(%error, "loading rules was broken off: they stay as they are");
                    return;
                }
            }
        }
    }

    fn look(&mut self, service: &Service, forced: bool) {
        for (workspace, folder) in self.folders.clone() {
            let seen = look(&folder);
            if !forced && self.seen.get(&workspace) == Some(&seen) {
                continue;
            }
            self.seen.insert(workspace.clone(), seen);
            let outcome = match self.load(&folder) {
                Ok(ruleset) => {
                    self.put(service, workspace, ruleset);
                    "loaded"
                }
                Err(error) => {
                    tracing::error!(%workspace, "rules stay as they are: {error:#}");
                    "refused"
                }
            };
            service.metrics.rule_loads.with_label_values(&[outcome]).inc();
        }
    }

    fn put(&mut self, service: &Service, workspace: Arc<str>, ruleset: Ruleset) {
        let before = self.loaded.insert(workspace.clone(), ruleset.clone());
        let fingerprint = ruleset.plan.fingerprint();
        if before.is_some_and(|before| before.plan.fingerprint() == fingerprint) {
            return;
        }
        self.loader.retain(self.loaded.values());
        let sizes = ruleset.plan.sizes();
        tracing::info!(%workspace, audiences = sizes.audiences, "rules loaded");
        let mut rulesets = service.rulesets.write().unwrap_or_else(PoisonError::into_inner);
        rulesets.insert(workspace.clone(), ruleset.clone());
        drop(rulesets);
        service.worker.set_rules(workspace, ruleset);
    }
}

/// Whatever cannot be looked at is left to loading, which says why.
fn look(folder: &Path) -> Look {
    let mut look = Look::new();
    look_into(folder, DEPTH_MAX, &mut look);
    look
}

fn look_into(path: &Path, depth: usize, look: &mut Look) {
    if let (Ok(entries), 1..) = (std::fs::read_dir(path), depth) {
        for entry in entries.flatten() {
            look_into(&entry.path(), depth - 1, look);
        }
    } else if let Ok(metadata) = path.metadata() {
        look.insert(path.to_path_buf(), (metadata.modified().ok(), metadata.len()));
    }
}
