//! One partition: what comes in is passed on, what is done is acknowledged, silence is looked into.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use pulsar::{
    Consumer, ConsumerOptions, SubType, TokioExecutor,
    consumer::{InitialPosition, Message},
    proto::MessageIdData,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    Connection, Place, PulsarError, SourceSettings,
    acknowledge::{Entry, Outbox},
    connection::Client,
};

use super::closes;

/// After an acknowledgement, how long the client must have had nothing to hand over to be sure that
/// it got as far as sending it.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

/// How long a pump that closes waits for that while messages keep coming.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// While acknowledgements wait, so many times more than usual may be taken in.
const HELD_FACTOR: usize = 16;

/// A message on its way to whoever receives it.
pub(crate) struct Delivery {
    pub(crate) entry: Arc<Entry>,
    pub(crate) place: Place,
    pub(crate) key: Option<String>,
    pub(crate) payload: Vec<u8>,
}

/// A partition's client.
///
/// The client sends acknowledgements and takes messages in on one task, which stands still while
/// nobody takes the messages from it. So a pump goes on taking them while it has something
/// acknowledged, even when nobody receives.
pub(crate) struct Pump {
    consumer: Consumer<Vec<u8>, TokioExecutor>,
    outbox: Arc<Outbox>,
    held: VecDeque<Delivery>,
    held_max: usize,
    entry: Option<Arc<Entry>>,
    settling: bool,
    heard: Instant,
    starved: bool,
    waiting: bool,
}

impl Pump {
    /// Subscribes to the partition; the broker may send `prefetch` messages ahead.
    pub(crate) async fn open(
        connection: &Connection,
        client: &Client,
        settings: &SourceSettings,
        outbox: Arc<Outbox>,
        prefetch: u32,
    ) -> Result<Pump, PulsarError> {
        let options = ConsumerOptions::default()
            .with_initial_position(InitialPosition::Earliest)
            // Twice as many as may be on their way: so the client is not held up by its own queue
            // as soon as that has been emptied.
            .with_receiver_queue_size(prefetch * 2);
        let building = client
            .consumer()
            .with_topic(&*outbox.partition)
            .with_subscription(&settings.subscription)
            .with_subscription_type(SubType::Failover)
            .with_consumer_name(&settings.consumer)
            .with_batch_size(prefetch)
            .with_options(options)
            .build()
            .boxed();
        let consumer =
            connection.bounded(&outbox.partition, &settings.subscription, building).await?;
        Ok(Pump {
            consumer,
            outbox,
            held: VecDeque::new(),
            held_max: prefetch as usize,
            entry: None,
            settling: false,
            heard: Instant::now(),
            starved: false,
            waiting: false,
        })
    }

    pub(crate) fn partition(&self) -> Arc<str> {
        Arc::clone(&self.outbox.partition)
    }

    /// Runs until the client fails, and says how; or, when `closing` comes true, until what was
    /// given back is acknowledged.
    pub(crate) async fn run(
        mut self,
        connection: Connection,
        stalled_after: Duration,
        ready: mpsc::Sender<Delivery>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), String> {
        loop {
            let held_max = self.held_max * if self.settling { HELD_FACTOR } else { 1 };
            let wants = self.held.len() < held_max;
            tokio::select! {
                biased;
                () = closes(&mut closing) => return self.close(&connection).await,
                entries = self.outbox.take() => {
                    for id in entries {
                        let partition = &self.outbox.partition;
                        let sent = self.consumer.ack_with_id(partition, id).await;
                        sent.map_err(|error| error.to_string())?;
                    }
                    self.settling = true;
                }
                // Receivers gone means that the source closes, which the first branch sees.
                Ok(place) = ready.reserve(), if !self.held.is_empty() => {
                    if let Some(delivery) = self.held.pop_front() {
                        place.send(delivery);
                    }
                }
                message = self.consumer.next(), if wants => match message {
                    Some(Ok(message)) => self.hold(message),
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the client gave the partition up".to_owned()),
                },
                () = sleep(SETTLED_AFTER), if self.settling => self.settling = false,
                () = sleep_until(self.heard + stalled_after), if self.held.is_empty() => {
                    self.look(&connection).await?;
                }
            }
        }
    }

    fn hold(&mut self, message: Message<Vec<u8>>) {
        self.heard = Instant::now();
        self.starved = false;
        self.waiting = false;
        let id = &message.message_id.id;
        let place = Place::of(id);
        // The messages of an entry come one after the other, from number 0 on: also when an entry
        // comes again.
        let current = self.entry.take().filter(|entry| {
            place.batch > 0
                && (entry.id.ledger_id, entry.id.entry_id) == (id.ledger_id, id.entry_id)
        });
        let messages = message.message_id.batch_size.and_then(|size| usize::try_from(size).ok());
        let messages = messages.unwrap_or(1);
        let entry = current.unwrap_or_else(|| {
            Arc::new(Entry::new(id.clone(), messages, Arc::clone(&self.outbox)))
        });
        self.entry = (place.batch as usize + 1 < messages).then(|| Arc::clone(&entry));
        let key = message.key();
        self.held.push_back(Delivery { entry, place, key, payload: message.payload.data });
    }

    /// Asks the broker, after a silence, whether it still knows this consumer, and wakes it.
    ///
    /// A consumer that may be sent nothing, and has nothing left, never gets anything again. One that
    /// may be sent what is there, and isn't, either stands by, which nothing tells it, or its broker
    /// has forgotten to read on, as brokers do when a partition changes hands twice in a moment.
    async fn look(&mut self, connection: &Connection) -> Result<(), String> {
        let asked = timeout(connection.request_time, self.consumer.get_stats().boxed()).await;
        let Ok(answer) = asked else {
            return Err(format!("no answer within {:?}", connection.request_time));
        };
        for stats in answer.map_err(|error| error.to_string())? {
            if stats.error_code.is_some() {
                let said = stats.error_message.unwrap_or_default();
                return Err(format!("the broker does not know the consumer any more: {said}"));
            }
            // The broker counts below zero, and the protocol has no sign.
            let permits = stats.available_permits.unwrap_or(1).cast_signed();
            let starved = permits <= 0 && stats.msg_backlog.unwrap_or(0) > 0;
            // Once may be a message that is on its way.
            if std::mem::replace(&mut self.starved, starved) && starved {
                return Err("the client has stopped asking for messages".to_owned());
            }
            let waiting = stats.msg_backlog.unwrap_or(0) > 0 && self.outbox.is_idle();
            // The first time they may be on their way, or a broker may be about to hand over.
            if std::mem::replace(&mut self.waiting, waiting) && waiting {
                self.wake().await?;
                self.waiting = false;
            }
        }
        self.heard = Instant::now();
        Ok(())
    }

    /// Has the broker start over from the first entry that isn't acknowledged. Under Failover that is
    /// what handing any message back does: it rewinds the active consumer, in order, and is ignored
    /// from one that stands by. Nothing is out, so nothing comes twice.
    async fn wake(&mut self) -> Result<(), String> {
        tracing::debug!(partition = &*self.outbox.partition, "messages are there and don't come");
        let any = MessageIdData::default();
        let sent = self.consumer.nack_with_id(&self.outbox.partition, any).await;
        sent.map_err(|error| error.to_string())
    }

    /// Sends what is left to acknowledge, taking in and dropping whatever holds it up, and leaves.
    async fn close(mut self, connection: &Connection) -> Result<(), String> {
        let deadline = Instant::now() + CLOSED_WITHIN;
        self.held.clear();
        if !self.outbox.is_empty() {
            for id in self.outbox.take().await {
                let sent = self.consumer.ack_with_id(&self.outbox.partition, id).await;
                sent.map_err(|error| error.to_string())?;
            }
            self.settling = true;
        }
        while self.settling && Instant::now() < deadline {
            let next = timeout(SETTLED_AFTER, self.consumer.next()).await;
            self.settling = matches!(next, Ok(Some(Ok(_))));
        }
        let closed = timeout(connection.request_time, self.consumer.close().boxed()).await;
        closed.map_err(|_| "no answer to the closing".to_owned())?.map_err(|e| e.to_string())
    }
}
