//! What a rule module may cost.

use crate::guest::compiler::Compiler;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The limits of rule modules, how they are compiled, and where compiled code is kept.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    /// The limits of every module that has none of its own.
    pub limits: ModuleLimits,
    /// Limits of single modules, by the name in their manifest. A module names itself, so these are
    /// for whoever calls itself so.
    pub limits_of: BTreeMap<String, ModuleLimits>,
    /// Who compiles.
    pub compiler: Compiler,
    /// Where compiled code is kept between runs; `None` compiles anew in every process. The
    /// directory must be writable by this service alone, since what lies there is run.
    pub artefacts: Option<PathBuf>,
    /// The size of all that is kept there in bytes; the oldest goes first.
    pub artefact_bytes_max: u64,
}

/// What one rule module may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleLimits {
    /// The size of a component in bytes.
    pub component_bytes_max: usize,
    /// The size of a manifest in bytes, and so of what `describe` answers.
    pub manifest_bytes_max: usize,
    /// The processor time of compiling it, in whole seconds at the least. Only a compiler in a
    /// process of its own is held to it.
    pub compile_time_max: Duration,
    /// The address space of the compiler in bytes. Only one in a process of its own is held to it.
    pub compile_memory_bytes_max: u64,
    /// The linear memory of one instance in bytes.
    pub memory_bytes_max: usize,
    /// The elements of one table.
    pub table_elements_max: usize,
    /// The stack of a call in bytes, at most [`STACK_BYTES_LIMIT`].
    pub stack_bytes_max: usize,
    /// The time of one call of `evaluate`, or of `select`.
    pub evaluate_time_max: Duration,
    /// The time of one call of `describe`.
    pub describe_time_max: Duration,
    /// What `evaluate` or `select` may answer in bytes: a byte an audience or predicate.
    pub output_bytes_max: usize,
}

/// The highest limit of a stack: modules run on threads of two mebibytes, of which the host needs
/// some.
pub const STACK_BYTES_LIMIT: usize = 1536 << 10;

/// A manifest lies in a component twice, as a section and as data; this leaves room for one that
/// fills the memory.
const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// The contract's own bound.
const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// Five times what the component of ten thousand audiences takes.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(10);
/// Several times what that component takes.
const COMPILE_MEMORY_BYTES_MAX: u64 = 1 << 30;
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
/// Ten times the audiences that a table holds.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// A hundred generations of ten thousand audiences.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;

impl GuestSettings {
    /// The limits of the module of that name.
    pub fn limits_of(&self, module: &str) -> &ModuleLimits {
        self.limits_of.get(module).unwrap_or(&self.limits)
    }

    /// All limits: those of most modules first.
    pub(super) fn all_limits(&self) -> impl Iterator<Item = &ModuleLimits> {
        std::iter::once(&self.limits).chain(self.limits_of.values())
    }
}

impl Default for ModuleLimits {
    fn default() -> ModuleLimits {
        ModuleLimits {
            component_bytes_max: COMPONENT_BYTES_MAX,
            manifest_bytes_max: MANIFEST_BYTES_MAX,
            compile_time_max: COMPILE_TIME_MAX,
            compile_memory_bytes_max: COMPILE_MEMORY_BYTES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            table_elements_max: TABLE_ELEMENTS_MAX,
            stack_bytes_max: STACK_BYTES_MAX,
            evaluate_time_max: EVALUATE_TIME_MAX,
            describe_time_max: DESCRIBE_TIME_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
        }
    }
}

impl Default for GuestSettings {
    fn default() -> GuestSettings {
        GuestSettings {
            limits: ModuleLimits::default(),
            limits_of: BTreeMap::new(),
            compiler: Compiler::Here,
            artefacts: None,
            artefact_bytes_max: ARTEFACT_BYTES_MAX,
        }
    }
}
