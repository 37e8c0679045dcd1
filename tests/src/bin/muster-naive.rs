//! Replays messages through the naive evaluator: the output of `muster replay`, from the reference.

use anyhow::Context;
use clap::Parser;
use muster::decode::{decode, format_time, parse_time};
use muster_core::Time;
use muster_rules::{Source, check};
use muster_tests::naive::evaluate;
use muster_tests::timeline::{Entry, IdLimits, Outcome, UserKey};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(about = "Replay messages through the naive evaluator")]
struct Args {
    /// Files of definitions.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// A file of messages, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The end: a date or an RFC 3339 time. Later events are not read.
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Time>,
    /// Where transitions go.
    #[arg(long, value_name = "FILE")]
    transitions: Option<PathBuf>,
    /// Where the memberships at the end go.
    #[arg(long, value_name = "FILE")]
    memberships: Option<PathBuf>,
}

fn parse_until(text: &str) -> Result<Time, String> {
    parse_time(text)
        .or_else(|| parse_time(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "write a date (2026-02-01) or RFC 3339 (2026-02-01T09:00:00Z)".to_string())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut sources = Vec::new();
    for path in &args.rules {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        sources.push(Source { name: path.display().to_string().into(), text });
    }
    let definitions = check(&sources).map_err(|diagnostics| {
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    let mut timeline = Vec::new();
    let events = File::open(&args.events).with_context(|| args.events.display().to_string())?;
    for line in BufReader::new(events).lines() {
        // What is refused has no effect.
        if let Ok(decoded) = decode(line?.as_bytes(), None)
            && let Some(message) = decoded.message
        {
            let user = UserKey { workspace: decoded.workspace, user: decoded.user };
            timeline.push(Entry::Message(user, message));
        }
    }
    timeline.push(Entry::End(args.until));
    let outcome = evaluate(&definitions.audiences, IdLimits::default(), &timeline);
    write(args.transitions.as_deref(), transitions(&outcome))?;
    write(args.memberships.as_deref(), memberships(&outcome))
}

fn transitions(outcome: &Outcome) -> impl Iterator<Item = serde_json::Value> + '_ {
    outcome.transitions.iter().map(|told| {
        json!({
            "workspace": *told.user.workspace,
            "user": *told.user.user,
            "audience": *told.audience,
            "change": told.change.name(),
            "at": format_time(told.at),
            "number": told.number,
            "cause": told.cause.name(),
        })
    })
}

fn memberships(outcome: &Outcome) -> impl Iterator<Item = serde_json::Value> + '_ {
    outcome.memberships.iter().flatten().map(|membership| {
        json!({
            "workspace": *membership.user.workspace,
            "user": *membership.user.user,
            "audience": *membership.audience,
            "since": format_time(membership.since),
        })
    })
}

fn write(
    path: Option<&Path>,
    lines: impl Iterator<Item = serde_json::Value>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut out = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
