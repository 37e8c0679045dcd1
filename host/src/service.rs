//! The service: store, rules, worker and HTTP, started and ended together.

mod connections;
mod settings;

use crate::api::{Service, router};
use crate::clock::{Clock, EventClock, WallClock};
use crate::config::{ClockKind, Config};
use crate::guest::{GuestEngine, GuestSettings};
use crate::manager::{Folders, Manager, oversee};
use crate::metrics::Metrics;
use crate::ruleset::RulesetLoader;
use crate::store::{EmbeddedStore, Store, StoreOptions};
use crate::tls::TlsListener;
use crate::worker::{Unavailable, Worker};
use anyhow::Context;
use connections::serve;
use settings::{Identity, SettingsReader};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A service that listens, and does not answer yet.
pub struct Started {
    listener: TcpListener,
    /// Of a service that speaks TLS.
    identity: Option<Identity>,
    service: Arc<Service>,
    folders: Folders,
}

impl Started {
    /// Opens the store, loads the rules, starts the worker and takes the port.
    ///
    /// # Errors
    /// When any of that fails. Nothing is left behind.
    pub async fn new(config: Config) -> anyhow::Result<Started> {
        let tls = &config.http.tls;
        let identity = tls.is_on().then(|| tls.load()).transpose()?.map(watch::Sender::new);
        let address = config.http.listen;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: set another `http.listen`, or stop who has it")
        })?;
        let options = StoreOptions { cache_bytes: config.store.cache_bytes };
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&config.store.path, options)?);
        let artefacts = match config.modules.artefacts.as_os_str().is_empty() {
            true => config.store.path.join("artefacts"),
            false => config.modules.artefacts.clone(),
        };
        let limits = config.modules.guest_settings().context("no compiler is named")?;
        let guests = GuestEngine::new(GuestSettings { artefacts: Some(artefacts), ..limits })?;
        let loader = RulesetLoader::new(guests, config.engine_settings());
        let (manager, deployments) = Manager::open(store.clone(), loader)?;
        let clock: Box<dyn Clock> = match config.time.clock {
            ClockKind::Wall => Box::new(WallClock),
            ClockKind::Events => Box::new(EventClock),
        };
        let metrics = Arc::new(Metrics::new()?);
        let worker =
            Worker::start(&config, store.clone(), clock, deployments.clone(), metrics.clone())?;
        let shown = deployments.into_iter().map(|(workspace, rules)| (workspace, Arc::new(rules)));
        let deployments = RwLock::new(shown.collect());
        let (manager, ending) = (Mutex::new(manager), watch::Sender::new(false));
        let access = watch::Sender::new(Arc::new(config.access.clone()));
        let mut folders = Folders::new(&config.workspaces);
        let service = Arc::new(Service {
            store,
            worker,
            metrics,
            config,
            access,
            deployments,
            manager,
            ending,
        });
        let deploying = service.clone();
        let deployed =
            tokio::task::spawn_blocking(move || folders.deploy_all(&deploying).map(|()| folders));
        let folders = deployed.await.context("loading rules was broken off")??;
        Ok(Started { listener, identity, service, folders })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What its handlers share.
    pub fn service(&self) -> Arc<Service> {
        self.service.clone()
    }

    /// Answers requests until `end`, then drains: requests under way are answered, what was
    /// accepted is committed.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn serve(self, end: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let service = self.service.clone();
        let mut watching = JoinSet::new();
        watching.spawn(self.folders.watch(service.clone()));
        watching.spawn(oversee(service.clone()));
        if let Some(file) = &service.config.file {
            let reader = SettingsReader::new(file.clone(), self.identity.clone())?;
            watching.spawn(reader.watch(service.clone()));
        }
        let ending = service.clone();
        let end = async move {
            end.await;
            tracing::info!("draining");
            ending.ending.send_replace(true);
        };
        let router = router(service.clone());
        let http = &service.config.http;
        match &self.identity {
            None => serve(self.listener, router, http, end).await,
            Some(identity) => {
                let failed = service.metrics.failed_handshakes.clone();
                let identity = identity.subscribe();
                let listener = TlsListener::new(self.listener, identity, &http.tls, failed);
                serve(listener, router, http, end).await;
            }
        }
        watching.abort_all();
        let stop = tokio::task::spawn_blocking(move || service.worker.stop());
        stop.await.context("the worker did not end")?;
        if let Err(failed @ Unavailable::StoreFailed(_)) = self.service.worker.readiness() {
            return Err(failed.into());
        }
        tracing::info!("everything accepted is committed");
        Ok(())
    }
}
