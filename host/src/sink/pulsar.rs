//! Transitions to a topic of Pulsar.

use super::Untellable;
use crate::store::{Line, UserKey};
use muster_core::transition_id;
use muster_pulsar::{Connection, Outgoing, PulsarError, Sink, Status};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A topic, by the user as the key and with the transition's id as a property.
pub struct PulsarSink {
    sink: Sink,
    runtime: Handle,
    closing: watch::Sender<bool>,
}

impl PulsarSink {
    /// Connects. Producers' names are their own, so several instances publish to one topic.
    ///
    /// # Errors
    /// When Pulsar cannot be reached, refuses the token, or lacks the topic.
    pub async fn open(
        connection: Connection,
        topic: &str,
        name: &str,
    ) -> Result<PulsarSink, PulsarError> {
        let sink = Sink::open(connection, topic, name).await?;
        Ok(PulsarSink { sink, runtime: Handle::current(), closing: watch::Sender::new(false) })
    }

    pub(super) fn tell(&self, told: &[(UserKey, Line)]) -> Result<(), Untellable> {
        let line = |(key, line): &(UserKey, Line)| Outgoing {
            key: key.user.to_string(),
            id: transition_id(&key.workspace, &key.user, line.number),
            payload: line.json.clone(),
        };
        let lines = told.iter().map(line).collect();
        let mut closing = self.closing.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                () = self.sink.publish(lines) => Ok(()),
                _ = closing.wait_for(|closing| *closing) => Err(Untellable),
            }
        })
    }

    pub(super) fn outage(&self) -> Option<Arc<str>> {
        match &*self.sink.status().borrow() {
            Status::Connected => None,
            Status::Waiting { reason, .. } => Some(reason.as_str().into()),
        }
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }
}
