//! The `muster` command.

use clap::Parser;
use muster::cli::{Cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
