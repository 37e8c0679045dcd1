//! Measurements, each printed beside what it is compared with, from the same run.

mod beside;
mod catalogue;
#[cfg(feature = "cluster")]
mod cluster;
mod durable;
mod engines;
mod growth;
mod live;
mod modules;
mod report;
mod rig;
mod rule;
mod sizes;
mod steady;
mod swap;

pub use beside::measure_beside;
#[cfg(feature = "cluster")]
pub use cluster::{ClusterScale, cluster};
pub use modules::measure_modules;
pub use report::{Figure, Report};
pub use rule::measure_rule;

use std::path::PathBuf;

/// How much a run of measurements does.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Audiences of the catalogue.
    pub audiences: usize,
    /// Events in the history of the busy user.
    pub history: usize,
    /// Users of the durable run, and of the sizes.
    pub users: u64,
    /// Events of the durable run.
    pub events: u64,
    /// Where the durable run keeps its store.
    pub folder: PathBuf,
}

/// Which measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measurement {
    /// From YAML to live modules.
    Live,
    /// One busy user: `state` against `scan`.
    Engines,
    /// The cost of a batch as audiences and history grow.
    Growth,
    /// Bytes of state a user, with and without the empty-state rule.
    Sizes,
    /// Durable messages a second, and what each stage costs.
    Durable,
    /// What changing rules does to the latency of messages.
    Swap,
}

/// Runs one measurement.
///
/// # Errors
/// When rules do not load, or a store fails.
pub fn measure(measurement: Measurement, scale: &Scale) -> anyhow::Result<Report> {
    match measurement {
        Measurement::Live => live::measure(scale),
        Measurement::Engines => engines::measure(scale),
        Measurement::Growth => growth::measure(scale),
        Measurement::Sizes => sizes::measure(scale),
        Measurement::Durable => durable::measure(scale),
        Measurement::Swap => swap::measure(scale),
    }
}
