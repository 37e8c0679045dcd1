//! Messages in.
mod entry;
mod lookups;
mod order;
mod pump;
mod reader;
mod subscription;
mod supervisor;
mod window;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
};

use crate::{
    Ack, Acknowledger, Connection, PulsarError, Received, Status, connection::full_name,
    dead_letter::DeadLetters, publisher::Publisher, status::Standing,
};

use pump::{Delivery, Shared};
use supervisor::Supervisor;

/// Messages ready for whoever calls `receive`, of all partitions together; more of each wait behind.
const READY_MAX: usize = 64;
const READY_BYTES_MAX: usize = 16 << 20;

/// What a source reads, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// The topics, with or without partitions. A name without tenant and namespace is in
    /// `public/default`.
    pub topics: Vec<String>,
    /// The subscription that all instances share. It is created, at the earliest message, where
    /// there is none.
    pub subscription: String,
    /// The topic that messages go to which can't be used.
    pub dead_letters: String,
    /// How many messages may be out at a time, received and not yet given back.
    pub in_flight_max: usize,
    /// This instance's name among the subscription's consumers.
    pub consumer: String,
    /// After how long a silence the brokers are asked whether they are still there. As often, topics
    /// are asked for partitions that were added.
    pub stalled_after: Duration,
}

impl SourceSettings {
    fn check(&self) -> Result<(), PulsarError> {
        let refuse = |name, problem| Err(PulsarError::Setting { name, problem });
        if self.topics.is_empty() {
            return refuse("topics", "is empty: name at least one topic");
        }
        if self.subscription.is_empty() {
            return refuse("subscription", "is empty: give the name that all instances share");
        }
        if self.consumer.is_empty() {
            return refuse("consumer", "is empty: give every instance a name of its own");
        }
        if self.in_flight_max == 0 || self.in_flight_max > Semaphore::MAX_PERMITS {
            return refuse("in_flight_max", "is out of range: give a number from 1");
        }
        if self.stalled_after.is_zero() {
            return refuse("stalled_after", "is zero: give at least a second");
        }
        Ok(())
    }
}

/// Delivers what a Failover subscription holds.
///
/// Each partition has one active instance at a time, chosen by the broker, and all its messages come
/// in order. When a client is built anew, or the partition comes from another instance, everything
/// of it that is not acknowledged comes once more, in order; a message is delivered when all
/// before it in its partition were delivered, here or to the instance that acknowledged them, as far as
/// brokers say where a ledger ends, and unless they leave something out time and again.
///
/// No message is ever handed back as failed, which would bring all of its partition back. One that
/// can't be used goes to the dead letters; so does, by itself, an entry that can't be taken apart:
/// encrypted, damaged, or longer than 32 MiB when it is decompressed.
///
/// Each partition has a connection of its own and is read whatever becomes of the others. What is
/// held before it is received is, of all partitions together, about `in_flight_max` messages, at
/// least 8 a partition, and 80 MiB; an entry that is larger than a partition's share comes whole.
///
/// Dropping it ends its clients at once; what was given back just before may come again, which
/// [`Source::close`] avoids.
pub struct Source {
    ready: mpsc::Receiver<Delivery>,
    slots: Arc<Semaphore>,
    acknowledger: Acknowledger,
    status: watch::Receiver<Status>,
    closing: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    /// Opens the subscription on every partition there is, and the dead letters' topic.
    ///
    /// In a box, as is all that waits for a broker: who uses this crate compiles no client again.
    ///
    /// # Errors
    /// When the service can't be reached, refuses the credentials or lacks a topic, or when the
    /// subscription is in use with another type.
    pub fn open(
        connection: Connection,
        settings: SourceSettings,
    ) -> BoxFuture<'static, Result<Source, PulsarError>> {
        Source::subscribe(connection, settings).boxed()
    }

    async fn subscribe(
        connection: Connection,
        mut settings: SourceSettings,
    ) -> Result<Source, PulsarError> {
        settings.check()?;
        settings.topics.iter_mut().for_each(|topic| *topic = full_name(topic));
        // Without a name: instances may share the topic, and letters need no order.
        let standing = Standing::new();
        let topic = &settings.dead_letters;
        let letters =
            Publisher::open(connection.clone(), topic, None, Arc::clone(&standing)).await?;
        let letters = Arc::new(DeadLetters::new(letters));
        let slots = Arc::new(Semaphore::new(settings.in_flight_max));
        let (ready_sender, ready) = mpsc::channel(READY_MAX);
        let (closing, closes) = watch::channel(false);
        let status = standing.subscribe();
        let acknowledger = Acknowledger { dead_letters: Arc::clone(&letters) };
        let room = Arc::new(Semaphore::new(READY_BYTES_MAX));
        let shared = Shared { standing, letters, ready: ready_sender, room, closing: closes };
        let supervisor = Supervisor::open(connection, settings, shared).await?;
        let supervisor = tokio::spawn(supervisor.run());
        Ok(Source { ready, slots, acknowledger, status, closing, supervisor })
    }

    /// The next message, as soon as there is one and fewer than `in_flight_max` are out. It waits
    /// through outages; dropping the future loses nothing.
    pub async fn receive(&mut self) -> Received {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("the slots are never closed");
        let delivery = self.ready.recv().await;
        let Delivery { entry, place, key, payload, .. } =
            delivery.expect("the supervisor lasts as long as its source");
        let partition = Arc::clone(&entry.sequence.outbox.partition);
        Received { partition, place, key, payload, token: Ack { entry, _slot: slot } }
    }

    /// How it stands with its brokers: every partition, and the dead letters' topic.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// How many dead letters were written, those of entries that can't be taken apart among them.
    pub fn dead_letters(&self) -> watch::Receiver<u64> {
        self.acknowledger.dead_letters.count()
    }

    /// What gives messages back.
    pub fn acknowledger(&self) -> Acknowledger {
        self.acknowledger.clone()
    }

    /// Acknowledges what was given back, and hands the partitions over to other instances. What is
    /// still out comes again, there.
    ///
    /// It takes a moment where a broker answers, and no longer than a few requests may where none
    /// does.
    pub async fn close(mut self) {
        self.closing.send_replace(true);
        // What is ready is not wanted any more, and whoever waits to add to it must not be held up.
        self.ready.close();
        if let Err(error) = (&mut self.supervisor).await {
            tracing::error!(%error, "the supervisor of a Pulsar source failed");
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// Ends when the source closes.
async fn closes(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // It was dropped, and whoever waits here is aborted with it.
        std::future::pending::<()>().await;
    }
}
