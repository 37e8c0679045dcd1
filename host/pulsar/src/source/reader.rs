//! One partition through outages: its consumer is built anew, whatever becomes of other partitions.
use std::{sync::Arc, time::Instant};

use crate::{
    Connection, PulsarError, SourceSettings,
    acknowledge::Outbox,
    backoff::{Backoff, patiently},
    wire::Session,
};

use super::{
    closes,
    lookups::Lookups,
    pump::{Pump, Shared},
    window::Window,
};

/// Reads one partition until the source closes.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) settings: Arc<SourceSettings>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) shared: Shared,
    /// What may be held of the partition, in messages and in bytes.
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

impl Reader {
    /// Subscribes.
    pub(crate) async fn open(&self) -> Result<Pump, PulsarError> {
        patiently(|| self.attempt()).await
    }

    async fn attempt(&self) -> Result<Pump, PulsarError> {
        let broker = self.lookups.broker(&self.outbox.partition).await?;
        let behind = broker.proxy.then_some(broker.broker_url);
        let session = Session::open(&self.connection, &broker.url, behind).await;
        let session = session.map_err(|error| PulsarError::greeting(error, broker.url.as_str()))?;
        let opened = Pump::open(
            session,
            self.connection.request_time,
            &self.settings,
            Arc::clone(&self.outbox),
            Window::new(self.messages_max, self.bytes_max),
            self.shared.clone(),
        );
        let (topic, name) = (&self.outbox.partition, &self.settings.subscription);
        opened.await.map_err(|error| PulsarError::wire(error, broker.url.as_str(), topic, name))
    }

    /// Keeps a consumer at work until the source closes. Without a first one it pauses before it
    /// builds one.
    pub(crate) async fn run(self, first: Option<Pump>) {
        let partition = &self.outbox.partition;
        let mut closing = self.shared.closing.clone();
        let mut backoff = Backoff::new();
        let mut pump = first;
        loop {
            if let Some(pump) = pump.take() {
                let start = Instant::now();
                let Err(reason) = pump.run().await else { return };
                if *closing.borrow() {
                    tracing::warn!(%partition, reason, "some of it may come again");
                    return;
                }
                tracing::warn!(%partition, reason, "subscribing anew");
                self.shared.standing.fails(partition, reason);
                backoff.worked_since(start);
            }
            let opened = async {
                backoff.pause().await;
                self.open().await
            };
            tokio::select! {
                () = closes(&mut closing) => return,
                opened = opened => match opened {
                    Ok(opened) => pump = Some(opened),
                    Err(error) => self.shared.standing.fails(partition, error.to_string()),
                },
            }
        }
    }
}
