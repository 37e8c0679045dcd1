//! `muster token`

use super::{Exit, Format, output};
use crate::access::{Role, Secret};
use clap::builder::NonEmptyStringValueParser;
use std::io::Write;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster token --name dashboard --role viewer --workspace shop >> muster.toml
  muster token --name website --ingest --workspace shop >> muster.toml

The lines for the settings go to standard output; the secret goes to standard error, this once.
A service that runs takes the lines at SIGHUP.")]
pub(super) struct Args {
    /// Whose it is, for the log.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What it is for.
    #[arg(long, value_enum, required_unless_present = "ingest")]
    role: Option<Role>,
    /// Make a key for sending messages.
    #[arg(long, conflicts_with = "role")]
    ingest: bool,
    /// Where it counts; `*` is all workspaces. Can be repeated.
    #[arg(long = "workspace", required = true, value_parser = NonEmptyStringValueParser::new())]
    workspaces: Vec<String>,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let secret = Secret::generate()?;
    let hash = secret.hash().to_string();
    let list = if args.ingest { "ingest_keys" } else { "tokens" };
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        let line = serde_json::json!({
            "secret": secret.text(), "list": list, "name": args.name,
            "role": args.role.map(Role::name), "workspaces": args.workspaces, "hash": hash,
        });
        writeln!(out, "{line}")?;
        return Ok(Exit::Done);
    }
    let mut entry = toml::Table::new();
    entry.insert("name".to_string(), args.name.clone().into());
    if let Some(role) = args.role {
        entry.insert("role".to_string(), role.name().into());
    }
    entry.insert("workspaces".to_string(), args.workspaces.clone().into());
    entry.insert("hash".to_string(), hash.into());
    write!(out, "\n[[access.{list}]]\n{entry}")?;
    output::note(secret.text());
    Ok(Exit::Done)
}
