//! The command line: a file a subcommand.

mod bench;
mod build;
mod check;
mod compile;
mod compile_guest;
mod demo;
mod inspect;
mod modules;
mod new;
mod output;
mod replay;
mod rules;
mod schema;
mod serve;
mod store;
mod test;
mod token;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Decides, in real time, which users belong to which audiences.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How results and errors are written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something outside failed: a file, a store, a port
  2  the command line is wrong
  3  definitions, rule modules or cases must be mended
  4  two engines gave different answers, or a rollout does not match its share";

/// How results and errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document or one JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check definitions, and say what to mend.
    Check(check::Args),
    /// Compile definitions to WebAssembly components.
    Compile(compile::Args),
    /// Make a crate of rules in Rust, which compiles and tests at once.
    New(new::Args),
    /// Build rules in Rust to a WebAssembly component.
    Build(build::Args),
    /// Run case files: what happens, and who must enter and leave.
    Test(test::Args),
    /// Show what a component says of itself, what it may cost and what it costs.
    Inspect(inspect::Args),
    /// Print a JSON Schema, for editors and for those who write rule modules.
    Schema(schema::Args),
    /// Replay messages from files in event time: who entered and left, and who is in.
    Replay(replay::Args),
    /// Make a token or a key for the service: the secret, and the lines for its settings.
    Token(token::Args),
    /// Run the service.
    Serve(serve::Args),
    /// Make the tables of a shared store, copy a store, or repair a user.
    Store(store::Args),
    /// Make rules the candidate of a running service.
    Deploy(rules::Deploy),
    /// Evaluate a share of users by the candidate, or the other engine, beside what counts.
    Shadow(rules::Shadow),
    /// Let the candidate decide a share of users, or verify that it does.
    Rollout(rules::Rollout),
    /// Make the candidate active for everybody.
    Promote(rules::To),
    /// Go back: without the candidate, or to the version before.
    Rollback(rules::To),
    /// Stop deciding audiences: nobody enters, nobody leaves.
    Pause(rules::Audiences),
    /// Decide them again.
    Resume(rules::Audiences),
    /// Take an audience out: its members leave.
    Remove(rules::Audience),
    /// Say where a workspace's rules stand.
    Status(rules::To),
    /// List what was done with a workspace's rules, by whom and when.
    History(rules::Page),
    /// Compare the audiences of two versions.
    Diff(rules::Diff),
    /// List the differences between what counts and its shadow.
    Differences(rules::Page),
    /// Watch a small shop: generated traffic, sample audiences, who enters and leaves.
    Demo(demo::Args),
    /// Measure speed and sizes on this machine, each beside what it is compared with.
    Bench(bench::Args),
    /// Compile a component for the process that started this one.
    #[command(name = crate::guest::COMPILE_COMMAND, hide = true)]
    CompileGuest(compile_guest::Args),
    /// Print a script that completes this command in a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something outside failed.
    Failed,
    /// Rules must be mended.
    Rules,
    /// Two engines gave different answers, or a rollout does not match its share.
    Differ,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Rules => 3,
            Exit::Differ => 4,
        })
    }
}

/// Runs the command that was asked for, and says how it ended.
pub fn run(cli: Cli) -> Exit {
    let format = cli.format;
    let result = match cli.command {
        Command::Check(args) => check::run(&args, format),
        Command::Compile(args) => compile::run(&args, format),
        Command::New(args) => new::run(&args, format),
        Command::Build(args) => build::run(&args, format),
        Command::Test(args) => test::run(&args, format),
        Command::Inspect(args) => inspect::run(&args, format),
        Command::Schema(args) => schema::run(&args),
        Command::Replay(args) => replay::run(&args, format),
        Command::Token(args) => token::run(&args, format),
        Command::Serve(args) => serve::run(&args, format),
        Command::Store(args) => store::run(&args, format),
        Command::Deploy(args) => rules::deploy(&args, format),
        Command::Shadow(args) => rules::shadow(&args, format),
        Command::Rollout(args) => rules::rollout(&args, format),
        Command::Promote(args) => rules::promote(&args, format),
        Command::Rollback(args) => rules::rollback(&args, format),
        Command::Pause(args) => rules::pause(&args, format),
        Command::Resume(args) => rules::resume(&args, format),
        Command::Remove(args) => rules::remove(&args, format),
        Command::Status(args) => rules::status(&args, format),
        Command::History(args) => rules::history(&args, format),
        Command::Diff(args) => rules::diff(&args, format),
        Command::Differences(args) => rules::differences(&args),
        Command::Demo(args) => demo::run(&args, format),
        Command::Bench(args) => bench::run(&args, format),
        Command::CompileGuest(args) => compile_guest::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    };
    result.unwrap_or_else(|error| output::report(&error, format))
}
