//! Lines out.
use std::fmt;

use tokio::sync::watch;

use crate::{
    Connection, Outgoing, PulsarError, Status,
    message::ID,
    publisher::{Line, Publisher},
    status::Standing,
};

/// Publishes lines to a topic, in order per key.
///
/// A key's partition follows from its hash and the number of partitions; a sink takes note of
/// partitions that were added when it builds its client anew. Lines go in batches of several keys,
/// so read the topic with Failover or Exclusive subscriptions: under Key_Shared, a batch goes to one
/// consumer whatever keys are in it.
pub struct Sink {
    publisher: Publisher,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl Sink {
    /// Opens the topic under a name that no other live sink of it has.
    ///
    /// The name is what keeps the order through an outage: the broker lets a producer of that name
    /// in only after it is done with the one before.
    ///
    /// # Errors
    /// When the service can't be reached, refuses the credentials, lacks the topic, or knows another
    /// producer of that name.
    pub async fn open(
        connection: Connection,
        topic: &str,
        producer_name: &str,
    ) -> Result<Sink, PulsarError> {
        let name = Some(producer_name.to_owned());
        Ok(Sink { publisher: Publisher::open(connection, topic, name, Standing::new()).await? })
    }

    /// Publishes all lines, those of a key in their order, each with its id as property
    /// [`ID`](crate::ID), and returns when the broker has confirmed every one.
    ///
    /// It goes on through outages and sends what was not confirmed again, under the same ids. A line
    /// that is longer than the broker takes, and all behind it, waits until the broker takes it
    /// (`maxMessageSize`), and [`Sink::status`] names it; it is neither sent nor left out. When
    /// two tasks publish at once, one waits for the other. Dropping the future leaves any part of
    /// the lines published.
    pub async fn publish(&self, lines: Vec<Outgoing>) {
        let line = |Outgoing { key, id, payload }| Line {
            key: Some(key),
            properties: vec![(ID, id)],
            payload,
        };
        self.publisher.publish(lines.into_iter().map(line).collect()).await;
    }

    /// How it stands with its brokers; news only while something is being published.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.publisher.status()
    }
}
