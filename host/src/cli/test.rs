//! `muster test`

use super::modules::ModuleArgs;
use super::{Exit, Format, output};
use crate::build::{Toolchain, build};
use crate::case::timeline::{Entry, Outcome};
use crate::case::{Case, evaluate, first_difference, read_beside_rules};
use crate::guest::GuestEngine;
use crate::ruleset::{ComponentFile, RuleFiles, RulesetLoader};
use crate::store::MemoryStore;
use anyhow::Context;
use muster_core::{Engine, Settings};
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster test                                  # builds the crate here, and runs cases/
  muster test cases/refunds.txt --update
  muster test --rules rules/shop shop-cases/   # definitions or components

A case is a text: what happens, a line a message, and below each line who enters and leaves.

  2026-01-03 09:00 ann purchase {amount: 12.5} context={platform: \"iOS\"}
  -> ann entered recent-ios-buyers at 2026-01-03 09:00 (event)
  until 2026-03-01
  -> ann left recent-ios-buyers at 2026-02-02 09:00 (timer)

Every case runs on both engines; it may hold definitions of its own, in lines below `rules:`.")]
pub(super) struct Args {
    /// Case files, or folders of them.
    #[arg(default_value = "cases")]
    cases: Vec<PathBuf>,
    /// Files of definitions or components, or folders of them; without it, the crate here is built.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Write what was found into the files; read the difference before you keep it.
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// The engines, the one that the service runs first.
const ENGINES: [Engine; 2] = [Engine::State, Engine::Scan];

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let mut cases = Vec::new();
    for path in &args.cases {
        cases.extend(read_beside_rules(path)?);
    }
    if cases.is_empty() {
        anyhow::bail!("no cases in `{}`: write a file that ends in .txt", args.cases[0].display());
    }
    let rules = rules(args)?;
    let guests = args.modules.engine()?;
    let mut differing = 0;
    for case in &cases {
        let mut difference = None;
        for engine in ENGINES {
            let (found, failure) = run_case(case, &rules, &guests, engine)?;
            if args.update && engine == ENGINES[0] && found != case.text {
                std::fs::write(&case.file, &found)
                    .with_context(|| format!("cannot write `{}`", case.file))?;
            }
            let told = failure.or_else(|| first_difference(&case.text, &found));
            difference =
                difference.or(told.map(|told| format!("engine {}, {told}", engine.name())));
        }
        differing += usize::from(difference.is_some());
        tell(case, difference.as_deref(), args.update, format)?;
    }
    if let Format::Text = format {
        output::note(&format!("{} cases, {differing} differ", cases.len()));
    }
    Ok(if differing == 0 || args.update { Exit::Done } else { Exit::Rules })
}

/// The rules that were named, or those of the crate here.
fn rules(args: &Args) -> anyhow::Result<RuleFiles> {
    if !args.rules.is_empty() {
        return Ok(RuleFiles::read(&args.rules)?);
    }
    let built = build(&PathBuf::from("."), &Toolchain::find()?)?;
    let components = built.into_iter().map(|built| ComponentFile {
        name: built.path.display().to_string().into(),
        bytes: built.component,
    });
    let components = components.collect();
    Ok(RuleFiles { components, ..RuleFiles::default() })
}

/// The text that the case would have if it expected what that engine says, and the first decision
/// that a module failed to give.
fn run_case(
    case: &Case,
    rules: &RuleFiles,
    guests: &GuestEngine,
    engine: Engine,
) -> anyhow::Result<(String, Option<String>)> {
    let mut ran = Ok(None);
    let found = case.run(&mut |case, _, timeline| match run_timeline(
        case, rules, guests, engine, timeline,
    ) {
        Ok(outcome) => {
            ran = Ok(outcome.failure.clone());
            outcome
        }
        Err(error) => {
            ran = Err(error);
            Outcome::default()
        }
    });
    Ok((found, ran?))
}

fn run_timeline(
    case: &Case,
    rules: &RuleFiles,
    guests: &GuestEngine,
    engine: Engine,
    timeline: &[Entry],
) -> anyhow::Result<Outcome> {
    let definitions = rules.definitions.iter().chain(&case.sources).cloned().collect();
    let components = rules.components.clone();
    let files = RuleFiles { definitions, components, ..RuleFiles::default() };
    let (id_horizon_ms, ids) = (case.limits.horizon_ms, case.limits.count);
    let settings = Settings { engine, id_horizon_ms, ids, ..Settings::default() };
    let ruleset = RulesetLoader::new(guests.clone(), settings).load(&files, Vec::new())?;
    Ok(evaluate(&ruleset, &MemoryStore::new(), timeline)?)
}

fn tell(case: &Case, difference: Option<&str>, update: bool, format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match (format, difference) {
        (Format::Json, _) => {
            let told = serde_json::json!({ "case": case.file, "difference": difference });
            writeln!(out, "{told}")?;
        }
        (Format::Text, None) => writeln!(out, "as expected  {}", case.file)?,
        (Format::Text, Some(_)) if update => writeln!(out, "written      {}", case.file)?,
        (Format::Text, Some(difference)) => {
            writeln!(out, "differs      {}: {difference}", case.file)?;
        }
    }
    Ok(())
}
