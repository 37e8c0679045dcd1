//! Messages in from Pulsar, and lines out to it, through restarts and outages of its brokers.
//!
//! A [`Source`] delivers what a subscription holds, each partition in order; every message is given
//! back through its [`Acknowledger`] once it is durable elsewhere. A [`Sink`] publishes lines, in
//! order per key, and returns when the broker has confirmed all of them. Both build their client
//! anew, with growing pauses, when a broker fails or falls silent, and say meanwhile in their
//! [`Status`] what they wait for.
//!
//! What this is not: it drops no repetition. After each new start of a client, what was not
//! acknowledged is delivered once more, and what was not confirmed is published once more. Who reads
//! tells repetitions apart by ([`Received::partition`], [`Place`]), and whoever reads a sink's topic
//! by the property [`ID`].
mod acknowledge;
mod backoff;
mod connection;
mod dead_letter;
mod error;
mod message;
mod publisher;
mod sink;
mod source;
mod status;
mod wire;

pub use acknowledge::{Ack, Acknowledger};
pub use connection::Connection;
pub use error::PulsarError;
pub use message::{ID, LENGTH, Outgoing, PARTITION, PLACE, Place, REASON, Received};
pub use sink::Sink;
pub use source::{Source, SourceSettings};
pub use status::Status;
