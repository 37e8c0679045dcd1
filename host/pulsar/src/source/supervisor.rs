//! All partitions: builds the client, notices when it fails, builds it anew.
use std::{sync::Arc, time::Instant};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    Connection, PulsarError, SourceSettings, Status,
    acknowledge::Outbox,
    backoff::{Backoff, report},
    connection::Client,
};

use super::{
    closes,
    pump::{Delivery, Pump},
};

/// How many messages a broker may send ahead for one partition. At least a few, so that they come
/// without pause; at most what is worth its memory.
const PREFETCH_MIN: usize = 8;
const PREFETCH_MAX: usize = 500;

/// Builds and watches the clients of a source.
pub(crate) struct Supervisor {
    connection: Connection,
    settings: SourceSettings,
    ready: mpsc::Sender<Delivery>,
    closing: watch::Receiver<bool>,
    status: watch::Sender<Status>,
    /// One for each partition ever seen.
    outboxes: Vec<Arc<Outbox>>,
    first: Option<Clients>,
}

struct Clients {
    client: Client,
    pumps: Vec<Pump>,
}

impl Supervisor {
    /// Builds the client a first time.
    pub(crate) async fn open(
        connection: Connection,
        settings: SourceSettings,
        ready: mpsc::Sender<Delivery>,
        closing: watch::Receiver<bool>,
    ) -> Result<Supervisor, PulsarError> {
        let (status, _) = watch::channel(Status::Connected);
        let (outboxes, first) = (Vec::new(), None);
        let mut supervisor =
            Supervisor { connection, settings, ready, closing, status, outboxes, first };
        supervisor.first = Some(supervisor.build().await?);
        Ok(supervisor)
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Keeps a client at work until the source closes.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut clients = self.first.take();
        loop {
            let start = Instant::now();
            let reason = match clients.take() {
                Some(clients) => match self.serve(clients).await {
                    Ok(()) => return,
                    Err(reason) => {
                        tracing::warn!(reason, "building a new Pulsar client");
                        backoff.worked_since(start);
                        reason
                    }
                },
                None => match self.build().await {
                    Ok(built) => {
                        self.status.send_replace(Status::Connected);
                        clients = Some(built);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            };
            report(&self.status, reason);
            tokio::select! {
                () = closes(&mut self.closing) => return,
                () = backoff.pause() => {}
            }
        }
    }

    async fn build(&mut self) -> Result<Clients, PulsarError> {
        let client = self.connection.client().await?;
        let partitions = self.partitions(&client).await?;
        let pumps = self.pumps(&client, &partitions).await?;
        Ok(Clients { client, pumps })
    }

    async fn partitions(&self, client: &Client) -> Result<Vec<Arc<str>>, PulsarError> {
        let topics = self.settings.topics.iter();
        let lookups = topics.map(|topic| self.connection.partitions(client, topic));
        Ok(try_join_all(lookups).await?.into_iter().flatten().collect())
    }

    async fn pumps(
        &mut self,
        client: &Client,
        partitions: &[Arc<str>],
    ) -> Result<Vec<Pump>, PulsarError> {
        let share = self.settings.in_flight_max / partitions.len().max(1);
        let prefetch = share.clamp(PREFETCH_MIN, PREFETCH_MAX) as u32;
        let outboxes: Vec<_> = partitions.iter().map(|name| self.outbox(name)).collect();
        try_join_all(
            outboxes.into_iter().map(|outbox| {
                Pump::open(&self.connection, client, &self.settings, outbox, prefetch)
            }),
        )
        .await
    }

    fn outbox(&mut self, partition: &Arc<str>) -> Arc<Outbox> {
        let known = self.outboxes.iter().find(|outbox| outbox.partition == *partition);
        known.cloned().unwrap_or_else(|| {
            let outbox = Arc::new(Outbox::new(Arc::clone(partition)));
            self.outboxes.push(Arc::clone(&outbox));
            outbox
        })
    }

    /// Runs all pumps until one fails, and says how; `Ok` when the source closes.
    async fn serve(&mut self, clients: Clients) -> Result<(), String> {
        let Clients { client, pumps } = clients;
        let mut running = JoinSet::new();
        let mut count = pumps.len();
        pumps.into_iter().for_each(|pump| self.spawn(&mut running, pump));
        let period = self.settings.stalled_after;
        let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        let reason = loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(reason))) => break reason,
                    Some(Err(error)) => break format!("a partition's task failed: {error}"),
                    // They all left in order.
                    None => return Ok(()),
                },
                _ = looks.tick(), if !*self.closing.borrow() => match self.added(&client, count).await {
                    Ok(pumps) => {
                        count += pumps.len();
                        pumps.into_iter().for_each(|pump| self.spawn(&mut running, pump));
                    }
                    Err(error) => break error.to_string(),
                },
            }
        };
        // Each drops its consumer, so that nothing of this client is left when the next is built.
        running.shutdown().await;
        if *self.closing.borrow() { Ok(()) } else { Err(reason) }
    }

    /// Subscribes to the partitions that were added. That the lookup is answered says too that the
    /// service is there, even while nobody receives and the pumps stand still.
    async fn added(&mut self, client: &Client, count: usize) -> Result<Vec<Pump>, PulsarError> {
        let partitions = self.partitions(client).await?;
        if partitions.len() <= count {
            return Ok(Vec::new());
        }
        let known = |name: &Arc<str>| self.outboxes.iter().any(|outbox| outbox.partition == *name);
        let added: Vec<_> = partitions.into_iter().filter(|name| !known(name)).collect();
        tracing::info!(added = added.len(), "new partitions");
        self.pumps(client, &added).await
    }

    fn spawn(&self, running: &mut JoinSet<Result<(), String>>, pump: Pump) {
        let (connection, ready) = (self.connection.clone(), self.ready.clone());
        let (closing, stalled_after) = (self.closing.clone(), self.settings.stalled_after);
        running.spawn(async move {
            let partition = pump.partition();
            let ended = pump.run(connection, stalled_after, ready, closing).await;
            ended.map_err(|reason| format!("`{partition}`: {reason}"))
        });
    }
}
