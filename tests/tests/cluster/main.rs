//! Instances on real servers: Pulsar and Cassandra, shared by all tests here, each with topics and a
//! keyspace of its own. What breaks servers and instances is in `muster-faults`.

#![allow(clippy::unwrap_used, reason = "a test whose servers do not answer has failed")]

mod cases;
mod changing;
mod copying;
mod flow;
mod inside;
mod rules;
mod wire;

use muster_rig::{cassandra, pulsar};
use muster_tests::cluster::Stage;
use std::path::{Path, PathBuf};

/// A stage with the rules of the shop, on the shared servers.
fn stage() -> Stage {
    stage_with(&shop(), 4)
}

fn stage_with(rules: &Path, partitions: u32) -> Stage {
    let pulsar = pulsar::shared().unwrap();
    let cassandra = cassandra::shared().unwrap();
    Stage::new(cassandra, &pulsar.service_url, &pulsar.admin, rules, partitions).unwrap()
}

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/audiences.yaml")
}
