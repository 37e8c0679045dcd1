//! `muster schema`

use super::Exit;
use clap::ValueEnum;
use std::io::Write;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster schema > definition.schema.json
  muster schema manifest")]
pub(super) struct Args {
    /// Of what.
    #[arg(value_enum, default_value_t = Of::Definition)]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Files of definitions.
    Definition,
    /// The manifest of a rule module.
    Manifest,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let schema = match args.of {
        Of::Definition => muster_rules::definition_schema(),
        Of::Manifest => muster_rules::manifest_schema(),
    };
    writeln!(std::io::stdout(), "{}", schema.trim_end())?;
    Ok(Exit::Done)
}
