//! `muster compile-guest`: the child that compiles a component for its parent.

use super::{Exit, output};
use crate::guest::{GuestError, compile_for_parent, limit_this_process};
use std::io;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Processor time.
    #[arg(long)]
    seconds: u64,
    /// Address space.
    #[arg(long)]
    memory_bytes: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    limit_this_process(args.seconds, args.memory_bytes)?;
    match compile_for_parent(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => Ok(Exit::Done),
        // The parent says the rest of it.
        Err(GuestError::Malformed { reason }) => {
            output::note(&reason);
            Ok(Exit::Rules)
        }
        Err(error) => Err(error.into()),
    }
}
