//! What the tests share: topics of their own, and waiting with a deadline.
use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use muster_pulsar::{Connection, Outgoing, Place, Received, Source, SourceSettings};
use muster_rig::{PulsarAdmin, pulsar::shared};
use pulsar::{
    Consumer, ConsumerOptions, Pulsar, SubType, TokioExecutor, consumer::InitialPosition,
};

/// Long enough for a machine that does other things too.
const DEADLINE: Duration = Duration::from_secs(90);

/// A topic of a broker, and one for its dead letters.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) admin: PulsarAdmin,
    pub(crate) topic: String,
}

impl Stage {
    /// On the broker that all tests share. 0 partitions make a topic without any.
    pub(crate) fn shared(partitions: u32) -> Result<Stage> {
        let shared = shared()?;
        Stage::new(shared.service_url.clone(), shared.admin.clone(), partitions)
    }

    pub(crate) fn new(url: String, admin: PulsarAdmin, partitions: u32) -> Result<Stage> {
        let topic = format!("t{:016x}", fastrand::u64(..));
        admin.create_topic(&topic, partitions)?;
        admin.create_topic(&format!("{topic}-dead"), 0)?;
        Ok(Stage { url, admin, topic })
    }

    pub(crate) fn connection(&self) -> Connection {
        connection(&self.url)
    }

    pub(crate) fn settings(&self, consumer: &str) -> SourceSettings {
        SourceSettings {
            topics: vec![self.topic.clone()],
            subscription: "muster".to_owned(),
            dead_letters: self.dead_letters(),
            in_flight_max: 10_000,
            consumer: consumer.to_owned(),
            stalled_after: Duration::from_secs(2),
        }
    }

    pub(crate) fn dead_letters(&self) -> String {
        format!("{}-dead", self.topic)
    }

    pub(crate) async fn source(&self, consumer: &str) -> Result<Source> {
        Ok(Source::open(self.connection(), self.settings(consumer)).await?)
    }

    pub(crate) async fn sink(&self) -> Result<muster_pulsar::Sink> {
        Ok(muster_pulsar::Sink::open(self.connection(), &self.topic, "publisher").await?)
    }
}

pub(crate) fn connection(url: &str) -> Connection {
    let request_time = Duration::from_secs(5);
    Connection { url: url.to_owned(), token: None, authority: None, request_time }
}

/// Lines `from` to `to` of a key: each says its key and number.
pub(crate) fn lines(key: &str, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers
        .map(|number| Outgoing {
            key: key.to_owned(),
            id: format!("{key}-{number}"),
            payload: format!("{key} {number}").into_bytes(),
        })
        .collect()
}

/// The key and the number that a line of [`lines`] says.
pub(crate) fn said(payload: &[u8]) -> Result<(String, usize)> {
    let text = String::from_utf8(payload.to_vec())?;
    let (key, number) = text.split_once(' ').context("no line of a test")?;
    Ok((key.to_owned(), number.parse()?))
}

/// What the future gives, which must be soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("not within {} s: {what}", DEADLINE.as_secs());
    };
    value
}

/// Looks until it is so, which must be soon.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let looks = async {
        while !so()? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    soon(what, looks).await
}

pub(crate) async fn receive(source: &mut Source, count: usize) -> Vec<Received> {
    let mut received = Vec::with_capacity(count);
    while received.len() < count {
        received
            .push(soon(&format!("message {} of {count}", received.len()), source.receive()).await);
    }
    received
}

/// Each key's numbers in the order of their first delivery, a repetition being known by its place.
#[derive(Default)]
pub(crate) struct Heard {
    last: HashMap<String, Place>,
    pub(crate) numbers: BTreeMap<String, Vec<usize>>,
    pub(crate) repetitions: usize,
}

impl Heard {
    /// Takes note, in the way that Muster does: what is not after the last place of its partition is
    /// a repetition.
    pub(crate) fn hear(&mut self, received: &Received) -> Result<()> {
        let last = self.last.get(&*received.partition);
        if last.is_some_and(|last| received.place <= *last) {
            self.repetitions += 1;
            return Ok(());
        }
        self.last.insert(received.partition.to_string(), received.place);
        let (key, number) = said(&received.payload)?;
        let numbers = self.numbers.entry(key).or_default();
        // What was published twice after an outage is at two places, and its id tells.
        if !numbers.contains(&number) {
            numbers.push(number);
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.numbers.values().map(Vec::len).sum()
    }
}

/// A message as the client alone sees it.
pub(crate) struct Raw {
    pub(crate) key: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) async fn client(url: &str) -> Result<Pulsar<TokioExecutor>> {
    Ok(Pulsar::builder(url, TokioExecutor).build().await?)
}

pub(crate) async fn consumer(
    url: &str,
    topic: &str,
    subscription: &str,
) -> Result<Consumer<Vec<u8>, TokioExecutor>> {
    consumer_of(SubType::Failover, url, topic, subscription).await
}

pub(crate) async fn consumer_of(
    kind: SubType,
    url: &str,
    topic: &str,
    subscription: &str,
) -> Result<Consumer<Vec<u8>, TokioExecutor>> {
    let options = ConsumerOptions::default().with_initial_position(InitialPosition::Earliest);
    let consumer = client(url).await?.consumer().with_topic(topic).with_options(options);
    let consumer = consumer.with_subscription(subscription).with_subscription_type(kind);
    Ok(consumer.build().await?)
}

/// The first messages of a topic.
pub(crate) async fn first(url: &str, topic: &str, count: usize) -> Result<Vec<Raw>> {
    let mut consumer = consumer(url, topic, "onlooker").await?;
    let mut messages = Vec::new();
    while messages.len() < count {
        let message = soon("a message", consumer.next()).await.context("the stream ended")??;
        let properties = message.metadata().properties.iter();
        messages.push(Raw {
            key: message.key(),
            properties: properties.map(|p| (p.key.clone(), p.value.clone())).collect(),
            payload: message.payload.data,
        });
    }
    Ok(messages)
}
