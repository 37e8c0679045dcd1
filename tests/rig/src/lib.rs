//! Real servers for Muster's tests: fetched once by Maven, run as plain processes, gone with the
//! test that asked for them.
//!
//! A test takes [`pulsar::shared`] or [`cassandra::shared`] when it only needs a server, and starts a
//! [`PulsarServer`] or [`CassandraServer`] of its own when it is going to kill or to pause it.
//! `muster-rig pulsar cassandra -- cargo test …` starts the servers once for a whole command.
//!
//! It is no container runtime and no cluster: one process a server, all of its state in
//! `target/rig`, on this machine's loopback.
pub mod cassandra;
mod process;
pub mod pulsar;
mod server;
mod tls;

pub use cassandra::{CassandraOptions, CassandraServer};
pub use pulsar::{PulsarAdmin, PulsarOptions, PulsarServer};
pub use tls::Identity;
