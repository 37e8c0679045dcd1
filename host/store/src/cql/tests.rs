//! Where the tests of all stores keep what is in a database.

use super::*;
use std::time::Duration;

/// A keyspace of its own, on the node that tests share. It goes with the node.
pub(crate) struct Keyspace(CqlSettings);

impl Keyspace {
    pub(crate) fn new() -> Keyspace {
        let settings = CqlSettings {
            nodes: vec![muster_rig::cassandra::shared().unwrap().to_string()],
            datacenter: None,
            keyspace: format!("k{:016x}", fastrand::u64(..)),
            replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".to_string(),
            user: None,
            authority: None,
            consistency: "LOCAL_QUORUM".to_string(),
            serial_consistency: "LOCAL_SERIAL".to_string(),
            request_time: Duration::from_secs(10),
            in_flight_max: 256,
            silence_max: Duration::from_secs(2),
        };
        initialise(&settings).unwrap();
        Keyspace(settings)
    }

    pub(crate) fn open(&self) -> CqlStore {
        CqlStore::open(&self.0, CqlMetrics::default()).unwrap()
    }
}
