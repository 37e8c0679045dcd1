//! `muster deploy`, `shadow`, `rollout`, `promote`, `rollback`, `pause`, `resume`, `remove`, `status`,
//! `history`, `diff` and `differences`: rules changed under traffic.

mod server;
mod show;

pub(super) use server::RefusedBy;

use super::{Exit, Format, output};
use crate::lifecycle::{Share, Step, Subject, Verification};
use crate::manager::Change;
use crate::ruleset::RuleFiles;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::Server;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster deploy rules/
  muster deploy rules/ --promote

The rules become the candidate, which decides nobody yet: try it with `muster shadow 10%`, roll it out
with `muster rollout 3%`, and make it active with `muster promote`.")]
pub(super) struct Deploy {
    /// Files and folders of definitions and components: all rules of the workspace.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Make them active for everybody at once.
    #[arg(long)]
    promote: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster shadow 10%
  muster shadow 5% --engine
  muster shadow 0

A share of users is evaluated by the candidate too, or with --engine by the other engine. Nothing of
that is published; `muster differences` lists who would be in other audiences, and why.")]
pub(super) struct Shadow {
    /// The share of users; 0 ends it.
    share: Share,
    /// Compare engines, not rules.
    #[arg(long)]
    engine: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  muster rollout 3%
  muster rollout 3%:30m 40%:2h 100%
  muster rollout 0 --engine
  muster rollout verify

With several shares, the next one is taken when the one before has held for its time, all users have
gone over, and what users enter and leave matches the share. While a shadow compares them, a
difference that nothing explains takes the candidate back."
)]
pub(super) struct Rollout {
    #[command(subcommand)]
    command: Option<RolloutCommand>,
    /// The share of users that the candidate decides, or several with how long each holds.
    #[arg(required = true, value_name = "SHARE[:TIME]", value_parser = parse_step)]
    steps: Vec<Step>,
    /// Roll out the engine `state`, not the candidate.
    #[arg(long)]
    engine: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Subcommand)]
enum RolloutCommand {
    /// Test whether the users who enter and leave are as many on each side as the share says; exit
    /// code 4 when they are not.
    Verify(Of),
    /// Take the next step of the schedule now.
    Advance(To),
}

#[derive(Debug, clap::Args)]
pub(super) struct Of {
    /// Of the engine `state`, not of the candidate.
    #[arg(long)]
    engine: bool,
    #[command(flatten)]
    server: Server,
}

/// A command that only needs to know where.
#[derive(Debug, clap::Args)]
pub(super) struct To {
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Audiences {
    /// Their ids.
    #[arg(required = true, value_name = "AUDIENCE")]
    audiences: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Audience {
    /// Its id.
    audience: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// A version, or what its name begins with; by default the active one, or the one before.
    from: Option<String>,
    /// Another version; by default the candidate, or the active one.
    to: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Page {
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Go on after this one.
    #[arg(long)]
    after: Option<u64>,
    #[command(flatten)]
    server: Server,
}

/// A share, and how long it holds.
fn parse_step(text: &str) -> Result<Step, String> {
    let (share, hold) = text.split_once(':').unwrap_or((text, "0s"));
    let share: Share = share.parse().map_err(|error| format!("{error}"))?;
    let hold = match hold {
        "0s" => 0,
        hold => {
            let span = muster_rules::parse_span(hold).map_err(|error| error.to_string());
            span?.milliseconds()
        }
    };
    Ok(Step { share, hold_ms: hold })
}

pub(super) fn deploy(args: &Deploy, format: Format) -> anyhow::Result<Exit> {
    let files = RuleFiles::read(&args.paths)?;
    let definitions = files.definitions.iter();
    let definitions: Vec<Value> =
        definitions.map(|file| json!({ "name": file.name, "text": file.text })).collect();
    let components = files.components.iter();
    let components: Vec<Value> = components
        .map(|file| json!({ "name": file.name, "base64": STANDARD.encode(&file.bytes) }))
        .collect();
    let body = json!({ "definitions": definitions, "components": components });
    let deployed = args.server.post("/versions", &body)?;
    if !args.promote {
        return show::answer(&deployed, format, show::deployed);
    }
    if format == Format::Text {
        show::answer(&deployed, format, show::deployed)?;
    }
    let revision = &deployed["revision"];
    act(&args.server, "promote", &json!({ "revision": revision }), format)
}

pub(super) fn shadow(args: &Shadow, format: Format) -> anyhow::Result<Exit> {
    let body = json!({ "of": subject(args.engine), "share": args.share });
    act(&args.server, "shadow", &body, format)
}

pub(super) fn rollout(args: &Rollout, format: Format) -> anyhow::Result<Exit> {
    match &args.command {
        Some(RolloutCommand::Verify(of)) => {
            let path = format!("/verify?of={}", subject(of.engine).name());
            let verified: Value = of.server.get(&path)?;
            let verification: Verification = serde_json::from_value(verified.clone())?;
            show::answer(&verified, format, |_| show::verification(&verification))?;
            let disagrees = verification.agrees == Some(false);
            Ok(if disagrees { Exit::Differ } else { Exit::Done })
        }
        Some(RolloutCommand::Advance(to)) => act(&to.server, "advance", &json!({}), format),
        None => {
            let body = json!({ "of": subject(args.engine), "steps": args.steps });
            act(&args.server, "rollout", &body, format)
        }
    }
}

pub(super) fn promote(args: &To, format: Format) -> anyhow::Result<Exit> {
    act(&args.server, "promote", &json!({}), format)
}

pub(super) fn rollback(args: &To, format: Format) -> anyhow::Result<Exit> {
    act(&args.server, "rollback", &json!({}), format)
}

pub(super) fn pause(args: &Audiences, format: Format) -> anyhow::Result<Exit> {
    act(&args.server, "pause", &json!({ "audiences": args.audiences }), format)
}

pub(super) fn resume(args: &Audiences, format: Format) -> anyhow::Result<Exit> {
    act(&args.server, "resume", &json!({ "audiences": args.audiences }), format)
}

pub(super) fn remove(args: &Audience, format: Format) -> anyhow::Result<Exit> {
    act(&args.server, "remove", &json!({ "audience": args.audience }), format)
}

pub(super) fn status(args: &To, format: Format) -> anyhow::Result<Exit> {
    show::answer(&args.server.get("")?, format, show::status)
}

pub(super) fn diff(args: &Diff, format: Format) -> anyhow::Result<Exit> {
    let names = [("from", &args.from), ("to", &args.to)];
    let named = names.iter().filter_map(|(key, name)| Some(format!("{key}={}", (*name).as_ref()?)));
    let query: Vec<String> = named.collect();
    show::answer(&args.server.get(&format!("/diff?{}", query.join("&")))?, format, show::diff)
}

pub(super) fn history(args: &Page, format: Format) -> anyhow::Result<Exit> {
    let path = format!("/history?{}", page(args));
    let found: Value = args.server.get(&path)?;
    let changes: Vec<Change> = serde_json::from_value(found.clone())?;
    show::answer(&found, format, |_| show::history(&changes))
}

/// Differences, a JSON object a line, however results are written: they are data.
pub(super) fn differences(args: &Page) -> anyhow::Result<Exit> {
    use std::io::Write;
    let found = args.server.bytes(&format!("/differences?{}", page(args)))?;
    if found.is_empty() {
        output::note("no differences");
    }
    std::io::stdout().write_all(&found)?;
    Ok(Exit::Done)
}

fn page(args: &Page) -> String {
    let after = args.after.map(|after| format!("&after={after}")).unwrap_or_default();
    format!("limit={}{after}", args.limit)
}

fn act(server: &Server, action: &str, body: &Value, format: Format) -> anyhow::Result<Exit> {
    let state = server.post(&format!("/actions/{action}"), body)?;
    show::answer(&state, format, show::status)
}

fn subject(engine: bool) -> Subject {
    if engine { Subject::Engine } else { Subject::Rules }
}
