//! Why a source or a sink was not opened, and what to do about it.
use std::{io, path::PathBuf};

use pulsar::{
    error::{ConnectionError, ConsumerError, ProducerError, ServiceDiscoveryError},
    proto::ServerError,
};

use crate::wire::WireError;

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
    /// Somebody takes connections there, and ends them before it has said anything.
    #[error(
        "`{url}` takes connections and ends them: a broker that is starting does so for a while, and \
         one that speaks TLS with whoever doesn't: then write `pulsar+ssl://` ({reason})"
    )]
    Unready {
        /// The address tried.
        url: String,
        /// How the connection ended.
        reason: String,
    },
    /// The two sides don't agree on TLS.
    #[error(
        "`{url}` cannot be trusted: name the authority that signed its certificate, and the host as \
         in the certificate; where it doesn't speak TLS, write `pulsar://` ({reason})"
    )]
    Untrusted {
        /// The address tried.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The service doesn't believe the token, or wants one.
    #[error(
        "`{url}` answers but does not let this client in: give a token that is whole, in date and \
         made for this service ({reason})"
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
    /// The service can't do it now: it loads the topic, or its storage was in two minds.
    #[error(
        "the topic `{topic}` cannot be used now: try again, and look into the broker's log if that \
         lasts ({reason})"
    )]
    Busy {
        /// The topic.
        topic: String,
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
        let reason = error.to_string();
        match server_error(error) {
            Some(kind) => PulsarError::refused(kind, reason, url, topic, name),
            None => PulsarError::Unreachable { url: url.to_owned(), reason },
        }
    }

    /// The same of an error of a connection.
    pub(crate) fn wire(error: WireError, url: &str, topic: &str, name: &str) -> PulsarError {
        let reason = error.to_string();
        match error {
            WireError::Refused { kind, said } => {
                let kind = kind.unwrap_or(ServerError::UnknownError);
                PulsarError::refused(kind, said, url, topic, name)
            }
            _ => PulsarError::Unreachable { url: url.to_owned(), reason },
        }
    }

    /// What it means that a connection was not made, or ended before the broker has greeted.
    pub(crate) fn greeting(error: WireError, url: &str) -> PulsarError {
        let (url, reason) = (url.to_owned(), error.to_string());
        match error {
            WireError::Tls(_) => PulsarError::Untrusted { url, reason },
            WireError::Ended | WireError::Io(_) | WireError::Odd(_) | WireError::Dropped => {
                PulsarError::Unready { url, reason }
            }
            WireError::Refused {
                kind: Some(ServerError::AuthenticationError | ServerError::AuthorizationError),
                said,
            } => PulsarError::Credentials { url, reason: said },
            WireError::Refused { .. } | WireError::Connect(_) | WireError::Silent(_) => {
                PulsarError::Unreachable { url, reason }
            }
        }
    }

    fn refused(
        kind: ServerError,
        reason: String,
        url: &str,
        topic: &str,
        name: &str,
    ) -> PulsarError {
        let topic = topic.to_owned();
        match kind {
            ServerError::AuthenticationError => {
                PulsarError::Credentials { url: url.to_owned(), reason }
            }
            ServerError::AuthorizationError => PulsarError::Forbidden { topic, reason },
            ServerError::TopicNotFound => PulsarError::MissingTopic { topic },
            ServerError::ProducerBusy | ServerError::ConsumerBusy => {
                PulsarError::Taken { topic, name: name.to_owned(), reason }
            }
            ServerError::ServiceNotReady
            | ServerError::PersistenceError
            | ServerError::MetadataError => PulsarError::Busy { topic, reason },
            _ => PulsarError::Refused { topic, reason },
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
