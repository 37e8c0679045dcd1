//! What instances share: a database, topics.

use super::{Config, StoreKind, duration};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// A database that instances share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CqlStoreSettings {
    /// Nodes to begin with.
    pub nodes: Vec<String>,
    /// The data centre whose nodes are asked; any when it is empty.
    pub datacenter: String,
    /// The keyspace of the tables.
    pub keyspace: String,
    /// How a new keyspace is replicated.
    pub replication: String,
    /// The user; none when it is empty.
    pub user: String,
    /// The file with her password.
    pub password_file: PathBuf,
    /// The authority that signed the database's certificates; no TLS when it is empty.
    pub authority: PathBuf,
    /// How many replicas must answer.
    pub consistency: String,
    /// The same for what is conditional.
    pub serial_consistency: String,
    /// How long a request may take.
    #[serde(deserialize_with = "duration")]
    pub request_time: Duration,
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// How long an instance may be silent before others take its work over.
    #[serde(deserialize_with = "duration")]
    pub silence_max: Duration,
}

/// Topics that messages come from and transitions go to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PulsarSettings {
    /// Where Pulsar is; it is not used when this is empty.
    pub url: String,
    /// The file with a token; none is sent when it is empty.
    pub token_file: PathBuf,
    /// The authority that signed Pulsar's certificates.
    pub authority: PathBuf,
    /// How long a request may take.
    #[serde(deserialize_with = "duration")]
    pub request_time: Duration,
    /// Where messages come from.
    pub source: SourceSettings,
    /// Where transitions go.
    pub sink: SinkSettings,
}

/// Where messages come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// The topics; messages come by HTTP alone when there are none.
    pub topics: Vec<String>,
    /// The subscription that instances share.
    pub subscription: String,
    /// Where messages go that cannot be used.
    pub dead_letters: String,
    /// Messages that may be out at once.
    pub in_flight_max: usize,
    /// This instance's name.
    pub consumer: String,
    /// After how long a silence it is asked whether anybody is there.
    #[serde(deserialize_with = "duration")]
    pub stalled_after: Duration,
    /// Which life of the topics this is.
    pub generation: String,
}

/// Where transitions go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkSettings {
    /// The topic; transitions are read from the store when this is empty.
    pub topic: String,
}

impl PulsarSettings {
    /// Whether messages come from topics.
    pub fn has_source(&self) -> bool {
        !self.source.topics.is_empty()
    }

    /// Whether transitions go to a topic.
    pub fn has_sink(&self) -> bool {
        !self.sink.topic.is_empty()
    }
}

/// Whether what is set goes together, and is in this build.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let (store, pulsar) = (&config.store, &config.pulsar);
    let is_shared = store.kind == StoreKind::Cql;
    let has_pulsar = pulsar.has_source() || pulsar.has_sink();
    if is_shared && !cfg!(feature = "cql") {
        return Err("`store.kind`: this build knows no CQL: build with `--features cluster`".into());
    }
    if has_pulsar && !cfg!(feature = "pulsar") {
        return Err("`pulsar`: this build knows no Pulsar: build with `--features cluster`".into());
    }
    if is_shared && !pulsar.has_sink() {
        let reason = "`pulsar.sink.topic`: a store of kind `cql` keeps no transitions to be read: name the \
                      topic that they go to";
        return Err(reason.into());
    }
    if !is_shared && pulsar.has_sink() {
        let reason = "`pulsar.sink.topic`: an embedded store keeps its transitions to be read by HTTP: leave \
                      it empty, or set `store.kind = \"cql\"`";
        return Err(reason.into());
    }
    if has_pulsar && pulsar.url.is_empty() {
        return Err("`pulsar.url`: topics are named, and not where they are".into());
    }
    if store.cql.user.is_empty() != store.cql.password_file.as_os_str().is_empty() {
        return Err("`store.cql`: `user` and `password_file` go together".into());
    }
    if store.cql.in_flight_max == 0 || pulsar.source.in_flight_max == 0 {
        return Err("`in_flight_max` must be at least 1".into());
    }
    if store.cql.silence_max < Duration::from_secs(1) {
        return Err("`store.cql.silence_max` must be at least 1s".into());
    }
    Ok(())
}
