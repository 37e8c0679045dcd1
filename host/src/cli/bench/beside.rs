//! `muster bench beside`

use super::super::modules::ModuleArgs;
use super::super::{Exit, Format, inspect, output};
use crate::bench::{Scale, measure_beside};
use crate::ruleset::RulesetError;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster bench beside target/muster/shop-rules.wasm
  muster bench beside hostile.wasm --audiences 1000 --folder target")]
pub(in crate::cli) struct Args {
    /// The component.
    file: PathBuf,
    /// Audiences of the workspace that is measured.
    #[arg(long, default_value_t = 1_000)]
    audiences: usize,
    /// Where the run keeps its store, which it deletes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    #[command(flatten)]
    modules: ModuleArgs,
}

pub(in crate::cli) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let component = inspect::read(&args.file)?;
    let loaded = args.modules.engine()?.load(&component).map_err(RulesetError::Guest)?;
    let (audiences, folder) = (args.audiences, args.folder.clone());
    let scale = Scale { audiences, folder, history: 0, users: 0, events: 0 };
    let bar = output::spinner("measuring for a minute");
    let report = measure_beside(loaded, &scale)?;
    bar.finish_and_clear();
    super::write(&report, format)?;
    Ok(Exit::Done)
}
