//! Rule modules that behave, and rule modules that do not: each is refused, or loses its call and
//! nothing else.

mod adopting;
mod building;
mod compiling;
mod hostile;
mod loading;
mod places;

use muster::guest::{Compiler, GuestEngine, GuestSettings, LoadedModule, ModuleLimits};
use muster_core::Question;
use muster_tests::guests::Text;

/// Settings as the service has them: components are compiled in a process of its own.
fn settings() -> GuestSettings {
    let compiler = Compiler::Child(env!("CARGO_BIN_EXE_muster-service").into());
    GuestSettings { compiler, ..GuestSettings::default() }
}

fn engine() -> GuestEngine {
    GuestEngine::new(settings()).unwrap()
}

/// An engine with such limits for all modules.
fn limited(limits: ModuleLimits) -> GuestEngine {
    GuestEngine::new(GuestSettings { limits, ..settings() }).unwrap()
}

fn load(engine: &GuestEngine, text: &Text) -> LoadedModule {
    engine.load(&text.component().unwrap()).unwrap()
}

/// Why it is not loaded.
fn refused(engine: &GuestEngine, component: &[u8]) -> String {
    engine.load(component).unwrap_err().to_string()
}

/// A question to that module with two audiences and as many conditions.
fn question(module: usize, conditions: &[u32]) -> Question<'_> {
    Question { module, audiences: &[0, 1], conditions, values: &[] }
}
