//! `muster build`

use super::modules::ModuleArgs;
use super::{Exit, Format, inspect, output};
use crate::build::{Built, Toolchain, build};
use crate::guest::LoadedModule;
use crate::ruleset::RulesetError;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster build
  muster build examples/recent-ios-buyers

Needs Rust and its target for WebAssembly: `rustup target add wasm32-unknown-unknown`. Where that
cannot download, Debian's `rustc-web` and `rust-web-src` do; the first build then takes minutes.")]
pub(super) struct Args {
    /// The folder of the crate.
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    modules: ModuleArgs,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let toolchain = Toolchain::find()?;
    output::note(&format!("building with {}", toolchain.describe()));
    let mut out = std::io::stdout();
    let guests = args.modules.engine()?;
    for built in build(&args.folder, &toolchain)? {
        let loaded = guests.load(&built.component).map_err(RulesetError::Guest)?;
        match format {
            Format::Text => write!(out, "{}", text(&built, &loaded))?,
            Format::Json => writeln!(out, "{}", json(&built, &loaded)?)?,
        }
    }
    Ok(Exit::Done)
}

fn text(built: &Built, loaded: &LoadedModule) -> String {
    let Built { path, component, core_bytes } = built;
    format!(
        "{}: {} bytes (the compiler wrote {core_bytes})\n{}",
        path.display(),
        component.len(),
        inspect::audiences(loaded.module())
    )
}

fn json(built: &Built, loaded: &LoadedModule) -> anyhow::Result<String> {
    Ok(serde_json::json!({
        "file": built.path.display().to_string(),
        "bytes": built.component.len(),
        "core_bytes": built.core_bytes,
        "manifest": inspect::manifest(loaded.module())?,
    })
    .to_string())
}
