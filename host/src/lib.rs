//! The runtime of Muster: stores, guests, the service and the command line.
pub mod bench;
pub mod cli;
pub mod decode;
pub mod group;
pub mod guest;
pub mod input;
pub mod replay;
pub mod ruleset;
pub mod store;
pub mod transitions;
pub mod api;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod service;
pub mod worker;
pub mod traffic;
