//! What Muster is held to: behaviour cases, the naive evaluator, generated definitions and
//! messages, and real data.

pub mod case;
pub mod dataset;
pub mod generate;
pub mod naive;
pub mod subject;
pub mod timeline;
