//! `muster bench cluster`

use crate::bench::{ClusterScale, cluster};
use crate::cli::{Exit, Format, output};
use crate::config::Config;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster bench cluster --config muster.toml
  muster bench cluster --config muster.toml --users 5000 --events 20000 --timers 10000

The settings name a database, and topics of messages and of transitions that there are and that nobody else
uses: messages are left in them. Keyspaces of its own are made, and left.")]
pub(super) struct Args {
    /// The file of settings: `store.cql` and `pulsar`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Audiences of the catalogue.
    #[arg(long, default_value_t = 10_000)]
    audiences: usize,
    /// Users.
    #[arg(long, default_value_t = 20_000)]
    users: u64,
    /// Messages of one event, beside one of each user.
    #[arg(long, default_value_t = 40_000)]
    events: u64,
    /// Timers that are due at once.
    #[arg(long, default_value_t = 100_000)]
    timers: u64,
    /// Where rules and the embedded store are put, which are deleted.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let scale = ClusterScale {
        config: Config::read(&args.config)?,
        audiences: args.audiences,
        users: args.users,
        events: args.events,
        timers: args.timers,
        folder: args.folder.clone(),
    };
    let bar = output::spinner("measuring");
    let reports = cluster(&scale)?;
    bar.finish_and_clear();
    reports.iter().try_for_each(|report| super::write(report, format))?;
    Ok(Exit::Done)
}
