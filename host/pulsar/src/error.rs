//! Why a source or a sink was not opened, and what to do about it.
use std::{io, path::PathBuf};

use pulsar::{
    error::{ConnectionError, ConsumerError, ProducerError, ServiceDiscoveryError},
    proto::ServerError,
};

/// Why a source or a sink was not opened.
#[derive(Debug, thiserror::Error)]
pub enum PulsarError {
    /// The address is none of a Pulsar service.
    #[error(
        "`{url}` is no address of a Pulsar service: write `pulsar://host:6650`, or \
         `pulsar+ssl://host:6651` for TLS"
    )]
    Address {
        /// As configured.
        url: String,
    },
    /// The certificate authority's file can't be read.
    #[error("cannot read the certificate authority `{}`: name a readable PEM file", path.display())]
    Authority {
        /// As configured.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A setting can't be right whatever the service says.
    #[error("the setting `{name}` {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong, and what it may be.
        problem: &'static str,
    },
    /// Nobody answers, or not in time.
    #[error("no answer from `{url}`: check that the service runs and can be reached ({reason})")]
    Unreachable {
        /// The address tried.
        url: String,
        /// What the client says.
        reason: String,
    },
    /// Somebody answers, but ends the greeting: for the most part since it doesn't believe the token,
    /// or wants one. The client hides what exactly was said, and logs it.
    #[error(
        "`{url}` answers but does not let this client in: give a token that is whole, in date and \
         made for this service; where it speaks TLS, write `pulsar+ssl://` and name the authority of \
         its certificate ({reason})"
    )]
    Credentials {
        /// The address tried.
        url: String,
        /// What the client says.
        reason: String,
    },
    /// The token's role lacks a permission.
    #[error(
        "the topic `{topic}` is closed to this token's role: grant it `consume` on what it reads \
         and `produce` on what it writes ({reason})"
    )]
    Forbidden {
        /// The topic.
        topic: String,
        /// What the service says.
        reason: String,
    },
    /// There is no such topic.
    #[error(
        "there is no topic `{topic}`: create it, for instance with `pulsar-admin topics \
         create-partitioned-topic {topic} --partitions 8`"
    )]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// A producer or a subscription of that name is in use in a way that excludes this one.
    #[error(
        "`{name}` is in use on the topic `{topic}`: give every instance a name of its own, and use \
         the subscription for Failover only ({reason})"
    )]
    Taken {
        /// The topic.
        topic: String,
        /// The producer or the subscription.
        name: String,
        /// What the service says.
        reason: String,
    },
    /// The service refuses for another reason.
    #[error("the topic `{topic}` cannot be used: look into the broker's log ({reason})")]
    Refused {
        /// The topic.
        topic: String,
        /// What the service says.
        reason: String,
    },
}

impl PulsarError {
    /// What an error of the client means for who wants to use `topic`, under `name`.
    pub(crate) fn of(error: &pulsar::Error, url: &str, topic: &str, name: &str) -> PulsarError {
        let (url, topic, reason) = (url.to_owned(), topic.to_owned(), error.to_string());
        match server_error(error) {
            Some(ServerError::AuthenticationError) => PulsarError::Credentials { url, reason },
            Some(ServerError::AuthorizationError) => PulsarError::Forbidden { topic, reason },
            Some(ServerError::TopicNotFound) => PulsarError::MissingTopic { topic },
            Some(ServerError::ProducerBusy | ServerError::ConsumerBusy) => {
                PulsarError::Taken { topic, name: name.to_owned(), reason }
            }
            Some(_) => PulsarError::Refused { topic, reason },
            None if ended_greeting(error) => PulsarError::Credentials { url, reason },
            None => PulsarError::Unreachable { url, reason },
        }
    }
}

/// What the broker answered, wherever in its errors the client keeps it.
fn server_error(error: &pulsar::Error) -> Option<ServerError> {
    let connection = match error {
        pulsar::Error::Connection(error)
        | pulsar::Error::Consumer(ConsumerError::Connection(error))
        | pulsar::Error::Producer(ProducerError::Connection(error))
        | pulsar::Error::ServiceDiscovery(ServiceDiscoveryError::Connection(error)) => error,
        pulsar::Error::ServiceDiscovery(ServiceDiscoveryError::Query(kind, _)) => return *kind,
        _ => return None,
    };
    match connection {
        ConnectionError::PulsarError(kind, _) => *kind,
        _ => None,
    }
}

/// Whether the connection was made and then refused. The client tries again by itself after a refused
/// or silent address only; all else it calls fatal, in an error without a kind of its own.
fn ended_greeting(error: &pulsar::Error) -> bool {
    match error {
        pulsar::Error::Connection(ConnectionError::Io(error)) => {
            error.kind() == io::ErrorKind::Other && error.to_string().starts_with("fatal error")
        }
        _ => false,
    }
}
