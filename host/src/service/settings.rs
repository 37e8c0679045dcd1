//! Who may ask for what, and certificates: read anew at a hangup, and left as they are when wrong.

use crate::access::AccessSettings;
use crate::api::Service;
use crate::config::{Config, ConfigError};
use crate::tls::TlsError;
use anyhow::{Context, bail};
use rustls::ServerConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What the next handshake goes by.
pub(super) type Identity = watch::Sender<Arc<ServerConfig>>;

/// Reads the settings that may change while the service runs.
pub(super) struct SettingsReader {
    file: PathBuf,
    hangup: Signal,
    /// Of a service that speaks TLS.
    identity: Option<Identity>,
}

/// What may change.
struct Changeable {
    access: AccessSettings,
    identity: Result<Option<Arc<ServerConfig>>, TlsError>,
}

impl SettingsReader {
    /// Listens for hangups from now on.
    ///
    /// # Errors
    /// When the system does not tell of them.
    pub(super) fn new(file: PathBuf, identity: Option<Identity>) -> anyhow::Result<SettingsReader> {
        let hangup = signal(SignalKind::hangup()).context("cannot listen for hangups")?;
        Ok(SettingsReader { file, hangup, identity })
    }

    /// Waits for hangups until it is dropped.
    pub(super) async fn watch(mut self, service: Arc<Service>) {
        while self.hangup.recv().await.is_some() {
            let file = self.file.clone();
            let read = tokio::task::spawn_blocking(move || read(&file)).await;
            match read.context("reading was broken off").and_then(|read| Ok(read?)) {
                Ok(Changeable { access, identity }) => {
                    tell(&service, "access", put_access(&service, access));
                    if let Some(put) = self.put_identity(identity).transpose() {
                        tell(&service, "certificates", put);
                    }
                }
                Err(error) => tell(&service, "settings", Err(error)),
            }
        }
    }

    /// Shows the next client another certificate. Of a service without TLS nothing changes.
    fn put_identity(
        &self,
        read: Result<Option<Arc<ServerConfig>>, TlsError>,
    ) -> anyhow::Result<Option<()>> {
        match (&self.identity, read?) {
            (None, None) => return Ok(None),
            (Some(identity), Some(read)) => drop(identity.send_replace(read)),
            (Some(_), None) => bail!("`http.tls` is gone: start the service anew to end TLS"),
            (None, Some(_)) => bail!("`http.tls` is new: start the service anew to begin TLS"),
        }
        Ok(Some(()))
    }
}

fn read(file: &Path) -> Result<Changeable, ConfigError> {
    let config = Config::read(file)?;
    let tls = &config.http.tls;
    let identity = tls.is_on().then(|| tls.load()).transpose();
    Ok(Changeable { access: config.access, identity })
}

fn put_access(service: &Service, access: AccessSettings) -> anyhow::Result<()> {
    // The address in the file may be another by now; the service still listens on this one.
    access.check(service.config.http.listen).map_err(anyhow::Error::msg)?;
    service.access.send_replace(Arc::new(access));
    Ok(())
}

fn tell(service: &Service, part: &'static str, put: anyhow::Result<()>) {
    let outcome = match put {
        Ok(()) => {
            tracing::info!("{part} loaded anew");
            "loaded"
        }
        Err(error) => {
            tracing::error!("{part} as before: {error:#}");
            "refused"
        }
    };
    service.metrics.setting_loads.with_label_values(&[part, outcome]).inc();
}
