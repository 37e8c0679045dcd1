//! `muster serve`

use super::{Exit, Format};
use crate::config::Config;
use crate::service::Started;
use std::io::IsTerminal;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  muster serve --print-config > muster.toml
  muster serve --config muster.toml

SIGHUP loads the rules, [access] and certificates anew; rules are also loaded when their files
change. SIGTERM and Ctrl-C answer what was sent, commit it, and end. RUST_LOG sets what is logged.")]
pub(super) struct Args {
    /// The file of settings.
    #[arg(long, value_name = "FILE", required_unless_present = "print_config")]
    config: Option<PathBuf>,
    /// Print all settings with their defaults, and end.
    #[arg(long)]
    print_config: bool,
}

/// What is logged unless it is set: of the tables, what calls for somebody.
const LOGGED: &str = "info,fjall=warn,lsm_tree=warn,pulsar=error,scylla=warn";

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<Exit> {
    let Some(path) = args.config.as_ref().filter(|_| !args.print_config) else {
        use std::io::Write;
        std::io::stdout().write_all(crate::config::DEFAULT.as_bytes())?;
        return Ok(Exit::Done);
    };
    let config = Config::read(path)?;
    start_log(format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let started = Started::new(config).await?;
        tracing::info!(address = %started.address()?, "listening");
        started.serve(Box::pin(end_signal()?)).await?;
        Ok(Exit::Done)
    })
}

/// Logs to standard error: text for people, JSON for programs.
pub(super) fn start_log(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => log.json().init(),
    }
}

/// Ends when the process is told to.
pub(super) fn end_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
