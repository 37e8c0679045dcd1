//! The topics that settings name.

use super::stores::{named, read_secret};
use crate::config::PulsarSettings;
use crate::sink::{PulsarSink, Sink};
use crate::source::PulsarSource;
use anyhow::Context;
use muster_pulsar::{Connection, SourceSettings};

/// Connects to where transitions go.
pub(super) async fn open_sink(pulsar: &PulsarSettings, instance: &str) -> anyhow::Result<Sink> {
    if !pulsar.has_sink() {
        return Ok(Sink::Outbox);
    }
    let name = format!("muster-{instance}");
    let sink = PulsarSink::open(connection(pulsar)?, &pulsar.sink.topic, &name).await;
    Ok(Sink::Pulsar(Box::new(sink.context("the topic of transitions")?)))
}

/// Connects to where messages come from, if they do not come by HTTP alone.
pub(super) async fn open_source(
    pulsar: &PulsarSettings,
    instance: &str,
) -> anyhow::Result<Option<PulsarSource>> {
    if !pulsar.has_source() {
        return Ok(None);
    }
    let source = &pulsar.source;
    let consumer = match source.consumer.is_empty() {
        true => format!("muster-{instance}"),
        false => source.consumer.clone(),
    };
    let settings = SourceSettings {
        topics: source.topics.clone(),
        subscription: source.subscription.clone(),
        dead_letters: source.dead_letters.clone(),
        in_flight_max: source.in_flight_max,
        consumer,
        stalled_after: source.stalled_after,
    };
    let source = PulsarSource::open(connection(pulsar)?, settings, &source.generation).await;
    Ok(Some(source.context("the topics of messages")?))
}

/// How settings say that Pulsar is reached.
pub(crate) fn connection(pulsar: &PulsarSettings) -> anyhow::Result<Connection> {
    let token = named(&pulsar.token_file);
    let token = token.as_deref().map(read_secret).transpose()?;
    let authority = named(&pulsar.authority);
    Ok(Connection { url: pulsar.url.clone(), token, authority, request_time: pulsar.request_time })
}
