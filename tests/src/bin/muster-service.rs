//! The `muster` command, for tests that need it in a process of its own.

use clap::Parser;
use muster::cli::{Cli, run};
use std::process::ExitCode;

/// As the command that it stands for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
