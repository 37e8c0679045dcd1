//! `muster replay`

use super::modules::ModuleArgs;
use super::{Exit, Format, output};
use crate::decode::parse_time;
use crate::input::Messages;
use crate::replay::{Replay, Totals, memberships};
use crate::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use crate::store::{EmbeddedStore, MemoryStore, Store, StoreOptions, UserKey};
use crate::transitions::{membership_line, to_line};
use anyhow::Context;
use clap::ValueEnum;
use muster_core::{AudienceKey, Engine, Settings, Time, Transition};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Refused lines that are shown; the rest are counted.
const REFUSED_SHOWN_MAX: u64 = 20;
/// Differences between two engines that are shown.
const DIFFERENCES_SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster replay --rules rules/ --events events.ndjson.gz
  muster replay --rules rules/ --events - --memberships members.ndjson --until 2026-02-01
  muster replay --rules rules/ --events events.ndjson --engine both

Without --transitions and --memberships, transitions go to standard output.")]
pub(super) struct Args {
    /// Files of definitions or components, or folders of them.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Files of messages, one JSON object a line, plain or gzip; `-` is standard input.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Which engine answers; `both` compares the two, message by message.
    #[arg(long, value_enum, default_value_t = Engines::State)]
    engine: Engines,
    /// The end: a date or an RFC 3339 time. Later events are not read.
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Time>,
    /// Where transitions go; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    transitions: Option<PathBuf>,
    /// Where the memberships at the end go; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    memberships: Option<PathBuf>,
    /// A store to go on from and to keep; without it, everything is kept in memory and forgotten.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bounded"])]
    store: Option<PathBuf>,
    /// Do not read history when intervals alone do not decide: take the likelier answer.
    #[arg(long)]
    bounded: bool,
    #[command(flatten)]
    modules: ModuleArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engines {
    /// Reads the numbers kept for each user.
    State,
    /// Reads each user's events.
    Scan,
    /// Both, compared.
    Both,
}

/// A date, or an RFC 3339 time.
fn parse_until(text: &str) -> Result<Time, String> {
    parse_time(text)
        .or_else(|| parse_time(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "write a date (2026-02-01) or RFC 3339 (2026-02-01T09:00:00Z)".to_string())
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    if args.events.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        anyhow::bail!("standard input can be read once: write `-` once in --events");
    }
    let files = RuleFiles::read(&args.rules)?;
    let store = open_store(args)?;
    let guests = args.modules.engine()?;
    let load = |engine: Engine, removed: Vec<(AudienceKey, Arc<str>)>| {
        let settings = Settings { engine, exact: !args.bounded, ..Settings::default() };
        RulesetLoader::new(guests.clone(), settings).load(&files, removed)
    };
    let engine = if args.engine == Engines::Scan { Engine::Scan } else { Engine::State };
    let ruleset = load(engine, store.audience_ids()?)?;
    let mut sink = Sink::open(args)?;
    let (exit, totals, refused) = match args.engine {
        Engines::Both => {
            let scan = load(Engine::Scan, Vec::new())?;
            run_both(args, &ruleset, &scan, &*store, &mut sink, format)?
        }
        Engines::State | Engines::Scan => run_one(args, &ruleset, &*store, &mut sink, format)?,
    };
    sink.finish()?;
    if let Some(path) = &args.memberships {
        write_memberships(path, &*store, &ruleset)?;
    }
    output::note(&match format {
        Format::Text => describe(&totals, refused),
        Format::Json => serde_json::json!({ "totals": totals, "refused": refused }).to_string(),
    });
    Ok(exit)
}

fn open_store(args: &Args) -> anyhow::Result<Box<dyn Store>> {
    match &args.store {
        Some(_) if args.engine == Engines::Both => {
            anyhow::bail!("--engine both compares engines from the beginning: leave out --store")
        }
        Some(path) => Ok(Box::new(EmbeddedStore::open(path, StoreOptions::default())?)),
        None => Ok(Box::new(MemoryStore::new())),
    }
}

type Outcome = (Exit, Totals, u64);

fn run_one(
    args: &Args,
    ruleset: &Ruleset,
    store: &dyn Store,
    sink: &mut Sink,
    format: Format,
) -> anyhow::Result<Outcome> {
    let mut write = |key: &UserKey, transition: &Transition| sink.write(key, transition);
    let mut replay = Replay::new(ruleset, store, args.until, &mut write)?;
    let refused = for_each_message(args, format, |key, message| {
        Ok(replay.message(&key, message, &mut write)?)
    })?;
    let totals = replay.finish(&mut write)?;
    Ok((Exit::Done, totals, refused))
}

/// Runs the two engines side by side, and compares their transitions after each message.
fn run_both(
    args: &Args,
    ruleset: &Ruleset,
    scan_ruleset: &Ruleset,
    store: &dyn Store,
    sink: &mut Sink,
    format: Format,
) -> anyhow::Result<Outcome> {
    let scan_store = MemoryStore::new();
    let mut differences = Differences::default();
    let mut none = |_: &UserKey, _: &Transition| {};
    let mut state = Replay::new(ruleset, store, args.until, &mut none)?;
    let mut scan = Replay::new(scan_ruleset, &scan_store, args.until, &mut none)?;
    let refused = for_each_message(args, format, |key, message| {
        let (mut by_state, mut by_scan) = (Vec::new(), Vec::new());
        let mut keep = |key: &UserKey, transition: &Transition| {
            sink.write(key, transition);
            by_state.push((key.clone(), transition.clone()));
        };
        state.message(&key, message.clone(), &mut keep)?;
        scan.message(&key, message, &mut |k, t| by_scan.push((k.clone(), t.clone())))?;
        differences.compare(&by_state, &by_scan);
        Ok(())
    })?;
    let (mut by_state, mut by_scan) = (Vec::new(), Vec::new());
    let totals = state.finish(&mut |key, transition| {
        sink.write(key, transition);
        by_state.push((key.clone(), transition.clone()));
    })?;
    scan.finish(&mut |key, transition| by_scan.push((key.clone(), transition.clone())))?;
    differences.compare(&by_state, &by_scan);
    differences.report();
    let exit = if differences.count == 0 { Exit::Done } else { Exit::Differ };
    Ok((exit, totals, refused))
}

/// Reads all files in their order, and says what was refused.
fn for_each_message(
    args: &Args,
    format: Format,
    mut apply: impl FnMut(UserKey, muster_core::Message) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let bar = output::spinner("messages");
    let mut refused = 0;
    let mut refuse = |line: crate::input::RefusedLine| {
        refused += 1;
        if refused <= REFUSED_SHOWN_MAX {
            bar.suspend(|| match format {
                Format::Text => output::note(&format!("refused {line}")),
                Format::Json => output::note(&serde_json::json!({ "refused": line }).to_string()),
            });
        }
    };
    for path in &args.events {
        let mut messages = Messages::open(path)?;
        let unreadable = || format!("cannot read on in `{}`", path.display());
        while let Some(next) = messages.read().with_context(unreadable)? {
            let decoded = match next {
                Ok(decoded) => decoded,
                Err(line) => {
                    refuse(line);
                    continue;
                }
            };
            for refusal in decoded.refused {
                refuse(messages.refuse(refusal));
            }
            if let Some(message) = decoded.message {
                apply(UserKey { workspace: decoded.workspace, user: decoded.user }, message)?;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(refused)
}

/// Where transitions are written.
struct Sink {
    out: Option<Box<dyn Write>>,
    failed: Option<std::io::Error>,
}

impl Sink {
    fn open(args: &Args) -> anyhow::Result<Sink> {
        let out = match (&args.transitions, &args.memberships) {
            (Some(path), _) => Some(output::create(path)?),
            (None, None) => Some(output::create(Path::new("-"))?),
            (None, Some(_)) => None,
        };
        Ok(Sink { out, failed: None })
    }

    /// Writes a line. After the first failure nothing more is written, and the end tells of it.
    fn write(&mut self, key: &UserKey, transition: &Transition) {
        if let (Some(out), None) = (&mut self.out, &self.failed) {
            let mut line = to_line(key, transition);
            line.push(b'\n');
            self.failed = out.write_all(&line).err();
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        let result = match (self.failed, self.out) {
            (Some(error), _) => Err(error),
            (None, Some(mut out)) => out.flush(),
            (None, None) => Ok(()),
        };
        result.context("cannot write transitions")
    }
}

fn write_memberships(path: &Path, store: &dyn Store, ruleset: &Ruleset) -> anyhow::Result<()> {
    let mut out = output::create(path)?;
    let mut result = Ok(());
    memberships(store, &ruleset.plan, &mut |key, audience, since| {
        if result.is_ok() {
            result = writeln!(out, "{}", membership_line(key, audience, since));
        }
    })?;
    result.and_then(|()| out.flush()).context("cannot write memberships")
}

fn describe(totals: &Totals, refused: u64) -> String {
    let share = 100.0 * totals.evaluations_with_history as f64 / totals.evaluations.max(1) as f64;
    let failures = match &totals.first_failure {
        None => String::new(),
        Some(first) => format!("; {} decisions failed, at first: {first}", totals.failures),
    };
    let likely = match totals.likely {
        0 => String::new(),
        likely => format!(
            "; {likely} conditions decided by the likelier answer, which is off by at most {:.1}%",
            100.0 * totals.likely_error_max
        ),
    };
    format!(
        "{} messages, {} events, {} repetitions, {refused} refused: {} transitions; \
         {} evaluations, {share:.2}% with history ({} rows){likely}{failures}",
        totals.messages,
        totals.events,
        totals.duplicates,
        totals.transitions,
        totals.evaluations,
        totals.rows,
    )
}

/// What two engines said differently.
#[derive(Default)]
struct Differences {
    count: u64,
    shown: Vec<String>,
}

type Told = (UserKey, Transition);

impl Differences {
    fn compare(&mut self, state: &[Told], scan: &[Told]) {
        for at in 0..state.len().max(scan.len()) {
            let (one, other) = (state.get(at), scan.get(at));
            let same = one.zip(other).is_some_and(|((key, one), (other_key, other))| {
                let other = Transition { engine: one.engine, ..other.clone() };
                key == other_key && *one == other
            });
            if !same {
                self.count += 1;
                if self.shown.len() < DIFFERENCES_SHOWN_MAX {
                    self.shown.push(format!("state: {}\nscan:  {}", line(one), line(other)));
                }
            }
        }
    }

    fn report(&self) {
        self.shown.iter().for_each(|difference| output::note(difference));
        output::note(&format!("{} differences between the engines", self.count));
    }
}

fn line(told: Option<&Told>) -> String {
    match told {
        Some((key, transition)) => String::from_utf8_lossy(&to_line(key, transition)).into_owned(),
        None => "nothing".to_string(),
    }
}
