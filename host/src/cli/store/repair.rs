//! What a repair of a user found, did, and could not bring back.

use super::clock_max;
use crate::cli::{Exit, Format};
use crate::config::Config;
use crate::group::is_shadow;
use crate::service::cql_settings;
use crate::store::{CqlMetrics, CqlStore, Damage, Repair, Repaired, UserKey};
use anyhow::bail;
use serde_json::json;
use std::io::Write;

pub(super) fn run(config: &Config, key: &UserKey, format: Format) -> anyhow::Result<Exit> {
    let store = CqlStore::open(&cql_settings(&config.store)?, CqlMetrics::default())?;
    let UserKey { workspace, user } = key;
    let said = match (store.repair(key, &is_shadow, clock_max(config))?, format) {
        (Repair::Unknown, _) => {
            bail!("nothing is kept of user `{user}` in workspace `{workspace}`: check both names")
        }
        (Repair::Whole, Format::Text) => {
            format!(
                "nothing of user `{user}` in workspace `{workspace}` is damaged, nor was changed"
            )
        }
        (Repair::Done(repaired), Format::Text) => {
            format!("repaired user `{user}` in workspace `{workspace}`\n{}", report(&repaired))
        }
        (Repair::Whole, Format::Json) => json!({ "damaged": [] }).to_string(),
        (Repair::Done(repaired), Format::Json) => json!({
            "damaged": repaired.damaged.iter().copied().map(name).collect::<Vec<_>>(),
            "gone": gone(&repaired),
            "events": repaired.events,
            "memberships": repaired.memberships,
            "next_transition": repaired.transitions + 1,
        })
        .to_string(),
    };
    writeln!(std::io::stdout(), "{said}")?;
    Ok(Exit::Done)
}

fn report(repaired: &Repaired) -> String {
    let damaged: Vec<&str> = repaired.damaged.iter().copied().map(name).collect();
    let gone = match gone(repaired) {
        gone if gone.is_empty() => "nothing".to_string(),
        gone => gone.join("; "),
    };
    let Repaired { events, memberships, transitions, .. } = repaired;
    format!(
        "damaged: {}\nkept:    {events} events, {memberships} memberships\ngone:    {gone}\nher next transition is number {}",
        damaged.join(", "),
        transitions + 1,
    )
}

fn name(damage: Damage) -> &'static str {
    match damage {
        Damage::Version => "version",
        Damage::State => "state",
        Damage::Profile => "profile",
        Damage::Untold => "untold",
        Damage::Timer => "timer",
        Damage::Shadow => "shadow",
        Damage::Members => "members",
    }
}

/// What cannot be told from what was left.
fn gone(repaired: &Repaired) -> Vec<&'static str> {
    let mut gone = Vec::new();
    for damage in &repaired.damaged {
        match damage {
            Damage::State if repaired.keeps_positions => {}
            Damage::State => gone.push(
                "how far her messages were taken (those that are delivered again count again)",
            ),
            Damage::Profile => gone.push("attributes and identities (send them again)"),
            Damage::Untold => gone.push("transitions that were not told yet"),
            Damage::Version | Damage::Timer | Damage::Shadow | Damage::Members => {}
        }
    }
    if repaired.damaged.iter().any(|damage| matches!(damage, Damage::State | Damage::Profile)) {
        gone.push("what was counted of events that her history has no more");
    }
    gone
}
