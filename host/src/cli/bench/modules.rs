//! `muster bench modules`

use super::super::{Exit, Format, inspect, output};
use crate::bench::measure_modules;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster bench modules target/muster/shop-rules.wasm
  muster bench modules target/muster/shop-rules.wasm --count 100 --folder target")]
pub(in crate::cli) struct Args {
    /// The component that all are made of: the same under other names.
    component: PathBuf,
    /// How many.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Where the run keeps compiled code, which it deletes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

pub(in crate::cli) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let component = inspect::read(&args.component)?;
    let bar = output::spinner("measuring");
    let report = measure_modules(&component, args.count as usize, &args.folder)?;
    bar.finish_and_clear();
    super::write(&report, format)?;
    Ok(Exit::Done)
}
