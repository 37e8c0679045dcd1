//! The engine that compiles rule modules, and what it remembers of them.

use crate::guest::artefacts::{self, Artefacts, ComponentDigest};
use crate::guest::error::{GuestError, one_line};
use crate::guest::module::{self, Loaded, LoadedModule};
use crate::guest::settings::GuestSettings;
use crate::guest::ticker::Ticker;
use muster_rules::manifest;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use wasmtime::component::Component;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel};

/// Compiles and checks rule modules. Clones share everything, and so do the modules that it loaded,
/// which outlive it.
#[derive(Clone)]
pub struct GuestEngine(Arc<Shared>);

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) settings: GuestSettings,
    artefacts: Option<Artefacts>,
    /// What is loaded somewhere in this process, so that a new plan shares what it has in common
    /// with the present one.
    loaded: Mutex<HashMap<ComponentDigest, Weak<Loaded>>>,
    _ticker: Ticker,
}

impl GuestEngine {
    /// An engine with those limits.
    ///
    /// # Errors
    /// [`GuestError::Unsupported`] when this machine can't run compiled WebAssembly with these
    /// settings, [`GuestError::Artefacts`] when the directory of compiled code can't be made.
    pub fn new(settings: GuestSettings) -> Result<GuestEngine, GuestError> {
        let unsupported = |reason| GuestError::Unsupported { reason };
        let engine =
            Engine::new(&config(&settings)).map_err(|error| unsupported(one_line(&error)))?;
        let open = |directory| Artefacts::open(directory, settings.artefact_bytes_max, &engine);
        let artefacts = settings.artefacts.as_deref().map(open).transpose()?;
        let ticker = Ticker::start(&engine).map_err(|error| unsupported(error.to_string()))?;
        let loaded = Mutex::default();
        Ok(GuestEngine(Arc::new(Shared { engine, settings, artefacts, loaded, _ticker: ticker })))
    }

    /// Loads a module: checks its size, compiles it or takes what was compiled before, and checks
    /// that it imports nothing and is what its manifest says.
    ///
    /// # Errors
    /// When the component is refused, or fails while it describes itself.
    pub fn load(&self, component: &[u8]) -> Result<LoadedModule, GuestError> {
        let loaded = self.load_one(component);
        self.trim();
        loaded
    }

    /// What a component wants from its host; a rule module wants nothing. Nothing of it is run.
    ///
    /// # Errors
    /// When it is too large, or no component.
    pub fn imports(&self, component: &[u8]) -> Result<Vec<String>, GuestError> {
        limit_size("component", component.len(), self.0.settings.component_bytes_max)?;
        Ok(module::imports(&compile(&self.0.engine, component)?, &self.0.engine))
    }

    /// The limits of its modules.
    pub fn settings(&self) -> &GuestSettings {
        &self.0.settings
    }

    /// Loads modules, several at a time, and gives them in the order of their components.
    ///
    /// # Errors
    /// The first refused component's, with its place in the list. The others are kept as compiled.
    pub fn load_all<C: AsRef<[u8]> + Sync>(
        &self,
        components: &[C],
    ) -> Result<Vec<LoadedModule>, (usize, GuestError)> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut loaded = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(component) = components.get(index) else { return loaded };
                loaded.push((index, self.load_one(component.as_ref())));
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(components.len());
        let mut loaded = thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut loaded = work();
            for other in others {
                match other.join() {
                    Ok(more) => loaded.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            loaded
        });
        self.trim();
        loaded.sort_by_key(|(index, _)| *index);
        loaded.into_iter().map(|(index, result)| result.map_err(|error| (index, error))).collect()
    }

    fn load_one(&self, component: &[u8]) -> Result<LoadedModule, GuestError> {
        let settings = &self.0.settings;
        limit_size("component", component.len(), settings.component_bytes_max)?;
        let digest = artefacts::digest(component);
        if let Some(loaded) = self.lookup(&digest) {
            return Ok(loaded);
        }
        let manifest = manifest::read_manifest_section(component)?;
        limit_size("manifest", manifest.len(), settings.manifest_bytes_max)?;
        let module = manifest::read(&manifest)?;
        let compiled = self.compile(component, &digest)?;
        let loaded = LoadedModule::check(&compiled, digest, &manifest, module, &self.0)?;
        let mut all = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, loaded| loaded.strong_count() > 0);
        all.insert(digest, loaded.downgrade());
        Ok(loaded)
    }

    fn lookup(&self, digest: &ComponentDigest) -> Option<LoadedModule> {
        let all = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        LoadedModule::upgrade(all.get(digest)?)
    }

    fn compile(&self, component: &[u8], digest: &ComponentDigest) -> Result<Component, GuestError> {
        let engine = &self.0.engine;
        let Some(artefacts) = &self.0.artefacts else { return compile(engine, component) };
        if let Some(compiled) = artefacts.read(engine, digest) {
            return Ok(compiled);
        }
        let compiled = compile(engine, component)?;
        let code = compiled
            .serialize()
            .map_err(|error| GuestError::Unsupported { reason: one_line(&error) })?;
        if let Err(error) = artefacts.write(digest, &code) {
            // Costs time at the next start and nothing now.
            tracing::warn!(error = &error as &dyn std::error::Error, "compiled code is not kept");
        }
        Ok(compiled)
    }

    fn trim(&self) {
        let trimmed = self.0.artefacts.as_ref().map_or(Ok(()), Artefacts::trim);
        if let Err(error) = trimmed {
            tracing::warn!(error = &error as &dyn std::error::Error, "old compiled code stays");
        }
    }
}

fn config(settings: &GuestSettings) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(settings.stack_bytes_max)
        // Instances live as long as their plan. Slots kept ready for short-lived ones make calls no
        // faster, and would bound how many modules there can be.
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        // Images of memories would hold a file descriptor for each module, and spare long-lived
        // instances nothing.
        .memory_init_cow(false)
        // Modules are compiled beside each other; one alone leaves the other cores to the traffic.
        .parallel_compilation(false)
        // A fifth slower to compile than without, which definitions would not miss: modules written
        // in Rust do.
        .cranelift_opt_level(OptLevel::Speed)
        // The same decision on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Nothing has a use for memories beyond four gibibytes, which are slower.
        .wasm_memory64(false);
    config
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Component, GuestError> {
    Component::from_binary(engine, component)
        .map_err(|error| GuestError::Malformed { reason: one_line(&error) })
}

fn limit_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), GuestError> {
    if bytes > limit {
        return Err(GuestError::TooLarge { what, bytes, limit });
    }
    Ok(())
}
