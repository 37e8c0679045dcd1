//! Folders of rules: deployed when they check and differ from what was deployed of them last, left as
//! they are when they do not check.

use super::{ActError, Manager, Seat};
use crate::api::Service;
use crate::ruleset::{RuleFiles, RulesetError};
use crate::store::StoreError;
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// How often folders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a start waits for another instance that changes rules, in silences after which one that is gone
/// loses the lock: one that is there has to compile what it deploys.
const LOCK_SILENCES: u32 = 4;
/// How often it tries.
const LOCK_RETRY: Duration = Duration::from_millis(250);

/// The folders of workspaces.
pub struct Folders {
    folders: BTreeMap<Arc<str>, PathBuf>,
    seen: BTreeMap<Arc<str>, Look>,
}

/// What a folder looks like from outside: each file, when it was changed, and its length.
type Look = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Folders {
    /// Those folders, by workspace.
    pub fn new(folders: &BTreeMap<String, PathBuf>) -> Folders {
        let folders = folders.iter().map(|(name, path)| (name.as_str().into(), path.clone()));
        Folders { folders: folders.collect(), seen: BTreeMap::new() }
    }

    /// Deploys every folder that differs from what was deployed of it last.
    ///
    /// # Errors
    /// When one does not load.
    pub fn deploy_all(&mut self, service: &Service) -> anyhow::Result<()> {
        for (workspace, folder) in self.folders.clone() {
            self.seen.insert(workspace.clone(), look(&folder));
            deploy_patiently(service, &workspace, &folder)
                .with_context(|| format!("the rules of workspace `{workspace}`"))?;
        }
        Ok(())
    }

    /// Looks for changes until it is dropped; a hangup signal looks into everything at once.
    pub async fn watch(mut self, service: Arc<Service>) {
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
                Ok(folders) => self = folders,
                Err(error) => {
                    tracing::error!(%error, "loading rules was broken off: they stay as they are");
                    return;
                }
            }
        }
    }

    fn look(&mut self, service: &Service, forced: bool) {
        for (workspace, folder) in &self.folders {
            let seen = look(folder);
            if !forced && self.seen.get(workspace) == Some(&seen) {
                continue;
            }
            self.seen.insert(workspace.clone(), seen);
            let outcome = match deploy(service, workspace, folder) {
                Ok(true) => "loaded",
                Ok(false) => continue,
                Err(error) if error.is_for_another() => {
                    tracing::info!(%workspace, "the folder is tried again: {error}");
                    self.seen.remove(workspace);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%workspace, "rules stay as they are: {:#}", anyhow::Error::from(error));
                    "refused"
                }
            };
            service.metrics.rule_loads.with_label_values(&[outcome]).inc();
        }
    }
}

/// Waits for other instances that change rules.
fn deploy_patiently(service: &Service, workspace: &str, folder: &Path) -> Result<bool, ActError> {
    let patience = service.config.store.cql.silence_max * LOCK_SILENCES;
    let begun = Instant::now();
    loop {
        let error = match deploy(service, workspace, folder) {
            Err(error) if error.is_for_another() => error,
            done => return done,
        };
        let waited = begun.elapsed();
        match error {
            ActError::Store(StoreError::Locked { owner, .. }) if waited > patience => {
                return Err(ActError::Busy { owner, waited_s: waited.as_secs() });
            }
            error if waited > patience => return Err(error),
            error => tracing::info!(workspace, "waiting to deploy a folder: {error}"),
        }
        std::thread::sleep(LOCK_RETRY);
    }
}

fn deploy(service: &Service, workspace: &str, folder: &Path) -> Result<bool, ActError> {
    let files = RuleFiles::read(std::slice::from_ref(&folder.to_path_buf()));
    service.manage(workspace, |manager: &mut Manager, seat: &Seat<'_>| {
        let files = match files {
            // A workspace may begin without any. Later, an empty folder is one that is being written,
            // and everybody would leave every audience.
            Err(RulesetError::Empty { .. }) if !manager.has_folder(seat) => RuleFiles::default(),
            Err(RulesetError::Empty { path }) => return Err(ActError::Emptied { path }),
            files => files?,
        };
        manager.deploy_folder(seat, &files)
    })
}

/// Whatever cannot be looked at is left to loading, which says why.
fn look(folder: &Path) -> Look {
    let files = RuleFiles::within(folder).unwrap_or_default();
    let seen = files.into_iter().filter_map(|path| {
        let metadata = path.metadata().ok()?;
        Some((path, (metadata.modified().ok(), metadata.len())))
    });
    seen.collect()
}
