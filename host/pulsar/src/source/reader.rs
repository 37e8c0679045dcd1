//! One partition through outages: its consumer is built anew, whatever becomes of other partitions.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pulsar::proto::ServerError;

use crate::{
    Connection, PulsarError, SourceSettings,
    acknowledge::Outbox,
    backoff::Backoff,
    wire::{Session, WireError},
};

use super::{
    closes,
    lookups::Lookups,
    pump::{Pump, Shared},
    window::Window,
};

/// While a broker loads a partition or lets go of a name it is asked again, a moment long. More of it
/// is for the status to tell of.
const ATTEMPTS_MAX: u32 = 8;
const ATTEMPT_AFTER: Duration = Duration::from_millis(250);

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
    /// Subscribes a first time.
    pub(crate) async fn open(&self) -> Result<Pump, PulsarError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (opened, url) = self.attempt().await?;
            match opened {
                Err(WireError::Refused {
                    kind: Some(ServerError::ServiceNotReady | ServerError::ConsumerBusy),
                    ..
                }) if attempts < ATTEMPTS_MAX => tokio::time::sleep(ATTEMPT_AFTER).await,
                opened => {
                    let (topic, name) = (&self.outbox.partition, &self.settings.subscription);
                    return opened.map_err(|error| PulsarError::wire(error, &url, topic, name));
                }
            }
        }
    }

    async fn attempt(&self) -> Result<(Result<Pump, WireError>, String), PulsarError> {
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
        Ok((opened.await, broker.url.to_string()))
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
