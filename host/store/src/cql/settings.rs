//! How the database is reached and asked.

use std::path::PathBuf;
use std::time::Duration;

/// How the database is reached and asked.
#[derive(Clone, Debug)]
pub struct CqlSettings {
    /// Nodes to begin with, `host:port`; the others are learned from them.
    pub nodes: Vec<String>,
    /// The keyspace that holds the tables.
    pub keyspace: String,
    /// How a new keyspace is replicated, as CQL: the value of `replication`.
    pub replication: String,
    /// The user, and her password, where the database asks for them.
    pub user: Option<(String, String)>,
    /// The authority that signed the database's certificates, as PEM: turns TLS on.
    pub authority: Option<PathBuf>,
    /// How many replicas must answer, in CQL's words: `LOCAL_QUORUM`.
    pub consistency: String,
    /// The same for what is conditional: `LOCAL_SERIAL` or `SERIAL`.
    pub serial_consistency: String,
    /// How long a request may take before it is made again.
    pub request_time: Duration,
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// How long a process may be silent before others take its work over.
    pub silence_max: Duration,
}
