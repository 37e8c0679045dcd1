//! The engine that compiles rule modules, and what it remembers of them.

use crate::guest::artefacts::{self, Artefacts, ComponentDigest};
use crate::guest::error::{GuestError, one_line};
use crate::guest::module::{self, Candidate, Loaded, LoadedModule};
use crate::guest::settings::{GuestSettings, ModuleLimits, STACK_BYTES_LIMIT};
use crate::guest::ticker::Ticker;
use muster_core::Module;
use muster_rules::{SectionError, manifest, read_source_map};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
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
    /// By the stack of their calls, which is one for all modules of an engine.
    engines: BTreeMap<usize, Ticking>,
    settings: GuestSettings,
    artefacts: Option<Artefacts>,
    /// What is loaded somewhere in this process, so that a new plan shares what it has in common
    /// with the present one.
    loaded: Mutex<HashMap<ComponentDigest, Weak<Loaded>>>,
}

/// An engine, and what interrupts its calls.
struct Ticking {
    engine: Engine,
    _ticker: Ticker,
}

impl GuestEngine {
    /// An engine with those limits.
    ///
    /// # Errors
    /// [`GuestError::Unsupported`] when this machine can't run compiled WebAssembly with these
    /// settings, [`GuestError::Artefacts`] when the directory of compiled code can't be made.
    pub fn new(settings: GuestSettings) -> Result<GuestEngine, GuestError> {
        let mut engines = BTreeMap::new();
        for limits in settings.all_limits() {
            if let Entry::Vacant(vacant) = engines.entry(limits.stack_bytes_max) {
                vacant.insert(Ticking::start(limits.stack_bytes_max)?);
            }
        }
        let any = &engines[&settings.limits.stack_bytes_max].engine;
        let open = |directory| Artefacts::open(directory, settings.artefact_bytes_max, any);
        let artefacts = settings.artefacts.as_deref().map(open).transpose()?;
        let loaded = Mutex::default();
        Ok(GuestEngine(Arc::new(Shared { engines, settings, artefacts, loaded })))
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
        self.limit_before_reading(component)?;
        module::imports(component)
    }

    /// The manifest that a component tells which carries none. Until then nobody knows its name, so it
    /// is held to the limits of the module of the name that is given.
    ///
    /// # Errors
    /// When the component is refused, or fails while it describes itself.
    pub fn manifest_told(&self, component: &[u8], name: &str) -> Result<String, GuestError> {
        let limits = self.0.settings.limits_of(name).clone();
        limit_size("component", component.len(), limits.component_bytes_max, "component_bytes")?;
        module::refuse_imports(component)?;
        let (name, digest) = (Arc::from(name), artefacts::digest(component));
        let component = self.compile(component, &digest, &name, &limits)?;
        let (predicates, conditions, values, audiences) = Default::default();
        let module = Module { name, code: "".into(), predicates, conditions, values, audiences };
        let candidate = Candidate { digest, module, source_map: None, limits, component };
        LoadedModule::link(candidate, &self.0)?.describe()
    }

    /// The limits of its modules, and the rest.
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
        self.limit_before_reading(component)?;
        let digest = artefacts::digest(component);
        if let Some(loaded) = self.lookup(&digest) {
            return Ok(loaded);
        }
        let manifest = manifest::read_manifest_section(component)?;
        let most = self.0.settings.all_limits().map(|limits| limits.manifest_bytes_max).max();
        limit_size("manifest", manifest.len(), most.unwrap_or(0), "manifest_bytes")?;
        let code = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let module = manifest::read(&manifest)?.of_code(&code.into());
        // Until here it could be any module's; by its name it gets its own limits.
        let limits = self.0.settings.limits_of(&module.name).clone();
        limit_size("component", component.len(), limits.component_bytes_max, "component_bytes")?;
        limit_size("manifest", manifest.len(), limits.manifest_bytes_max, "manifest_bytes")?;
        module::refuse_imports(component)?;
        let source_map = match read_source_map(component) {
            Ok(source_map) => Some(source_map),
            Err(SectionError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let component = self.compile(component, &digest, &module.name, &limits)?;
        let candidate = Candidate { digest, module, source_map, limits, component };
        let loaded = LoadedModule::check(candidate, &manifest, &self.0)?;
        let mut all = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, loaded| loaded.strong_count() > 0);
        all.insert(digest, loaded.downgrade());
        Ok(loaded)
    }

    fn lookup(&self, digest: &ComponentDigest) -> Option<LoadedModule> {
        let all = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        LoadedModule::upgrade(all.get(digest)?)
    }

    /// What no module may have needs no reading.
    fn limit_before_reading(&self, component: &[u8]) -> Result<(), GuestError> {
        let most = self.0.settings.all_limits().map(|limits| limits.component_bytes_max).max();
        limit_size("component", component.len(), most.unwrap_or(0), "component_bytes")
    }

    fn compile(
        &self,
        component: &[u8],
        digest: &ComponentDigest,
        module: &Arc<str>,
        limits: &ModuleLimits,
    ) -> Result<Component, GuestError> {
        let Shared { engines, settings, artefacts, .. } = &*self.0;
        let engine = &engines[&limits.stack_bytes_max].engine;
        if let Some(compiled) = artefacts.as_ref().and_then(|kept| kept.read(engine, digest)) {
            return Ok(compiled);
        }
        let code = settings.compiler.compile(engine, component, module, limits)?;
        let written = artefacts.as_ref().map_or(Ok(()), |kept| kept.write(digest, &code));
        if let Err(error) = written {
            // Costs time at the next start and nothing now.
            tracing::warn!(error = &error as &dyn std::error::Error, "compiled code is not kept");
        }
        artefacts::load(engine, &code)
            .map_err(|error| GuestError::Unsupported { reason: one_line(&error) })
    }

    fn trim(&self) {
        let trimmed = self.0.artefacts.as_ref().map_or(Ok(()), Artefacts::trim);
        if let Err(error) = trimmed {
            tracing::warn!(error = &error as &dyn std::error::Error, "old compiled code stays");
        }
    }
}

impl Ticking {
    fn start(stack_bytes_max: usize) -> Result<Ticking, GuestError> {
        let unsupported = |reason| GuestError::Unsupported { reason };
        if stack_bytes_max > STACK_BYTES_LIMIT {
            return Err(unsupported(format!(
                "`stack_bytes` of {stack_bytes_max} is more than {STACK_BYTES_LIMIT}, which is \
                 what a thread has to give"
            )));
        }
        let engine = Engine::new(&config(stack_bytes_max));
        let engine = engine.map_err(|error| unsupported(one_line(&error)))?;
        let _ticker = Ticker::start(&engine).map_err(|error| unsupported(error.to_string()))?;
        Ok(Ticking { engine, _ticker })
    }
}

/// What shapes compiled code, the same everywhere, and the stack, which does not shape it.
pub(super) fn config(stack_bytes_max: usize) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(stack_bytes_max)
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

fn limit_size(
    what: &'static str,
    bytes: usize,
    limit: usize,
    setting: &'static str,
) -> Result<(), GuestError> {
    if bytes > limit {
        return Err(GuestError::TooLarge { what, bytes, limit, setting });
    }
    Ok(())
}
