//! The `muster` command, for tests that need it in a process of its own.

use clap::Parser;
use muster::cli::{Cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
