//! Everything that knows wasmtime: loading rule modules and calling them.
//!
//! A [`GuestEngine`] turns components into [`LoadedModule`]s, once each: it checks their size, their
//! imports and their manifest, and keeps the compiled code of those that it has seen. Each worker
//! then has a [`GuestInstances`] of its own, which answers the core's questions by calling them.
//!
//! A module is never trusted. It gets no imports, a bounded memory, table and stack, and a bounded
//! time for each call; when it fails, its instance is thrown away and the others are untouched.
//! What is not bounded here is the time and memory that compiling a component of permitted size
//! takes.

mod artefacts;
mod calls;
mod componentise;
mod engine;
mod error;
mod instance;
mod instances;
mod module;
mod settings;
#[cfg(test)]
mod tests;
mod ticker;

pub use calls::{CallTimes, measure_calls};
pub use componentise::componentise;
pub use engine::GuestEngine;
pub use error::{GuestError, LimitReached};
pub use instances::GuestInstances;
pub use module::LoadedModule;
pub use settings::GuestSettings;
