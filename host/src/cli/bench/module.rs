//! `muster bench module`

use super::super::modules::ModuleArgs;
use super::super::{Exit, Format, inspect};
use crate::guest::measure_calls;
use crate::ruleset::RulesetError;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster bench module target/muster/shop-rules.wasm
  muster bench module target/muster/shop-rules.wasm --calls 1000000 --format json")]
pub(in crate::cli) struct Args {
    /// The component.
    file: PathBuf,
    /// How many calls are measured.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    #[command(flatten)]
    modules: ModuleArgs,
}

pub(in crate::cli) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let component = inspect::read(&args.file)?;
    let loaded = args.modules.engine()?.load(&component).map_err(RulesetError::Guest)?;
    let times = measure_calls(&loaded, args.calls as usize).map_err(RulesetError::Guest)?;
    let limit = loaded.limits().evaluate_time_max;
    let microseconds = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    let figures = [
        ("first call, with its instance", microseconds(times.first)),
        ("a call, median", microseconds(times.median)),
        ("a call, 99 of 100", microseconds(times.p99)),
        ("a call, the longest", microseconds(times.max)),
        ("a call, the limit", microseconds(limit)),
    ];
    let (name, audiences) = (&loaded.module().name, loaded.module().audiences.len());
    let mut out = std::io::stdout();
    match format {
        Format::Text => {
            let calls = args.calls;
            writeln!(out, "module `{name}`: {calls} calls for all {audiences} audiences")?;
            for (figure, value) in figures {
                writeln!(out, "  {figure:40} {value:>12.2} µs")?;
            }
        }
        Format::Json => {
            let figures: serde_json::Map<_, _> =
                figures.into_iter().map(|(figure, value)| (figure.into(), value.into())).collect();
            let told = serde_json::json!({
                "module": &**name, "calls": args.calls, "audiences": audiences,
                "microseconds": figures,
            });
            writeln!(out, "{told}")?;
        }
    }
    Ok(Exit::Done)
}
