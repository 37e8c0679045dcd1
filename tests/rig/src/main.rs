//! Starts servers, runs a command beside them, and ends them: `muster-rig pulsar -- cargo test`.
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use muster_rig::{
    CassandraOptions, CassandraServer, PulsarOptions, PulsarServer, cassandra, pulsar,
};

/// Run a command with real servers beside it, which its environment names
#[derive(Parser)]
struct Arguments {
    /// Which servers to start
    #[arg(required = true)]
    servers: Vec<Server>,
    /// What to run, after `--`
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    /// A Pulsar broker: MUSTER_RIG_PULSAR and MUSTER_RIG_PULSAR_ADMIN
    Pulsar,
    /// A Cassandra node: MUSTER_RIG_CASSANDRA
    Cassandra,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (program, rest) = arguments.command.split_first().context("there is nothing to run")?;
    let mut command = Command::new(program);
    command.args(rest);
    // Held until the command has ended.
    let mut brokers = Vec::new();
    if arguments.servers.contains(&Server::Pulsar) {
        let broker = PulsarServer::start(PulsarOptions::default())?;
        command.env(pulsar::SERVICE_VARIABLE, broker.service_url());
        command.env(pulsar::ADMIN_VARIABLE, broker.admin_url());
        brokers.push(broker);
    }
    let mut nodes = Vec::new();
    if arguments.servers.contains(&Server::Cassandra) {
        let node = CassandraServer::start(CassandraOptions::default())?;
        command.env(cassandra::ADDRESS_VARIABLE, node.address());
        nodes.push(node);
    }
    let status = command.status().with_context(|| format!("cannot run `{program}`"))?;
    drop((brokers, nodes));
    Ok(exit_code(status))
}

/// The command's own code; 1 where a signal ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}
