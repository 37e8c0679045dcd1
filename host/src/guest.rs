//! Everything that knows wasmtime: loading rule modules and calling them.
//!
//! A [`GuestEngine`] turns components into [`LoadedModule`]s, once each: it checks their size, their
//! imports and their manifest, and keeps the compiled code of those that it has seen. Each worker
//! then has a [`GuestInstances`] of its own, which answers the core's questions by calling them.
//!
//! A module is never trusted. It gets no imports, a bounded memory, table and stack, and a bounded
//! time and answer for each call; when it fails, its instance is thrown away and the others are
//! untouched. It is compiled in a process of its own ([`Compiler::Child`]), which is ended when it
//! takes too long or too much. All of this is by [`ModuleLimits`], which can be raised for one.

mod artefacts;
mod calls;
mod compiler;
mod componentise;
mod engine;
mod error;
mod instance;
mod instances;
mod module;
mod settings;
mod ticker;
mod wire;

pub use calls::{CallTimes, measure_calls};
pub use compiler::{
    COMPILE_COMMAND, Compiler, EXIT_MALFORMED, compile_for_parent, limit_this_process,
};
pub use componentise::{CODE_VERSION, componentise, embed_manifest};
pub use engine::GuestEngine;
pub use error::{GuestError, LimitReached, Place};
pub use instances::GuestInstances;
pub use module::LoadedModule;
pub use settings::{GuestSettings, ModuleLimits, STACK_BYTES_LIMIT};
