//! What a rule module may cost.

use std::path::PathBuf;
use std::time::Duration;

/// The limits of every rule module, and where compiled code is kept.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    /// The size of a component in bytes.
    pub component_bytes_max: usize,
    /// The size of a manifest in bytes.
    pub manifest_bytes_max: usize,
    /// The linear memory of one instance in bytes.
    pub memory_bytes_max: usize,
    /// The elements of one table.
    pub table_elements_max: usize,
    /// The stack of a call in bytes. A worker's own stack must be larger than this.
    pub stack_bytes_max: usize,
    /// The time of one call of `evaluate`.
    pub evaluate_time_max: Duration,
    /// The time of one call of `describe`.
    pub describe_time_max: Duration,
    /// Where compiled code is kept between runs; `None` compiles anew in every process. The
    /// directory must be writable by this service alone, since what lies there is run.
    pub artefacts: Option<PathBuf>,
    /// The size of all that is kept there in bytes; the oldest goes first.
    pub artefact_bytes_max: u64,
}

/// A manifest lies in a component twice, as a section and as data; this leaves room for one that
/// fills the memory.
const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// The contract's own bound.
const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// Hundreds of times what deciding some hundred audiences takes, and still small enough for an
/// instance of each module on each worker.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// Compiled definitions call one function an audience through a table; this holds ten times the
/// audiences that one workspace is built for.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Boolean rules nest a few hundred levels at the most, and a thread has two mebibytes by default.
const STACK_BYTES_MAX: usize = 512 << 10;
/// A call takes microseconds; this allows for a worker that is set aside for some time slices, and
/// still holds its users up by less than one would notice.
const EVALUATE_TIME_MAX: Duration = Duration::from_millis(50);
/// Called once when a module is loaded, and may have to build the largest of manifests.
const DESCRIBE_TIME_MAX: Duration = Duration::from_secs(1);
/// A hundred generations of ten thousand audiences.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;

impl Default for GuestSettings {
    fn default() -> GuestSettings {
        GuestSettings {
            component_bytes_max: COMPONENT_BYTES_MAX,
            manifest_bytes_max: MANIFEST_BYTES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            table_elements_max: TABLE_ELEMENTS_MAX,
            stack_bytes_max: STACK_BYTES_MAX,
            evaluate_time_max: EVALUATE_TIME_MAX,
            describe_time_max: DESCRIBE_TIME_MAX,
            artefacts: None,
            artefact_bytes_max: ARTEFACT_BYTES_MAX,
        }
    }
}
