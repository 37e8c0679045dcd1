//! Publishing until it is confirmed: what a sink and the dead letters share.
use std::{sync::Arc, time::Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all, try_join_all};
use pulsar::{
    Producer, ProducerOptions, TokioExecutor, producer::Message, routing_policy::RoutingPolicy,
};
use tokio::sync::{Mutex, watch};

use crate::{
    Connection, PulsarError, Status,
    backoff::{Backoff, patiently},
    connection::{Client, Reached, full_name},
    message::ID,
    status::Standing,
};

/// A batch is one entry, which is stored and confirmed whole: as much as costs little to repeat, far
/// below the 5 MiB that brokers take.
const BATCH_LINES_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A line on its way.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) key: Option<String>,
    pub(crate) properties: Vec<(&'static str, String)>,
    pub(crate) payload: Vec<u8>,
}

impl Line {
    fn message(&self) -> Message {
        let properties = self.properties.iter();
        Message {
            payload: self.payload.clone(),
            properties: properties
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            partition_key: self.key.clone(),
            ..Message::default()
        }
    }

    /// How long it is when it is sent, or a little less: brokers leave some room for what is missing.
    fn bytes(&self) -> usize {
        let properties: usize =
            self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        // The key of a batch's only message is in it twice.
        self.payload.len() + self.key.as_ref().map_or(0, String::len) * 2 + properties
    }

    fn id(&self) -> &str {
        let id = self.properties.iter().find(|(name, _)| *name == ID);
        id.map_or("", |(_, id)| id)
    }
}

/// Publishes to one topic.
///
/// The client's own producer of a partitioned topic isn't used: by default it deals lines out in
/// turn, whatever their keys. Here each partition has a producer, and a line goes where its key says.
pub(crate) struct Publisher {
    connection: Connection,
    topic: Arc<str>,
    /// With a name, a new producer gets in only when the one before it is gone with all it sent, so
    /// that what was on its way can't come after what is sent later.
    name: Option<String>,
    producers: Mutex<Option<Producers>>,
    standing: Arc<Standing>,
}

struct Producers {
    message_bytes_max: usize,
    partitions: Vec<Producer<TokioExecutor>>,
    /// Held because producers look for their broker through it.
    _client: Client,
}

impl Publisher {
    pub(crate) fn open(
        connection: Connection,
        topic: &str,
        name: Option<String>,
        standing: Arc<Standing>,
    ) -> BoxFuture<'static, Result<Publisher, PulsarError>> {
        let topic = Arc::from(full_name(topic));
        async move {
            let build = || Producers::build(&connection, &topic, name.as_deref());
            let producers = Mutex::new(Some(patiently(build).await?));
            Ok(Publisher { connection, topic, name, producers, standing })
        }
        .boxed()
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.standing.subscribe()
    }

    /// Publishes all lines, in order per key, and returns when all are confirmed.
    pub(crate) fn publish(&self, lines: Vec<Line>) -> BoxFuture<'_, ()> {
        self.publish_all(lines).boxed()
    }

    async fn publish_all(&self, mut lines: Vec<Line>) {
        let mut producers = self.producers.lock().await;
        let mut backoff = Backoff::new();
        while !lines.is_empty() {
            let start = Instant::now();
            // Taken out, so that a caller who goes away in the middle leaves no producer behind
            // that has half a batch.
            let mut current = match producers.take() {
                Some(current) => current,
                None => match self.build().await {
                    Ok(current) => current,
                    Err(error) => {
                        self.standing.fails(&self.topic, error.to_string());
                        backoff.pause().await;
                        continue;
                    }
                },
            };
            let (left, failure) = current.send(&self.connection, lines).await;
            lines = left;
            match failure {
                None => {
                    *producers = Some(current);
                    self.standing.works(&self.topic);
                }
                Some(reason) => {
                    let (topic, left) = (&*self.topic, lines.len());
                    tracing::warn!(topic, reason, left, "not confirmed");
                    self.standing.fails(&self.topic, reason);
                    // It is built anew, so that it is known what its broker takes then.
                    drop(current);
                    backoff.worked_since(start);
                    backoff.pause().await;
                }
            }
        }
    }

    async fn build(&self) -> Result<Producers, PulsarError> {
        Producers::build(&self.connection, &self.topic, self.name.as_deref()).await
    }
}

impl Producers {
    async fn build(
        connection: &Connection,
        topic: &str,
        name: Option<&str>,
    ) -> Result<Producers, PulsarError> {
        let Reached { client, message_bytes_max } = connection.client().await?;
        let partitions = connection.partitions(&client, topic).await?;
        let partitions = try_join_all(partitions.iter().map(|partition| {
            let mut builder = client.producer().with_topic(&**partition).with_options(
                // A batch is sent when it is asked for, and never grows to this size by itself.
                ProducerOptions {
                    batch_size: Some(BATCH_LINES_MAX as u32 + 1),
                    block_queue_if_full: true,
                    ..ProducerOptions::default()
                },
            );
            if let Some(name) = name {
                builder = builder.with_name(name);
            }
            connection.bounded(topic, name.unwrap_or_default(), builder.build().boxed())
        }))
        .await?;
        Ok(Producers { message_bytes_max, partitions, _client: client })
    }

    /// Sends all lines, up to one that is too long, and says which were not confirmed, in order, and
    /// why.
    async fn send(
        &mut self,
        connection: &Connection,
        mut lines: Vec<Line>,
    ) -> (Vec<Line>, Option<String>) {
        let bytes_max = self.message_bytes_max;
        let fit = lines.iter().take_while(|line| line.bytes() <= bytes_max).count();
        let behind = lines.split_off(fit);
        let too_long = behind.first().map(|line| {
            let (id, bytes) = (line.id(), line.bytes());
            format!(
                "the line `{id}` has {bytes} bytes, and the broker takes {bytes_max}: raise its \
                 `maxMessageSize`"
            )
        });
        let (mut left, failure) = self.send_fitting(connection, lines).await;
        left.extend(behind);
        (left, failure.or(too_long))
    }

    async fn send_fitting(
        &mut self,
        connection: &Connection,
        lines: Vec<Line>,
    ) -> (Vec<Line>, Option<String>) {
        let batch_bytes_max = BATCH_BYTES_MAX.min(self.message_bytes_max);
        let count = self.partitions.len();
        let mut queues: Vec<Vec<(usize, Line)>> = vec![Vec::new(); count];
        for (number, line) in lines.into_iter().enumerate() {
            let key = line.key.as_deref().unwrap_or_default();
            let partition = RoutingPolicy::compute_partition_index_for_key(key, count);
            queues[partition].push((number, line));
        }
        let sends = self.partitions.iter_mut().zip(queues);
        let sent = join_all(
            sends.map(|(producer, queue)| send_all(connection, producer, queue, batch_bytes_max)),
        );
        let (mut left, mut failure) = (Vec::new(), None);
        for (unconfirmed, reason) in sent.await {
            left.extend(unconfirmed);
            failure = failure.or(reason);
        }
        // A key may find another partition next time, so only the order of all keeps its own.
        left.sort_by_key(|(number, _)| *number);
        (left.into_iter().map(|(_, line)| line).collect(), failure)
    }
}

/// Sends a partition's lines batch by batch. The next batch waits for the last one's receipt: were
/// it confirmed without it, the repetition of the last one would come too late.
async fn send_all(
    connection: &Connection,
    producer: &mut Producer<TokioExecutor>,
    mut lines: Vec<(usize, Line)>,
    batch_bytes_max: usize,
) -> (Vec<(usize, Line)>, Option<String>) {
    while !lines.is_empty() {
        let length = batch_length(&lines, batch_bytes_max);
        let batch = lines[..length].iter().map(|(_, line)| line.message()).collect();
        if let Err(error) = connection.bounded("", "", send_batch(producer, batch).boxed()).await {
            return (lines, Some(error.to_string()));
        }
        lines.drain(..length);
    }
    (lines, None)
}

fn batch_length(lines: &[(usize, Line)], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = lines.iter().take(BATCH_LINES_MAX).take_while(|(_, line)| {
        bytes += line.bytes();
        bytes <= bytes_max
    });
    fits.count().max(1)
}

async fn send_batch(
    producer: &mut Producer<TokioExecutor>,
    batch: Vec<Message>,
) -> Result<(), pulsar::Error> {
    let mut receipts = Vec::with_capacity(batch.len());
    for message in batch {
        receipts.push(producer.send_non_blocking(message).await?);
    }
    producer.send_batch().await?;
    for receipt in receipts {
        receipt.await?;
    }
    Ok(())
}
