//! Where transitions go.

#[cfg(feature = "pulsar")]
mod pulsar;

#[cfg(feature = "pulsar")]
pub use pulsar::PulsarSink;

use crate::store::{Line, UserKey};
use std::sync::Arc;

/// Where transitions go once they are committed.
pub enum Sink {
    /// They are part of the commit already, in the store's outbox, and read from there.
    Outbox,
    /// To a topic.
    #[cfg(feature = "pulsar")]
    Pulsar(Box<PulsarSink>),
}

/// Why transitions could not be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transitions could not be told before the service ended: they are told when it is back")]
pub struct Untellable;

impl Sink {
    /// Tells transitions, those of a user in order. Waits until all of them are told.
    ///
    /// # Errors
    /// When the service ends before they are.
    #[cfg_attr(not(feature = "pulsar"), allow(unused_variables, reason = "the store told them"))]
    pub fn tell(&self, told: &[(UserKey, Line)]) -> Result<(), Untellable> {
        match self {
            Sink::Outbox => Ok(()),
            #[cfg(feature = "pulsar")]
            Sink::Pulsar(sink) => sink.tell(told),
        }
    }

    /// Why nothing can be told at the moment, if so.
    pub fn outage(&self) -> Option<Arc<str>> {
        match self {
            Sink::Outbox => None,
            #[cfg(feature = "pulsar")]
            Sink::Pulsar(sink) => sink.outage(),
        }
    }

    /// Waits for nothing from now on.
    pub fn close(&self) {
        match self {
            Sink::Outbox => {}
            #[cfg(feature = "pulsar")]
            Sink::Pulsar(sink) => sink.close(),
        }
    }
}
