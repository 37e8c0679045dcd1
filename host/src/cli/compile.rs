//! `muster compile`

use super::{Exit, Format, output};
use crate::ruleset::{RuleFiles, RulesetError};
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster compile rules/ --out build/
  muster compile vip.yaml --out build/ --format json")]
pub(super) struct Args {
    /// Files of definitions, or folders of them.
    #[arg(required = true)]
    rules: Vec<PathBuf>,
    /// The folder for the components, one a pack of audiences.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let files = RuleFiles::read(&args.rules)?;
    let definitions = muster_rules::check(&files.definitions).map_err(RulesetError::Invalid)?;
    let packs = muster_rules::packs(&definitions);
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder `{}`", args.out.display()))?;
    let bar = output::progress(packs.len() as u64, "compiling packs");
    let mut out = std::io::stdout();
    for pack in &packs {
        let component = pack.compile().map_err(RulesetError::Compile)?;
        let module = pack.module();
        let path = args.out.join(format!("{}.wasm", module.name));
        std::fs::write(&path, &component)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        let (audiences, bytes) = (module.audiences.len(), component.len());
        bar.suspend(|| match format {
            Format::Text => {
                writeln!(out, "{}: {audiences} audiences, {bytes} bytes", path.display())
            }
            Format::Json => {
                let path = path.display().to_string();
                let line =
                    serde_json::json!({ "file": path, "audiences": audiences, "bytes": bytes });
                writeln!(out, "{line}")
            }
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Exit::Done)
}
