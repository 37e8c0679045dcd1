//! Why a rule module was refused, or failed to answer.

use crate::guest::settings::GuestSettings;
use muster_rules::manifest::ManifestError;
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
    #[error("{what} has {bytes} bytes, over the limit of {limit}: split the module or raise it")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
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
         for world `module`"
    )]
    ExportMissing {
        /// The function.
        export: &'static str,
        /// The interface.
        interface: &'static str,
    },
    /// The manifest in the component can't be read.
    #[error("manifest is not valid: {0}")]
    ManifestInvalid(#[from] ManifestError),
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
    #[error("module `{module}` trapped{}: {reason}", within(.function.as_deref()))]
    Trapped {
        /// The module's name.
        module: Arc<str>,
        /// The innermost function, if the module names its functions.
        function: Option<String>,
        /// Why.
        reason: String,
    },
    /// A call took too long.
    #[error(
        "module `{module}` took longer than {limit:?}{}: simplify it or raise the limit",
        within(.function.as_deref())
    )]
    TimedOut {
        /// The module's name.
        module: Arc<str>,
        /// The function it was in, if the module names its functions.
        function: Option<String>,
        /// How long it may take.
        limit: Duration,
    },
    /// The module needed more than it may have.
    #[error("module `{module}` needs {limit}: simplify it or raise the limit")]
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

/// Functions that a panic in Rust ends in, and that do not say where it began.
const RUST_LIBRARY: [&str; 4] = ["__rust", "core::", "std::", "alloc::"];
/// What the guest SDK calls rules by; a rule that the compiler put inside has no name of its own.
const SDK_WRAPPER: &str = "::MODULE::{closure";

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
}

impl GuestError {
    /// What a failed call means.
    pub(super) fn of_call(
        module: &Arc<str>,
        error: &wasmtime::Error,
        settings: &GuestSettings,
        limit: Duration,
    ) -> GuestError {
        let module = module.clone();
        if let Some(&limit) = error.downcast_ref::<LimitReached>() {
            return GuestError::OverLimit { module, limit };
        }
        let function = function(error);
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => GuestError::TimedOut { module, function, limit },
            Some(Trap::StackOverflow) => {
                let limit = LimitReached::Stack { limit: settings.stack_bytes_max };
                GuestError::OverLimit { module, limit }
            }
            Some(trap) => {
                let reason = trap.to_string();
                let reason = reason.trim_start_matches("wasm trap: ").to_owned();
                GuestError::Trapped { module, function, reason }
            }
            None => GuestError::WrongAnswer { module, reason: one_line(error) },
        }
    }
}

/// The causes of an error in one line, outermost first.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The innermost function of the module's own, as its author wrote it.
fn function(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    names.find(|name| {
        let is_library = RUST_LIBRARY.iter().any(|prefix| name.starts_with(prefix));
        !is_library && !name.contains(SDK_WRAPPER)
    })
}

fn within(function: Option<&str>) -> String {
    function.map_or(String::new(), |function| format!(" in `{function}`"))
}
