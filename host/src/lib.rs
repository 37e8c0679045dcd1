//! The runtime of Muster: stores, guests, the service and the command line.
pub mod api;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod group;
pub mod guest;
pub mod input;
pub mod metrics;
pub mod replay;
pub mod ruleset;
pub mod service;
pub mod store;
pub mod traffic;
pub mod transitions;
pub mod worker;
