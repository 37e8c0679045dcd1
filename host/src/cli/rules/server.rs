//! The service's HTTP interface, from the command line.

use anyhow::{Context, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// How long an answer may take: rules are compiled, and their change is made durable first.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Which service, and who asks.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Server {
    /// The service's address.
    #[arg(
        long,
        env = "MUSTER_SERVER",
        default_value = "http://127.0.0.1:7400",
        value_name = "URL"
    )]
    server: String,
    /// The workspace.
    #[arg(long, env = "MUSTER_WORKSPACE", default_value = "default")]
    workspace: String,
    /// A file with the token; else it is taken from MUSTER_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates of those who may vouch for the service, as PEM, instead of the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A service that refused.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(in crate::cli) struct RefusedBy {
    /// The HTTP status.
    pub(in crate::cli) status: u16,
    /// What it said.
    pub(in crate::cli) reason: String,
}

impl Server {
    /// Asks for something of the workspace's rules.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(&self.bytes(path)?)?)
    }

    /// The same, for what is no single document.
    pub(super) fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut request = self.agent()?.get(self.url(path));
        if let Some(token) = self.token()? {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// Does something with the workspace's rules.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut request = self.agent()?.post(self.url(path));
        if let Some(token) = self.token()? {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Ok(serde_json::from_slice(&self.answer(request.send_json(body))?)?)
    }

    fn url(&self, path: &str) -> String {
        let workspace = utf8_percent_encode(&self.workspace, NON_ALPHANUMERIC);
        format!("{}/v1/workspaces/{workspace}/rules{path}", self.server.trim_end_matches('/'))
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        match &self.token_file {
            Some(path) => {
                let token = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the token from `{}`", path.display()))?;
                Ok(Some(token.trim().to_string()))
            }
            None => Ok(std::env::var("MUSTER_TOKEN").ok().filter(|token| !token.is_empty())),
        }
    }

    fn agent(&self) -> anyhow::Result<Agent> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.ca {
            let pem = std::fs::read(path)
                .with_context(|| format!("cannot read certificates from `{}`", path.display()))?;
            let mut certificates = Vec::new();
            for item in parse_pem(&pem) {
                if let PemItem::Certificate(certificate) = item? {
                    certificates.push(certificate);
                }
            }
            if certificates.is_empty() {
                bail!("no certificate in `{}`: name a file in PEM", path.display());
            }
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIME_MAX))
            .tls_config(tls.build());
        Ok(config.build().into())
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut answer = answer.with_context(|| {
            format!("cannot reach `{}`: name another with `--server`", self.server)
        })?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        if answer.status().is_success() {
            return Ok(body);
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let reason = match told["error"].as_str() {
            Some(_) if answer.status() == 401 && self.token()?.is_none() => {
                "no token: set MUSTER_TOKEN, or name a file with `--token-file`".to_string()
            }
            Some(reason) => reason.to_string(),
            None => format!("`{}` answered {}: is it Muster?", self.server, answer.status()),
        };
        Err(RefusedBy { status: answer.status().as_u16(), reason }.into())
    }
}
