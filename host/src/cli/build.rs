//! `muster build`

use super::modules::ModuleArgs;
use super::{Exit, Format, inspect, output};
use crate::build::{Built, Toolchain, adopt, build};
use crate::guest::LoadedModule;
use crate::ruleset::RulesetError;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster build
  muster build examples/recent-ios-buyers
  muster build --component target/rules-in-javascript.wasm --config muster.toml

Needs Rust and its target for WebAssembly: `rustup target add wasm32-unknown-unknown`. Where that
cannot download, Debian's `rustc-web` and `rust-web-src` do; the first build then takes minutes.

A component that some other tool built for the contract needs none of it. It is asked what it is, and
gets its manifest where it can be read from outside; where its versions say
`muster-build-writes-version-here`, the hash of its code takes that place.")]
pub(super) struct Args {
    /// The folder of the crate.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Make a rule module of this component instead; what is made is put into `muster/` beside it.
    /// Until it has told its name, it has the limits of the module that is called as its file.
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    component: Option<PathBuf>,
    #[command(flatten)]
    modules: ModuleArgs,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout();
    let guests = args.modules.engine()?;
    let all_built = match &args.component {
        Some(component) => vec![adopt(component, &guests)?],
        None => {
            let toolchain = Toolchain::find()?;
            output::note(&format!("building with {}", toolchain.describe()));
            build(&args.folder, &toolchain)?
        }
    };
    for built in all_built {
        let loaded = guests.load(&built.component).map_err(RulesetError::Guest)?;
        match format {
            Format::Text => write!(out, "{}", text(&built, &loaded))?,
            Format::Json => writeln!(out, "{}", json(&built, &loaded)?)?,
        }
    }
    Ok(Exit::Done)
}

fn text(built: &Built, loaded: &LoadedModule) -> String {
    let Built { path, component, compiler_bytes } = built;
    format!(
        "{}: {} bytes (the compiler wrote {compiler_bytes})\n{}",
        path.display(),
        component.len(),
        inspect::audiences(loaded.module())
    )
}

fn json(built: &Built, loaded: &LoadedModule) -> anyhow::Result<String> {
    Ok(serde_json::json!({
        "file": built.path.display().to_string(),
        "bytes": built.component.len(),
        "compiler_bytes": built.compiler_bytes,
        "manifest": inspect::manifest(loaded.module())?,
    })
    .to_string())
}
