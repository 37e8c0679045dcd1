//! `muster check`

use super::output::counted;
use super::{Exit, Format};
use crate::ruleset::{RuleFiles, RulesetError};
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster check rules/
  muster check vip.yaml churn.yaml --format json")]
pub(super) struct Args {
    /// Files of definitions, or folders of them.
    #[arg(required = true)]
    rules: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let files = RuleFiles::read(&args.rules)?;
    let definitions = muster_rules::check(&files.definitions).map_err(RulesetError::Invalid)?;
    let (count, sources) = (definitions.audiences.len(), files.definitions.len());
    let mut out = std::io::stdout();
    match format {
        Format::Text => {
            let (audiences, files) = (counted(count, "audience"), counted(sources, "file"));
            writeln!(out, "{audiences} in {files}: nothing to mend")?;
        }
        Format::Json => {
            writeln!(out, "{}", serde_json::json!({ "audiences": count, "files": sources }))?;
        }
    }
    Ok(Exit::Done)
}
