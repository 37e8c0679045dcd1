//! What must come of messages: by a replay of them, in one process and in memory.

use super::Load;
use anyhow::{Context, Result, anyhow};
use muster::decode::decode;
use muster::guest::{GuestEngine, GuestSettings};
use muster::replay::{Replay, memberships};
use muster::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use muster::store::{MemoryStore, UserKey};
use muster_core::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The audiences of users; of those alone who are in one.
pub type Members = BTreeMap<String, BTreeSet<String>>;

/// Who is in which audience at the end.
///
/// # Errors
/// When the rules or a message are wrong, or the end decides nothing; see [`settled`].
pub fn expected(rules: &Path, load: &Load) -> Result<Members> {
    settled(rules, load)?.context("something is due at the very end: take another load")
}

/// The same; nothing when something is due at the very instant at which the clock stands in the end. Whether
/// it has come about then is left to how messages came together.
///
/// # Errors
/// When the rules or a message are wrong.
pub fn settled(rules: &Path, load: &Load) -> Result<Option<Members>> {
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
    replay.suspend()?;
    let before = members(&ruleset, &store)?;
    Replay::new(&ruleset, &store, None, &mut |_, _| {})?.finish(&mut |_, _| {})?;
    let after = members(&ruleset, &store)?;
    Ok((before == after).then_some(after))
}

fn members(ruleset: &Ruleset, store: &MemoryStore) -> Result<Members> {
    let mut members = Members::new();
    memberships(store, &ruleset.plan, &mut |key, audience, _| {
        members.entry(key.user.to_string()).or_default().insert(audience.to_string());
    })?;
    Ok(members)
}
