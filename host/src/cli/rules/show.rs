//! What the service says of rules, for people.

use super::super::{Exit, Format};
use crate::lifecycle::{ANY, Verification};
use crate::manager::Change;
use serde_json::Value;
use std::io::Write;

/// Digits of a version's name that people are shown.
const SHORT: usize = 12;
/// Audiences of a verification or a difference that people are shown; programs get all.
const ROWS: usize = 10;

/// Writes an answer: as it is for programs, and as text for people.
pub(super) fn answer(
    answer: &Value,
    format: Format,
    text: impl FnOnce(&Value) -> Vec<String>,
) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{answer}")?,
        Format::Text => {
            for line in text(answer) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) fn deployed(answer: &Value) -> Vec<String> {
    let mut lines = vec![format!("version {} is the candidate", version(&answer["version"]))];
    lines.extend(diff(&answer["diff"]));
    lines
}

pub(super) fn status(state: &Value) -> Vec<String> {
    let mut lines = vec![
        format!("workspace   {} (revision {})", text(&state["workspace"]), state["revision"]),
        format!("active      {}, {}", version(&state["active"]), audiences(&state["audiences"])),
    ];
    if !state["previous"].is_null() {
        lines.push(format!("before      {}", version(&state["previous"])));
    }
    let candidate = &state["candidate"];
    if !candidate.is_null() {
        lines.push(format!(
            "candidate   {}, deciding {}% of the users, {} changed",
            version(&candidate["version"]),
            candidate["share"],
            audiences(&state["changed"]),
        ));
    }
    lines.push(format!("engine      state for {}% of the users", state["state_engine"]));
    let shadow = &state["shadow"];
    if !shadow.is_null() {
        let (of, share) = (text(&shadow["of"]), &shadow["share"]);
        lines.push(format!(
            "shadow      of {of} for {share}% of the users, {} evaluations, differences: {}",
            state["shadowed"],
            differences(&state["differences"]),
        ));
    }
    if let Some(steps) = state["schedule"]["steps"].as_array() {
        let shares = steps.iter().map(|step| format!("{}%", step["share"]));
        let shares: Vec<String> = shares.collect();
        lines.push(format!("schedule    {}", shares.join(" -> ")));
    }
    if let Some(reason) = state["waits_for"].as_str() {
        lines.push(format!("waiting     {reason}"));
    }
    if let Some(filling) = state["filling"].as_object() {
        let of = filling.get("of").map(|of| format!(" of {of}")).unwrap_or_default();
        lines.push(format!("filling     {}{of} users", filling["users"]));
    }
    for failed in state["failures"].as_array().into_iter().flatten() {
        lines.push(format!(
            "failing     module {}: {} of {} calls: {}",
            text(&failed["module"]),
            failed["failed"],
            failed["calls"],
            text(&failed["reason"]),
        ));
    }
    let paused = names(&state["paused"]);
    if !paused.is_empty() {
        lines.push(format!("paused      {}", few(&paused)));
    }
    lines
}

fn audiences(count: &Value) -> String {
    let plural = if count.as_u64() == Some(1) { "" } else { "s" };
    format!("{count} audience{plural}")
}

fn differences(classes: &Value) -> String {
    let classes = classes.as_object().into_iter().flatten();
    let classes: Vec<String> =
        classes.map(|(class, count)| format!("{count} {}", class.replace('_', " "))).collect();
    if classes.is_empty() { "none".to_string() } else { classes.join(", ") }
}

pub(super) fn diff(diff: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (sign, kind) in [('+', "added"), ('~', "changed"), ('-', "removed")] {
        let audiences = names(&diff[kind]);
        if !audiences.is_empty() {
            lines.push(format!("{sign} {} {kind}: {}", audiences.len(), few(&audiences)));
        }
    }
    lines.push(format!("  {} the same", diff["same"]));
    lines
}

pub(super) fn history(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let Change { revision, at, by, action, reason } = change;
        let reason = reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        format!("{revision:>6}  {at}  {by}  {action}{reason}")
    };
    changes.iter().map(line).collect()
}

pub(super) fn verification(found: &Verification) -> Vec<String> {
    let Verification { of, share, agrees, p, level, rows } = found;
    let verdict = match (agrees, p) {
        (Some(true), Some(p)) => {
            format!(
                "{} at {share}: adds and drops match the share (p {p:.3}, at least {level})",
                of.name()
            )
        }
        (Some(false), Some(p)) => {
            format!(
                "{} at {share}: adds and drops do not match the share (p {p:.2e}, below {level})",
                of.name()
            )
        }
        _ => format!("{} at {share}: too few users have entered or left to tell", of.name()),
    };
    let mut lines = vec![verdict];
    for row in rows.iter().take(ROWS) {
        let part = 100.0 * row.new_users as f64 / (row.users as f64).max(1.0);
        let note = if row.same_rules { "" } else { ", other rules: not judged" };
        let name = match &*row.audience {
            ANY => "all audiences of the same rules".to_string(),
            audience => format!("{audience} {}", row.change),
        };
        lines.push(format!(
            "  {name}: {} of {} users on the new side ({part:.2}%), p {:.3}{note}",
            row.new_users, row.users, row.adjusted,
        ));
    }
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|more| *more > 0) {
        lines.push(format!("  {more} more: see them with --format json"));
    }
    lines
}

fn version(id: &Value) -> String {
    id.as_str().map_or("none".to_string(), |id| id.chars().take(SHORT).collect())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn few(names: &[&str]) -> String {
    match names.len().checked_sub(ROWS).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", names[..ROWS].join(", ")),
        None => names.join(", "),
    }
}
