//! Instances on threads of the test, which do by themselves only what they are told to.

use anyhow::Result;
use muster::api::Service;
use muster::config::Config;
use muster::lifecycle::{Action, RulesState};
use muster::manager::{ActError, Asker};
use muster::ruleset::RuleFiles;
use muster::service::Started;
use muster_rules::Source;
use muster_tests::cluster::{Stage, WORKSPACE};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The test's own executable compiles nothing.
const COMPILER: &str = env!("CARGO_BIN_EXE_muster-service");

pub(crate) struct Inside {
    service: Option<Arc<Service>>,
    pub(crate) runtime: Runtime,
    address: SocketAddr,
    started: Option<Started>,
}

impl Inside {
    /// An instance that neither follows nor oversees anything.
    pub(crate) fn start(stage: &Stage, name: &str) -> Result<Inside> {
        Inside::start_with(stage, name, |settings| settings)
    }

    pub(crate) fn start_with(
        stage: &Stage,
        name: &str,
        change: impl FnOnce(String) -> String,
    ) -> Result<Inside> {
        let path = stage.settings(name, "")?;
        let settings = std::fs::read_to_string(&path)?;
        let compiler = format!("[modules]\ncompiler = {COMPILER:?}\n");
        std::fs::write(&path, change(settings.replace("[modules]\n", &compiler)))?;
        Inside::start_by(&path)
    }

    fn start_by(settings: &Path) -> Result<Inside> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let started = runtime.block_on(Started::new(Config::read(settings)?))?;
        let (service, address) = (started.service(), started.address()?);
        Ok(Inside { service: Some(service), runtime, address, started: Some(started) })
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        self.service.as_ref().unwrap()
    }

    /// Lets it serve until what this gives is dropped.
    pub(crate) fn serve(&mut self) -> Serving {
        let (end, ended) = oneshot::channel();
        let started = self.started.take().unwrap();
        let served = self.runtime.spawn(started.serve(Box::pin(async { drop(ended.await) })));
        Serving { end: Some(end), _served: served }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        let mut answer = agent.get(format!("http://{}{path}", self.address)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    pub(crate) fn state(&self) -> RulesState {
        self.service().states.of(WORKSPACE).unwrap()
    }

    pub(crate) fn act(&self, action: Action) -> Result<RulesState, ActError> {
        self.service().manage(WORKSPACE, |manager, seat| manager.act(seat, action, &asker(None)))
    }

    pub(crate) fn deploy(&self, definitions: &str) {
        let definitions = vec![Source { name: "a.yaml".into(), text: definitions.to_string() }];
        let files = RuleFiles { definitions, ..RuleFiles::default() };
        self.service()
            .manage(WORKSPACE, |manager, seat| manager.deploy(seat, &files, &asker(None)))
            .unwrap();
    }
}

impl Drop for Inside {
    /// Connections to Pulsar end where there is a runtime.
    fn drop(&mut self) {
        let _context = self.runtime.enter();
        drop(self.started.take());
        drop(self.service.take());
    }
}

/// A service that answers. It ends when this is dropped.
pub(crate) struct Serving {
    end: Option<oneshot::Sender<()>>,
    _served: JoinHandle<Result<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.end.take());
    }
}

pub(crate) fn asker(revision: Option<u64>) -> Asker {
    Asker { by: "ann".to_string(), reason: None, revision }
}
