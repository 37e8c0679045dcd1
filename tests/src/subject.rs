//! What is tested: `muster`'s own replay, behind the same signature as the naive evaluator.

use crate::timeline::{Entry, IdLimits, Membership, Outcome, Told, UserKey};
use anyhow::Context;
use muster::guest::{GuestEngine, GuestSettings};
use muster::replay::{Replay, memberships};
use muster::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use muster::store;
use muster_core::{Settings, Time, Transition};
use muster_rules::Source;
use std::sync::OnceLock;

/// Loads definitions, to be evaluated with these settings.
///
/// # Errors
/// When the definitions, or what they are compiled to, are refused.
pub fn load(sources: &[Source], settings: Settings) -> anyhow::Result<Ruleset> {
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
    Ok(RulesetLoader::new(guests, settings).load(&files, [])?)
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
    let mut outcome = Outcome::default();
    let mut first = 0;
    for run in timeline.split_inclusive(|entry| matches!(entry, Entry::End(_))) {
        let Some(Entry::End(until)) = run.last() else {
            anyhow::bail!("a timeline ends with a run's end")
        };
        replay(ruleset, store, run, *until, first, &mut outcome)
            .with_context(|| format!("in the run from entry {first}"))?;
        first += run.len();
    }
    Ok(outcome)
}

fn replay(
    ruleset: &Ruleset,
    store: &dyn store::Store,
    run: &[Entry],
    until: Option<Time>,
    first: usize,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let told = &mut outcome.transitions;
    let mut replay = Replay::new(ruleset, store, until, &mut |key, transition| {
        told.push(tell(first, key, transition));
    })?;
    for (entry, step) in (first..).zip(run) {
        if let Entry::Message(user, message) = step {
            let (workspace, user) = (user.workspace.clone(), user.user.clone());
            let key = store::UserKey { workspace, user };
            replay.message(&key, message.clone(), &mut |key, transition| {
                told.push(tell(entry, key, transition));
            })?;
        }
    }
    let end = first + run.len() - 1;
    replay.finish(&mut |key, transition| told.push(tell(end, key, transition)))?;
    outcome.memberships.push(all_memberships(store, ruleset)?);
    Ok(())
}

/// Replays the timeline with the store closed and opened again after every message.
///
/// # Errors
/// When the store cannot be opened, or fails.
pub fn evaluate_stepwise(
    ruleset: &Ruleset,
    open: &dyn Fn() -> anyhow::Result<Box<dyn store::Store>>,
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
        let Outcome { transitions, memberships: members } = &mut outcome;
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
                members.push(all_memberships(&*store, ruleset)?);
                until = untils.next().flatten();
            }
        }
    }
    Ok(outcome)
}

fn all_memberships(store: &dyn store::Store, ruleset: &Ruleset) -> anyhow::Result<Vec<Membership>> {
    let mut members = Vec::new();
    memberships(store, &ruleset.plan, &mut |key, audience, since| {
        members.push(Membership { user: user(key), audience: audience.clone(), since });
    })?;
    Ok(members)
}

fn tell(entry: usize, key: &store::UserKey, transition: &Transition) -> Told {
    Told {
        entry,
        user: user(key),
        number: transition.number,
        audience: transition.audience.clone(),
        change: transition.change,
        at: transition.at,
        cause: transition.cause,
    }
}

fn user(key: &store::UserKey) -> UserKey {
    UserKey { workspace: key.workspace.clone(), user: key.user.clone() }
}
