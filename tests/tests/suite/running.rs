//! A service on a thread of the test, in a folder of its own, by the clock of events.

use crate::http::{self, Answer};
use muster::config::Config;
use muster::service::Started;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use tokio::sync::oneshot;

pub(crate) const RULES: &str = "audiences:
  - { id: buyers, where: { event: purchase } }
  - { id: lookers, where: { all: [{ event: look }, { not: { audience: buyers } }] } }
";

/// The test's own executable compiles nothing.
const COMPILER: &str = env!("CARGO_BIN_EXE_muster-service");

/// A service of its own in a folder of its own.
pub(crate) struct Running {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) runtime: tokio::runtime::Runtime,
    end: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    pub(crate) fn start(settings: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        write_rules(folder.path(), RULES);
        Running::start_in(folder, settings).unwrap()
    }

    /// Settings go on in `[http]`.
    pub(crate) fn start_in(folder: tempfile::TempDir, settings: &str) -> anyhow::Result<Running> {
        let text = format!(
            "[access]\nopen = true\n[workspaces]\nshop = \"rules\"\n[modules]\ncompiler = {COMPILER:?}\n[time]\nclock = \"events\"\n[http]\nlisten = \"127.0.0.1:0\"\n{settings}"
        );
        let path = folder.path().join("muster.toml");
        std::fs::write(&path, text)?;
        let config = Config::read(&path)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let started = runtime.block_on(Started::new(config))?;
        let address = started.address()?;
        let (end, ended) = oneshot::channel();
        let served = runtime.spawn(started.serve(Box::pin(async { drop(ended.await) })));
        Ok(Running { folder, address, runtime, end: Some(end), served: Some(served) })
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        http::request(self.address, method, path, headers, body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        http::send(self.address, method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.address, path)
    }

    pub(crate) fn post(&self, body: &Value) -> Answer {
        http::post(self.address, body)
    }

    pub(crate) fn members(&self, audience: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/workspaces/shop/audiences/{audience}/members"));
        if answer.status != 200 {
            return Vec::new();
        }
        let found: Value = serde_json::from_str(&answer.body).unwrap();
        let members = found["members"].as_array().unwrap().iter();
        members.map(|member| member["user"].as_str().unwrap().to_string()).collect()
    }

    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.get("/metrics").body;
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0.0)
    }

    /// Ends the service, and gives back what it leaves.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        drop(self.end.take());
        self.runtime.block_on(self.served.take().unwrap()).unwrap().unwrap();
        self.folder
    }
}

pub(crate) fn write_rules(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder.join("rules")).unwrap();
    std::fs::write(folder.join("rules").join("audiences.yaml"), text).unwrap();
}

pub(crate) fn message(user: &str, event: &str, second: u32) -> Value {
    message_at(user, event, &format!("2026-01-01T00:00:{second:02}Z"))
}

pub(crate) fn message_at(user: &str, event: &str, time: &str) -> Value {
    json!({ "workspace": "shop", "user": user, "events": [{ "name": event, "time": time }] })
}
