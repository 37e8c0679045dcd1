//! Running a timeline on a store, with the host's own replay.

use super::timeline::{Entry, Membership, Outcome, Told, UserKey};
use crate::group::StepError;
use crate::replay::{self, Replay};
use crate::ruleset::Ruleset;
use crate::store::{self, Store};
use muster_core::{Time, Transition};

/// Replays the timeline on a store, each of its runs by a replay of its own.
///
/// # Errors
/// When the store fails.
///
/// # Panics
/// When the timeline does not end with the end of a run.
pub fn evaluate(
    ruleset: &Ruleset,
    store: &dyn Store,
    timeline: &[Entry],
) -> Result<Outcome, StepError> {
    let mut outcome = Outcome::default();
    let mut first = 0;
    for run in timeline.split_inclusive(|entry| matches!(entry, Entry::End(_))) {
        let Some(Entry::End(until)) = run.last() else {
            panic!("a timeline ends with a run's end")
        };
        replay_run(ruleset, store, run, *until, first, &mut outcome)?;
        first += run.len();
    }
    Ok(outcome)
}

fn replay_run(
    ruleset: &Ruleset,
    store: &dyn Store,
    run: &[Entry],
    until: Option<Time>,
    first: usize,
    outcome: &mut Outcome,
) -> Result<(), StepError> {
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
    let totals = replay.finish(&mut |key, transition| told.push(tell(end, key, transition)))?;
    outcome.failure = outcome.failure.take().or(totals.first_failure);
    outcome.memberships.push(memberships(store, ruleset)?);
    Ok(())
}

/// All memberships in the store, sorted.
///
/// # Errors
/// When the store fails.
pub fn memberships(store: &dyn Store, ruleset: &Ruleset) -> Result<Vec<Membership>, StepError> {
    let mut members = Vec::new();
    replay::memberships(store, &ruleset.plan, &mut |key, audience, since| {
        members.push(Membership { user: user(key), audience: audience.clone(), since });
    })?;
    Ok(members)
}

/// A transition that an entry of the timeline brought about.
pub fn tell(entry: usize, key: &store::UserKey, transition: &Transition) -> Told {
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
