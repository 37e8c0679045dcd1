//! What Muster is held to: behaviour cases, the naive evaluator, generated definitions and
//! messages, and real data.

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod dataset;
pub mod examples;
pub mod generate;
pub mod guests;
pub mod naive;
pub mod subject;

pub use muster::case::{self, timeline};
