//! The service: store, rules, worker and HTTP, started and ended together.

mod connections;
mod settings;
mod stores;
#[cfg(feature = "pulsar")]
mod topics;
mod watch;

#[cfg(feature = "cql")]
pub use stores::cql_settings;
pub use stores::open_store;
#[cfg(all(feature = "pulsar", feature = "cql"))]
pub(crate) use topics::connection;

use crate::api::{Service, router};
use crate::clock::{Clock, EventClock, WallClock};
use crate::config::{ClockKind, Config};
use crate::guest::{GuestEngine, GuestSettings};
use crate::manager::{Folders, Lagging, Manager, oversee};
use crate::metrics::Metrics;
use crate::ruleset::RulesetLoader;
#[cfg(feature = "pulsar")]
use crate::source::PulsarSource;
use crate::tls::TlsListener;
use crate::worker::{Unavailable, Worker};
use anyhow::Context;
use connections::serve;
use futures_util::future::{BoxFuture, FutureExt};
use settings::{Identity, SettingsReader};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A service that listens, and does not answer yet.
pub struct Started {
    listener: TcpListener,
    /// Of a service that speaks TLS.
    identity: Option<Identity>,
    service: Arc<Service>,
    folders: Folders,
    /// Of a service whose messages come from topics too.
    #[cfg(feature = "pulsar")]
    source: Option<PulsarSource>,
}

/// How many requests to Pulsar the source may take to end.
#[cfg(feature = "pulsar")]
const SOURCE_REQUESTS_MAX: u32 = 4;

/// Does something that never ends while the service runs, and says so if it breaks off.
async fn guard(service: Arc<Service>, what: &'static str, task: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        service.worker.fail(&format!("{what} ended unexpectedly"));
    }
}

impl Started {
    /// Opens the store, loads the rules, starts the worker and takes the port.
    ///
    /// In a box, as what [`serve`](Started::serve) gives: what runs one compiles none of it again.
    ///
    /// # Errors
    /// When any of that fails. Nothing is left behind.
    pub fn new(config: Config) -> BoxFuture<'static, anyhow::Result<Started>> {
        Started::open(config).boxed()
    }

    async fn open(config: Config) -> anyhow::Result<Started> {
        let tls = &config.http.tls;
        let identity =
            tls.is_on().then(|| tls.load()).transpose()?.map(tokio::sync::watch::Sender::new);
        let address = config.http.listen;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: set another `http.listen`, or stop who has it")
        })?;
        let metrics = Arc::new(Metrics::new()?);
        let (settings, measured) = (config.store.clone(), metrics.clone());
        let store = tokio::task::spawn_blocking(move || open_store(&settings, &measured));
        let store = store.await.context("opening the store was broken off")??;
        #[cfg(feature = "pulsar")]
        let instance = format!("{:08x}", fastrand::u32(..));
        #[cfg(feature = "pulsar")]
        let sink = Arc::new(topics::open_sink(&config.pulsar, &instance).await?);
        #[cfg(not(feature = "pulsar"))]
        let sink = Arc::new(crate::sink::Sink::Outbox);
        let artefacts = match config.modules.artefacts.as_os_str().is_empty() {
            true => config.store.path.join("artefacts"),
            false => config.modules.artefacts.clone(),
        };
        let limits = config.modules.guest_settings().context("no compiler is named")?;
        let guests = GuestEngine::new(GuestSettings { artefacts: Some(artefacts), ..limits })?;
        let loader = RulesetLoader::new(guests, config.engine_settings());
        let of_manager = store.clone();
        let opened = tokio::task::spawn_blocking(move || Manager::open(of_manager, loader));
        let (manager, deployments) = opened.await.context("loading rules was broken off")??;
        let clock: Box<dyn Clock> = match config.time.clock {
            ClockKind::Wall => Box::new(WallClock),
            ClockKind::Events => Box::new(EventClock),
        };
        let started = (config.clone(), store.clone(), deployments.clone(), metrics.clone());
        let worker = tokio::task::spawn_blocking(move || {
            let (config, store, deployments, metrics) = started;
            Worker::start(&config, store, sink, clock, deployments, metrics)
        });
        let worker = worker.await.context("starting the worker was broken off")??;
        let shown = deployments.into_iter().map(|(workspace, rules)| (workspace, Arc::new(rules)));
        let deployments = RwLock::new(shown.collect());
        let (states, manager) = (manager.states(), Mutex::new(manager));
        let ending = tokio::sync::watch::Sender::new(false);
        let access = tokio::sync::watch::Sender::new(Arc::new(config.access.clone()));
        let mut folders = Folders::new(&config.workspaces);
        let service = Arc::new(Service {
            store,
            worker,
            metrics,
            config,
            access,
            deployments,
            states,
            manager,
            lagging: Lagging::default(),
            ending,
        });
        let deploying = service.clone();
        let deployed =
            tokio::task::spawn_blocking(move || folders.deploy_all(&deploying).map(|()| folders));
        let folders = deployed.await.context("loading rules was broken off")??;
        // Last, since partitions are given to whoever has one.
        #[cfg(feature = "pulsar")]
        let source = topics::open_source(&service.config.pulsar, &instance).await?;
        Ok(Started {
            listener,
            identity,
            service,
            folders,
            #[cfg(feature = "pulsar")]
            source,
        })
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
    pub fn serve(self, end: BoxFuture<'static, ()>) -> BoxFuture<'static, anyhow::Result<()>> {
        self.serve_until(end).boxed()
    }

    async fn serve_until(self, end: BoxFuture<'static, ()>) -> anyhow::Result<()> {
        let service = self.service.clone();
        let mut watching = JoinSet::new();
        let guarded = |what, task| guard(service.clone(), what, task);
        watching.spawn(guarded("watching folders", self.folders.watch(service.clone()).boxed()));
        watching.spawn(guarded("overseeing rules", oversee(service.clone()).boxed()));
        watching.spawn(watch::measure_waiting(service.clone()));
        if service.store.is_shared() {
            let following = watch::follow_rules(service.clone());
            watching.spawn(guarded("following rules", following.boxed()));
        }
        #[cfg(feature = "pulsar")]
        let taking = self.source.map(|source| {
            watching.spawn(watch::measure_source(service.clone(), source.status()));
            tokio::spawn(guarded("taking messages", source.run(service.clone()).boxed()))
        });
        if let Some(file) = &service.config.file {
            let reader = SettingsReader::new(file.clone(), self.identity.clone())?;
            watching.spawn(reader.watch(service.clone()));
        }
        let ending = service.clone();
        let end = async move {
            tokio::select! {
                () = end => tracing::info!("draining"),
                // Its users' timers, and what it left half done, are for the others then.
                () = ending.worker.failed(), if ending.store.is_shared() => {
                    tracing::error!("ending, since others can do what this instance cannot");
                }
            }
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
        // What was accepted is committed, however long that takes, where nothing else has to answer for it.
        let giving_up = service.clone();
        let patience = service.config.http.drain_wait;
        let giving_up = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            giving_up.worker.give_up();
        });
        let stop = tokio::task::spawn_blocking(move || service.worker.stop());
        stop.await.context("the worker did not end")?;
        giving_up.abort();
        #[cfg(feature = "pulsar")]
        if let Some(mut taking) = taking {
            // Dead letters may be waited for, which come again.
            let patience = self.service.config.pulsar.request_time * SOURCE_REQUESTS_MAX;
            if tokio::time::timeout(patience, &mut taking).await.is_err() {
                taking.abort();
            }
        }
        if let Err(failed @ Unavailable::StoreFailed(_)) = self.service.worker.readiness() {
            return Err(failed.into());
        }
        tracing::info!("everything accepted is committed");
        Ok(())
    }
}
