//! Where topics and their partitions are.
use std::sync::Arc;

use futures_util::FutureExt;
use pulsar::BrokerAddress;
use tokio::sync::Mutex;

use crate::{Connection, PulsarError, connection::Client};

/// A client that is asked where things are, built anew when it fails to answer.
pub(crate) struct Lookups {
    connection: Connection,
    client: Mutex<Option<Client>>,
}

impl Lookups {
    pub(crate) fn new(connection: Connection) -> Lookups {
        Lookups { connection, client: Mutex::new(None) }
    }

    /// The partitions of a topic by name; the topic itself where it has none.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Vec<Arc<str>>, PulsarError> {
        let client = self.client().await?;
        let found = self.connection.partitions(&client, topic).await;
        self.keep(found).await
    }

    /// The broker that has a partition.
    pub(crate) async fn broker(&self, partition: &str) -> Result<BrokerAddress, PulsarError> {
        let client = self.client().await?;
        let lookup = client.lookup_topic(partition).boxed();
        let found = self.connection.bounded(partition, "", lookup).await;
        self.keep(found).await
    }

    async fn client(&self) -> Result<Client, PulsarError> {
        let mut client = self.client.lock().await;
        match &*client {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(self.connection.client().await?.client).clone()),
        }
    }

    async fn keep<T>(&self, found: Result<T, PulsarError>) -> Result<T, PulsarError> {
        if matches!(found, Err(PulsarError::Unreachable { .. })) {
            self.client.lock().await.take();
        }
        found
    }
}
