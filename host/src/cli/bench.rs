//! `muster bench`

mod beside;
#[cfg(feature = "cluster")]
mod cluster;
mod module;
mod modules;
mod rule;

use super::{Exit, Format, output};
use crate::bench::{Measurement, Report, Scale, measure};
use clap::ValueEnum;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:
  muster bench
  muster bench engines growth
  muster bench durable --users 100000 --events 300000 --folder target
  muster bench module target/muster/shop-rules.wasm
  muster bench beside target/muster/shop-rules.wasm
  muster bench rule target/muster/shop-rules.wasm audiences.yaml
  muster bench modules target/muster/shop-rules.wasm",
    args_conflicts_with_subcommands = true
)]
pub(super) struct Args {
    #[command(subcommand)]
    of: Option<Of>,
    /// Which measurements; all, when none is named.
    #[arg(value_enum)]
    measurements: Vec<Measurement>,
    /// Audiences of the catalogue.
    #[arg(long, default_value_t = 10_000)]
    audiences: usize,
    /// Events in the history of the busy user.
    #[arg(long, default_value_t = 10_000)]
    history: usize,
    /// Users of the durable run.
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Events of the durable run.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Where the durable run keeps its store, which it deletes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Measure the calls of a rule module of one's own.
    Module(module::Args),
    /// Measure the whole way through a cluster, beside the embedded store.
    #[cfg(feature = "cluster")]
    Cluster(cluster::Args),
    /// Measure what a rule module of one's own does to the latency of everybody else.
    Beside(beside::Args),
    /// Measure a rule module of one's own beside the same audiences as definitions.
    Rule(rule::Args),
    /// Measure how long many modules take to be live, and what memory.
    Modules(modules::Args),
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    match &args.of {
        Some(Of::Module(args)) => return module::run(args, format),
        #[cfg(feature = "cluster")]
        Some(Of::Cluster(args)) => return cluster::run(args, format),
        Some(Of::Beside(args)) => return beside::run(args, format),
        Some(Of::Rule(args)) => return rule::run(args, format),
        Some(Of::Modules(args)) => return modules::run(args, format),
        None => {}
    }
    let scale = Scale {
        audiences: args.audiences,
        history: args.history,
        users: args.users,
        events: args.events,
        folder: args.folder.clone(),
    };
    let measurements = match args.measurements.as_slice() {
        [] => Measurement::value_variants(),
        some => some,
    };
    for measurement in measurements {
        let bar = output::spinner("measuring");
        let report = measure(*measurement, &scale)?;
        bar.finish_and_clear();
        write(&report, format)?;
    }
    Ok(Exit::Done)
}

fn write(report: &Report, format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match format {
        Format::Text => writeln!(out, "{report}")?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(report)?)?,
    }
    Ok(())
}
