//! The runtime of Muster: stores, guests, the service and the command line.
pub mod access;
pub mod api;
pub mod bench;
pub mod build;
pub mod case;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod describe;
pub mod group;
pub mod guest;
pub mod input;
pub mod lifecycle;
pub mod manager;
pub mod metrics;
pub mod replay;
pub mod ruleset;
pub mod service;
pub mod sink;
#[cfg(feature = "pulsar")]
pub mod source;
pub mod tls;
pub mod traffic;
pub mod transitions;
pub mod worker;

pub use muster_store as store;
