//! How the database is reached and asked.

use super::error::CqlError;
use scylla::statement::{Consistency, SerialConsistency};
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

impl CqlSettings {
    pub(super) fn consistency(&self) -> Result<Consistency, CqlError> {
        Ok(match &*self.consistency {
            "ONE" => Consistency::One,
            "TWO" => Consistency::Two,
            "THREE" => Consistency::Three,
            "QUORUM" => Consistency::Quorum,
            "ALL" => Consistency::All,
            "LOCAL_QUORUM" => Consistency::LocalQuorum,
            "EACH_QUORUM" => Consistency::EachQuorum,
            "LOCAL_ONE" => Consistency::LocalOne,
            other => return Err(CqlError::Consistency(other.to_string())),
        })
    }

    pub(super) fn serial_consistency(&self) -> Result<SerialConsistency, CqlError> {
        Ok(match &*self.serial_consistency {
            "SERIAL" => SerialConsistency::Serial,
            "LOCAL_SERIAL" => SerialConsistency::LocalSerial,
            other => return Err(CqlError::Consistency(other.to_string())),
        })
    }
}
