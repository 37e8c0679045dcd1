//! Why a rule module was refused, or failed to answer.

use crate::guest::settings::ModuleLimits;
use muster_rules::manifest::ManifestError;
use muster_rules::{Location, SectionError, SourceMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Trap, WasmBacktrace};

/// Why a rule module was refused, or failed to answer.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// This machine or these settings can't run modules at all.
    #[error("rule modules can't run here: {reason}")]
    Unsupported {
        /// What is wrong.
        reason: String,
    },
    /// The directory of compiled code is not usable.
    #[error("artefact directory `{}` is not usable: make it writable or name another", path.display())]
    Artefacts {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The component or its manifest is over a limit.
    #[error(
        "{what} has {bytes} bytes, over the limit of {limit}: split the module or raise `{setting}` \
         for it in `modules.limits_of`"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// There is nothing that compiles.
    #[error(
        "`{}` compiles no modules: name an executable of Muster in `modules.compiler`", path.display()
    )]
    NoCompiler {
        /// What was to compile.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Compiling took too long.
    #[error(
        "module `{module}` takes more than {limit:?} to compile: simplify it or raise \
         `modules.limits_of.{module}.compile_time`"
    )]
    CompileTime {
        /// The module's name, by its section.
        module: Arc<str>,
        /// The processor time that it may take.
        limit: Duration,
    },
    /// Compiling needed too much memory.
    #[error(
        "module `{module}` takes more than {limit} bytes of memory to compile: simplify it or raise \
         `modules.limits_of.{module}.compile_memory_bytes`"
    )]
    CompileMemory {
        /// The module's name, by its section.
        module: Arc<str>,
        /// The address space that it may take.
        limit: u64,
    },
    /// The compiler ended otherwise.
    #[error("the compiler of module `{module}` broke off: {reason}; build the module otherwise")]
    CompilerFailed {
        /// The module's name, by its section.
        module: Arc<str>,
        /// How it ended, and what it said.
        reason: String,
    },
    /// The bytes are not a component that can be compiled.
    #[error("not a component: {reason}; build it for world `module` of `muster:rules`")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// The component wants something from its host.
    #[error("component imports `{import}`: rule modules get no imports, build it without WASI")]
    ImportsRefused {
        /// The first thing that it imports.
        import: String,
    },
    /// The component lacks a function of the contract.
    #[error(
        "component does not export `{export}` of `{interface}` with the contract's types: build it \
         for world `{world}`"
    )]
    ExportMissing {
        /// The function.
        export: &'static str,
        /// The interface.
        interface: &'static str,
        /// The world that exports it.
        world: &'static str,
    },
    /// The manifest in the component can't be read.
    #[error("manifest is not valid: {0}")]
    ManifestInvalid(#[from] ManifestError),
    /// The source map in the component can't be read.
    #[error("source map is not valid: {0}")]
    SourceMapInvalid(#[from] SectionError),
    /// What the module says of itself is not what its component says.
    #[error(
        "module `{module}` describes itself otherwise than its section `muster:manifest`: build \
         both from one manifest"
    )]
    ManifestMismatch {
        /// The module's name, by the section.
        module: Arc<str>,
    },
    /// No instance of the module could be made.
    #[error("module `{module}` can't be started: {reason}")]
    NotStarted {
        /// The module's name.
        module: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// The module trapped.
    #[error("module `{module}` trapped{place}: {reason}")]
    Trapped {
        /// The module's name.
        module: Arc<str>,
        /// Where.
        place: Place,
        /// Why.
        reason: String,
    },
    /// A call took too long.
    #[error(
        "module `{module}` took longer than {limit:?}{place}: simplify it or raise \
         `modules.limits_of.{module}.{setting}`"
    )]
    TimedOut {
        /// The module's name.
        module: Arc<str>,
        /// Where it was.
        place: Place,
        /// How long it may take.
        limit: Duration,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// The module ran out of its time too often, and is not called for a while.
    #[error(
        "module `{module}` rests, since it failed again and again and took its time: simplify it or \
         raise `modules.limits_of.{module}.evaluate_time`"
    )]
    Resting {
        /// The module's name.
        module: Arc<str>,
    },
    /// The module needed more than it may have.
    #[error(
        "module `{module}` needs {limit}: simplify it or raise `modules.limits_of.{module}.{}`",
        limit.setting()
    )]
    OverLimit {
        /// The module's name.
        module: Arc<str>,
        /// What it reached.
        limit: LimitReached,
    },
    /// The module's answer is not one that the contract allows.
    #[error("module `{module}` gave a wrong answer: {reason}")]
    WrongAnswer {
        /// The module's name.
        module: Arc<str>,
        /// What is wrong.
        reason: String,
    },
}

/// Where in its code a module was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The innermost function of its author's, if the module names its functions.
    pub function: Option<String>,
    /// The line of the definition, if it was compiled from one.
    pub location: Option<Location>,
}

/// Functions that a panic in Rust ends in, and that do not say where it began.
const RUST_LIBRARY: [&str; 4] = ["__rust", "core::", "std::", "alloc::"];
/// What the guest SDK calls rules by; a rule that the compiler put inside has no name of its own.
const SDK_WRAPPER: &str = "::MODULE::{closure";

/// What the engine says when an answer is over its limit; it has no type for that.
const OUTPUT_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// Which limit an instance reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Its linear memory.
    #[error("{wanted} bytes of memory and may have {limit}")]
    Memory {
        /// Bytes that it asked for.
        wanted: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A table.
    #[error("{wanted} table elements and may have {limit}")]
    Table {
        /// Elements that it asked for.
        wanted: usize,
        /// Elements that it may have.
        limit: usize,
    },
    /// The stack of a call.
    #[error("more than {limit} bytes of stack")]
    Stack {
        /// Bytes that it may have.
        limit: usize,
    },
    /// The size of its answer.
    #[error("more than {limit} bytes for its answer")]
    Output {
        /// Bytes that it may answer.
        limit: usize,
    },
}

/// A call of the contract's, and what it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) time: Duration,
    pub(super) time_setting: &'static str,
    pub(super) output_bytes: usize,
}

impl Allowance {
    pub(super) fn describe(limits: &ModuleLimits) -> Allowance {
        let (time, output_bytes) = (limits.describe_time_max, limits.manifest_bytes_max);
        Allowance { time, time_setting: "describe_time", output_bytes }
    }

    pub(super) fn evaluate(limits: &ModuleLimits) -> Allowance {
        let (time, output_bytes) = (limits.evaluate_time_max, limits.output_bytes_max);
        Allowance { time, time_setting: "evaluate_time", output_bytes }
    }
}

impl LimitReached {
    /// The setting that raises it.
    pub fn setting(&self) -> &'static str {
        match self {
            LimitReached::Memory { .. } => "memory_bytes",
            LimitReached::Table { .. } => "table_elements",
            LimitReached::Stack { .. } => "stack_bytes",
            LimitReached::Output { .. } => "output_bytes",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(function) = &self.function {
            write!(f, " in `{function}`")?;
        }
        self.location.as_ref().map_or(Ok(()), |location| write!(f, " at {location}"))
    }
}

impl GuestError {
    /// What a failed call means.
    pub(super) fn of_call(
        module: &Arc<str>,
        error: &wasmtime::Error,
        limits: &ModuleLimits,
        allowed: Allowance,
        source_map: Option<&SourceMap>,
    ) -> GuestError {
        let module = module.clone();
        if let Some(&limit) = error.downcast_ref::<LimitReached>() {
            return GuestError::OverLimit { module, limit };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => {
                let (limit, setting) = (allowed.time, allowed.time_setting);
                GuestError::TimedOut { module, place: place(error, source_map), limit, setting }
            }
            Some(Trap::StackOverflow) => {
                let limit = LimitReached::Stack { limit: limits.stack_bytes_max };
                GuestError::OverLimit { module, limit }
            }
            Some(trap) => {
                let reason = trap.to_string();
                let reason = reason.trim_start_matches("wasm trap: ").to_owned();
                GuestError::Trapped { module, place: place(error, source_map), reason }
            }
            None if error.to_string().contains(OUTPUT_EXHAUSTED) => {
                let limit = LimitReached::Output { limit: allowed.output_bytes };
                GuestError::OverLimit { module, limit }
            }
            None => GuestError::WrongAnswer { module, reason: one_line(error) },
        }
    }
}

/// The causes of an error in one line, outermost first.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The innermost function of the module's own, as its author wrote it, and the innermost line that
/// the source map knows.
fn place(error: &wasmtime::Error, source_map: Option<&SourceMap>) -> Place {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Place::default() };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let function = names.find(|name| {
        let is_library = RUST_LIBRARY.iter().any(|prefix| name.starts_with(prefix));
        !is_library && !name.contains(SDK_WRAPPER)
    });
    let location = backtrace.frames().iter().find_map(|frame| {
        let offset = u32::try_from(frame.func_offset()?).ok()?;
        source_map?.locate(frame.func_index(), offset).cloned()
    });
    Place { function, location }
}
