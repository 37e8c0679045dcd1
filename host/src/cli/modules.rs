//! Rule modules under the limits of a file of settings, for commands beside the service.

use crate::config::Config;
use crate::guest::GuestEngine;
use anyhow::Context;
use std::path::PathBuf;

/// Where the limits of rule modules are.
#[derive(Debug, clap::Args)]
pub(super) struct ModuleArgs {
    /// A file of settings as `muster serve` takes it; its limits of modules count.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ModuleArgs {
    /// An engine with those limits, which keeps no compiled code.
    pub(super) fn engine(&self) -> anyhow::Result<GuestEngine> {
        let config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::parse("").map_err(anyhow::Error::msg)?,
        };
        let settings = config.modules.guest_settings().context("no compiler is named")?;
        Ok(GuestEngine::new(settings)?)
    }
}
