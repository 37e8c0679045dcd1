//! `muster store`: making the tables of a shared store, moving everything from one store to another, and
//! repairing a user.

#[cfg(feature = "cql")]
mod repair;

use super::{Exit, Format};
use crate::clock::wall_time;
use crate::config::{ClockKind, Config, StoreKind};
use crate::metrics::Metrics;
use crate::service::open_store;
use crate::store::{Copied, UserKey, copy};
use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use muster_core::Time;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the keyspace and tables of a store of kind `cql`, or bring them up to date.
    #[command(after_help = "Examples:
  muster store init --config muster.toml

Does nothing where they are as they should be. Instances of the version before may go on meanwhile.")]
    Init {
        /// The file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Copy everything from one store to another of either kind, and compare the two.
    #[command(after_help = "Examples:
  muster store copy --from-config embedded.toml --to-config cluster.toml
  muster store copy --from-config cluster.toml --to-config backup.toml

Nothing may run on either store meanwhile. The other must be empty. Transitions that were told are not
copied: read them to the end first. The copy is compared with the original, user by user.")]
    Copy {
        /// Settings of the store to copy from.
        #[arg(long, value_name = "FILE")]
        from_config: PathBuf,
        /// Settings of the store to copy to.
        #[arg(long, value_name = "FILE")]
        to_config: PathBuf,
    },
    /// Repair a user of a store of kind `cql` whose row is damaged, from what is left of her.
    #[command(after_help = "Examples:
  muster store repair --config muster.toml shop ann

Says what was damaged and what is gone. Changes nothing where nothing is damaged. Instances may go on
meanwhile: they decide her anew, from her history, within a minute.")]
    Repair {
        /// The file of settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Her workspace.
        workspace: String,
        /// Her id.
        user: String,
    },
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Init { config } => init(config, format),
        Command::Copy { from_config, to_config } => copy_store(from_config, to_config, format),
        Command::Repair { config, workspace, user } => {
            let key = UserKey { workspace: workspace.as_str().into(), user: user.as_str().into() };
            repair_user(config, &key, format)
        }
    }
}

fn init(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let config = Config::read(path)?;
    if config.store.kind != StoreKind::Cql {
        bail!("the store of `{}` is embedded, which `muster serve` makes itself", path.display());
    }
    #[cfg(feature = "cql")]
    crate::store::initialise(&crate::service::cql_settings(&config.store)?)?;
    let keyspace = &config.store.cql.keyspace;
    let mut out = std::io::stdout();
    match format {
        Format::Text => writeln!(out, "keyspace `{keyspace}` is as this version needs it")?,
        Format::Json => writeln!(out, "{}", json!({ "keyspace": keyspace }))?,
    }
    Ok(Exit::Done)
}

fn repair_user(path: &Path, key: &UserKey, format: Format) -> anyhow::Result<Exit> {
    let config = Config::read(path)?;
    match config.store.kind {
        StoreKind::Embedded => bail!(
            "the store of `{}` is embedded, and not repaired by user: restore it from a backup",
            path.display()
        ),
        #[cfg(feature = "cql")]
        StoreKind::Cql => repair::run(&config, key, format),
        #[cfg(not(feature = "cql"))]
        StoreKind::Cql => {
            let _ = (key, format);
            bail!("this build knows no CQL: build with `--features cluster`")
        }
    }
}

/// What a store's clock is not believed beyond: by the machines' clocks, of which one may have been ahead, any
/// instance writes where its own stands, and none goes on from that.
fn clock_max(config: &Config) -> Time {
    match config.time.clock {
        ClockKind::Wall => wall_time(),
        ClockKind::Events => Time::MAX,
    }
}

fn copy_store(from: &Path, to: &Path, format: Format) -> anyhow::Result<Exit> {
    let metrics = Arc::new(Metrics::new()?);
    let open = |config: &Config, path: &Path| {
        if config.store.kind == StoreKind::Embedded && !config.store.path.exists() {
            tracing::debug!(path = %config.store.path.display(), "makes a new store");
        }
        open_store(&config.store, &metrics)
            .with_context(|| format!("the store of `{}`", path.display()))
    };
    let (original, other) = (Config::read(from)?, Config::read(to)?);
    let (source, target) = (open(&original, from)?, open(&other, to)?);
    let style = ProgressStyle::with_template("{msg} {pos} of {len} users {wide_bar} {eta}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let copied = copy(&*source, &*target, clock_max(&original), &mut |what, users, all| {
        bar.set_message(what);
        bar.set_length(all);
        bar.set_position(users);
    });
    bar.finish_and_clear();
    let Copied { users, events, members, documents } = copied?;
    let mut out = std::io::stdout();
    match format {
        Format::Text => writeln!(
            out,
            "copied and compared: {users} users, {events} events, {members} memberships, \
             {documents} documents"
        )?,
        Format::Json => {
            let copied = json!({
                "users": users, "events": events, "memberships": members, "documents": documents,
            });
            writeln!(out, "{copied}")?;
        }
    }
    Ok(Exit::Done)
}
