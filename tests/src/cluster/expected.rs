//! What must come of messages: by a replay of them, in one process and in memory.

use super::Load;
use anyhow::{Result, anyhow};
use muster::decode::decode;
use muster::guest::{GuestEngine, GuestSettings};
use muster::replay::{Replay, memberships};
use muster::ruleset::{RuleFiles, RulesetLoader};
use muster::store::{MemoryStore, UserKey};
use muster_core::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The audiences of users; of those alone who are in one.
pub type Members = BTreeMap<String, BTreeSet<String>>;

/// Who is in which audience at the end.
///
/// # Errors
/// When the rules or a message are wrong.
pub fn expected(rules: &Path, load: &Load) -> Result<Members> {
    let guests = GuestEngine::new(GuestSettings::default())?;
    let files = RuleFiles::read(&[rules.to_path_buf()])?;
    let ruleset = RulesetLoader::new(guests, Settings::default()).load(&files, Vec::new())?;
    let store = MemoryStore::new();
    let mut replay = Replay::new(&ruleset, &store, None, &mut |_, _| {})?;
    for (_, json) in load.all() {
        let decoded = decode(json.as_bytes(), None).map_err(|refused| anyhow!("{refused}"))?;
        let key = UserKey { workspace: decoded.workspace, user: decoded.user };
        if let Some(message) = decoded.message {
            replay.message(&key, message, &mut |_, _| {})?;
        }
    }
    // The end of a replay brings forward what is due at that very instant, and instances do not.
    replay.suspend()?;
    let mut members = Members::new();
    memberships(&store, &ruleset.plan, &mut |key, audience, _| {
        members.entry(key.user.to_string()).or_default().insert(audience.to_string());
    })?;
    Ok(members)
}
