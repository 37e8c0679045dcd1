//! The `muster` command.

use clap::Parser;
use muster::cli::{Cli, run};
use std::process::ExitCode;

/// What is allocated on one thread is freed on another: a turn's states by the committer. The
/// system's allocator is slow at that, and gives large blocks back at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
