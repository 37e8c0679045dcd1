//! What is tested: `muster`'s own replay, behind the same signature as the naive evaluator.

use crate::timeline::{Entry, IdLimits, Outcome};
use muster::case::{self, memberships, tell};
use muster::guest::{GuestEngine, GuestSettings};
use muster::replay::Replay;
use muster::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use muster::store;
use muster_core::{AudienceKey, Settings};
use muster_rules::Source;
use std::sync::{Arc, OnceLock};

/// Loads definitions, to be evaluated with these settings.
///
/// # Errors
/// When the definitions, or what they are compiled to, are refused.
pub fn load(sources: &[Source], settings: Settings) -> anyhow::Result<Ruleset> {
    load_after(sources, settings, Vec::new())
}

/// The same in the place of others, some of whose audiences these may not define any more.
///
/// # Errors
/// When the definitions, or what they are compiled to, are refused.
pub fn load_after(
    sources: &[Source],
    settings: Settings,
    known: Vec<(AudienceKey, Arc<str>)>,
) -> anyhow::Result<Ruleset> {
    static GUESTS: OnceLock<GuestEngine> = OnceLock::new();
    let guests = match GUESTS.get() {
        Some(guests) => guests.clone(),
        None => {
            let guests = GuestEngine::new(GuestSettings::default())?;
            GUESTS.get_or_init(|| guests).clone()
        }
    };
    let definitions = sources.to_vec();
    let files = RuleFiles { definitions, ..RuleFiles::default() };
    Ok(RulesetLoader::new(guests, settings).load(&files, known)?)
}

/// The default settings with these limits of what ids are remembered.
pub fn settings(limits: IdLimits) -> Settings {
    Settings { id_horizon_ms: limits.horizon_ms, ids: limits.count, ..Settings::default() }
}

/// Replays the timeline on a store, each of its runs by a replay of its own.
///
/// # Errors
/// When the store fails.
pub fn evaluate(
    ruleset: &Ruleset,
    store: &dyn store::Store,
    timeline: &[Entry],
) -> anyhow::Result<Outcome> {
    Ok(case::evaluate(ruleset, store, timeline)?)
}

/// Replays the timeline with the store closed and opened again after every message.
///
/// # Errors
/// When the store cannot be opened, or fails.
pub fn evaluate_stepwise(
    ruleset: &Ruleset,
    open: &dyn Fn() -> anyhow::Result<Arc<dyn store::Store>>,
    timeline: &[Entry],
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut untils = timeline.iter().filter_map(|entry| match entry {
        Entry::End(until) => Some(*until),
        Entry::Message(..) => None,
    });
    let mut until = untils.next().flatten();
    for (at, entry) in timeline.iter().enumerate() {
        let store = open()?;
        let Outcome { transitions, memberships: members, .. } = &mut outcome;
        let mut tell = |key: &_, transition: &_| transitions.push(tell(at, key, transition));
        let mut replay = Replay::new(ruleset, &*store, until, &mut tell)?;
        match entry {
            Entry::Message(key, message) => {
                let (workspace, user) = (key.workspace.clone(), key.user.clone());
                let key = store::UserKey { workspace, user };
                replay.message(&key, message.clone(), &mut tell)?;
                replay.suspend()?;
            }
            Entry::End(_) => {
                replay.finish(&mut tell)?;
                members.push(memberships(&*store, ruleset)?);
                until = untils.next().flatten();
            }
        }
    }
    Ok(outcome)
}
