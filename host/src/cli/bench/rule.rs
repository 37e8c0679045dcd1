//! `muster bench rule`

use super::super::{Exit, Format, output};
use crate::bench::measure_rule;
use crate::ruleset::RuleFiles;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster bench rule target/muster/shop-rules.wasm audiences.yaml

Messages of the shop of `muster demo` go to both; whoever enters and leaves must be the same.")]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
    /// Definitions of the same audiences.
    #[arg(required = true)]
    definitions: Vec<PathBuf>,
}

pub(in crate::cli) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let component = RuleFiles::read(std::slice::from_ref(&args.component))?;
    let definitions = RuleFiles::read(&args.definitions)?;
    let bar = output::spinner("measuring");
    let report = measure_rule(&component, &definitions)?;
    bar.finish_and_clear();
    super::write(&report, format)?;
    Ok(Exit::Done)
}
