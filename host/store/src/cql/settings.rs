//! How the database is reached and asked.

use super::error::CqlError;
use scylla::statement::{Consistency, SerialConsistency};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How the database is reached and asked.
#[derive(Clone)]
pub struct CqlSettings {
    /// Nodes to begin with, `host:port`; the others are learned from them.
    pub nodes: Vec<String>,
    /// The data centre whose nodes are asked, and no others. There must be only one when none is named, where
    /// a consistency level is local.
    pub datacenter: Option<String>,
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

impl fmt::Debug for CqlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password is a secret, and this is what ends up in logs.
        f.debug_struct("CqlSettings")
            .field("nodes", &self.nodes)
            .field("datacenter", &self.datacenter)
            .field("keyspace", &self.keyspace)
            .field("replication", &self.replication)
            .field("user", &self.user.as_ref().map(|(user, _)| (user, "…")))
            .field("authority", &self.authority)
            .field("consistency", &self.consistency)
            .field("serial_consistency", &self.serial_consistency)
            .field("request_time", &self.request_time)
            .field("in_flight_max", &self.in_flight_max)
            .field("silence_max", &self.silence_max)
            .finish()
    }
}

impl CqlSettings {
    /// Whether answers are of the data centre of whichever node is asked: two that are asked in two of them
    /// may both do what only one may.
    fn is_local(&self) -> bool {
        [&self.consistency, &self.serial_consistency]
            .iter()
            .any(|level| level.starts_with("LOCAL_"))
    }

    /// Checks the data centre against those that there are.
    pub(super) fn check_datacenter(&self, found: &BTreeSet<String>) -> Result<(), CqlError> {
        let names = || found.iter().cloned().collect::<Vec<_>>().join("`, `");
        match &self.datacenter {
            Some(name) if !found.contains(name) => {
                Err(CqlError::NoDatacenter { name: name.clone(), found: names() })
            }
            None if self.is_local() && found.len() > 1 => {
                Err(CqlError::Datacenters { found: names() })
            }
            _ => Ok(()),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CqlSettings {
        CqlSettings {
            nodes: Vec::new(),
            datacenter: None,
            keyspace: String::new(),
            replication: String::new(),
            user: None,
            authority: None,
            consistency: String::new(),
            serial_consistency: String::new(),
            request_time: Duration::ZERO,
            in_flight_max: 1,
            silence_max: Duration::ZERO,
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let user = Some(("ann".to_string(), "secret".to_string()));
        let shown = format!("{:?}", CqlSettings { user, ..settings() });
        assert!(shown.contains(r#"user: Some(("ann", "…"))"#), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    fn checked(datacenter: &str, levels: [&str; 2], found: &[&str]) -> Result<(), String> {
        let [consistency, serial_consistency] = levels.map(str::to_string);
        let datacenter = Some(datacenter.to_string()).filter(|name| !name.is_empty());
        let settings = CqlSettings { datacenter, consistency, serial_consistency, ..settings() };
        let found = found.iter().map(|name| name.to_string()).collect();
        settings.check_datacenter(&found).map_err(|error| error.to_string())
    }

    #[test]
    fn where_answers_are_local_one_data_centre_is_asked() {
        let local = ["LOCAL_QUORUM", "LOCAL_SERIAL"];
        let said = "the database has data centres `east`, `west`, and local consistency levels: name the one that \
                    all instances use in `store.cql.datacenter`, or use SERIAL and a level that is not local";
        assert_eq!(checked("", local, &["east", "west"]), Err(said.to_string()));
        for mixed in [["QUORUM", "LOCAL_SERIAL"], ["LOCAL_QUORUM", "SERIAL"]] {
            assert!(checked("", mixed, &["east", "west"]).is_err());
        }
        assert_eq!(checked("", ["QUORUM", "SERIAL"], &["east", "west"]), Ok(()));
        assert_eq!(checked("west", local, &["east", "west"]), Ok(()));
        assert_eq!(checked("", local, &["east"]), Ok(()));
    }

    #[test]
    fn a_data_centre_that_there_is_not_is_refused() {
        let said =
            "the database has no data centre `north`, but `east`: mend `store.cql.datacenter`";
        assert_eq!(checked("north", ["QUORUM", "SERIAL"], &["east"]), Err(said.to_string()));
    }
}
