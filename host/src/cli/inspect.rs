//! `muster inspect`

use super::modules::ModuleArgs;
use super::{Exit, Format};
use crate::describe;
use crate::guest::{CallTimes, ModuleLimits, measure_calls};
use crate::ruleset::RulesetError;
use anyhow::Context;
use muster_core::Module;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Calls that are measured: enough for a median, over in a blink.
const CALLS: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster inspect target/muster/shop-rules.wasm
  muster inspect target/muster/shop-rules.wasm --format json")]
pub(super) struct Args {
    /// The component.
    file: PathBuf,
    #[command(flatten)]
    modules: ModuleArgs,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let component = read(&args.file)?;
    let guests = args.modules.engine()?;
    let imports = guests.imports(&component).map_err(RulesetError::Guest)?;
    // A component with imports is shown with them; it is refused all the same.
    if let (Format::Text, false) = (format, imports.is_empty()) {
        writeln!(std::io::stdout(), "imports: {}", imports.join(", "))?;
    }
    let loaded = guests.load(&component).map_err(RulesetError::Guest)?;
    let times = measure_calls(&loaded, CALLS).map_err(RulesetError::Guest)?;
    let mut out = std::io::stdout();
    match format {
        Format::Text => write!(
            out,
            "{}: module `{}`, {} bytes\nimports: none\n{}{}{}",
            args.file.display(),
            loaded.module().name,
            component.len(),
            limits(loaded.limits()),
            cost(&times),
            audiences(loaded.module())
        )?,
        Format::Json => {
            let microseconds = |time: std::time::Duration| time.as_secs_f64() * 1e6;
            let document = serde_json::json!({
                "file": args.file.display().to_string(),
                "bytes": component.len(),
                "imports": imports,
                "limits": serde_json::Map::from_iter(
                    limit_list(loaded.limits()).map(|(name, value)| (name.to_owned(), value.into()))
                ),
                "call_us": {
                    "first": microseconds(times.first),
                    "median": microseconds(times.median),
                    "p99": microseconds(times.p99),
                },
                "manifest": manifest(loaded.module())?,
            });
            writeln!(out, "{document}")?;
        }
    }
    Ok(Exit::Done)
}

/// Reads a component.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn limits(limits: &ModuleLimits) -> String {
    let limits = limit_list(limits).map(|(name, value)| format!("  {name:22} {value}\n"));
    format!("limits:\n{}", limits.concat())
}

/// Every limit by the name of its setting, times in milliseconds.
fn limit_list(limits: &ModuleLimits) -> [(&'static str, u64); 10] {
    let milliseconds = |time: Duration| time.as_millis() as u64;
    [
        ("component_bytes", limits.component_bytes_max as u64),
        ("manifest_bytes", limits.manifest_bytes_max as u64),
        ("compile_ms", milliseconds(limits.compile_time_max)),
        ("compile_memory_bytes", limits.compile_memory_bytes_max),
        ("memory_bytes", limits.memory_bytes_max as u64),
        ("table_elements", limits.table_elements_max as u64),
        ("stack_bytes", limits.stack_bytes_max as u64),
        ("evaluate_ms", milliseconds(limits.evaluate_time_max)),
        ("describe_ms", milliseconds(limits.describe_time_max)),
        ("output_bytes", limits.output_bytes_max as u64),
    ]
}

fn cost(times: &CallTimes) -> String {
    let CallTimes { median, p99, first, .. } = times;
    format!(
        "a call for all audiences: {median:.2?} (99 of 100: {p99:.2?}; the first: {first:.2?})\n"
    )
}

/// The manifest as JSON.
pub(super) fn manifest(module: &Module) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::from_str(&muster_rules::manifest::write(module))?)
}

/// The audiences of a module and what each looks at, a line each.
pub(super) fn audiences(module: &Module) -> String {
    let mut text = String::new();
    for audience in &module.audiences {
        let conditions = audience.conditions.iter().map(|at| {
            format!("condition: {}", describe::condition(&module.conditions[*at as usize]))
        });
        let values = audience.values.iter();
        let values = values
            .map(|at| format!("value:     {}", describe::feature(&module.values[*at as usize])));
        let mut lines = vec![format!("audience `{}`, version {}", audience.id, audience.version)];
        lines.extend(conditions.chain(values).map(|line| format!("  {line}")));
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }
    text
}
