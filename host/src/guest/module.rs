//! A rule module, compiled and checked.

use crate::guest::artefacts::ComponentDigest;
use crate::guest::engine::Shared;
use crate::guest::error::{Allowance, GuestError, one_line};
use crate::guest::instance::{Instance, Limits};
use crate::guest::settings::ModuleLimits;
use muster_core::Module;
use muster_rules::SourceMap;
use std::fmt;
use std::sync::{Arc, Weak};
use wasmparser::{BinaryReaderError, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

/// A function of the contract, and where it is. Versions are those that brought the interfaces; a
/// module may export them in any later one of the same major version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Export {
    interface: &'static str,
    function: &'static str,
    /// The world to build a module for that exports it.
    world: &'static str,
}

const DECISIONS: &str = "muster:rules/decisions@1.0.0";
const SELECTION: &str = "muster:rules/selection@1.1.0";
pub(super) const DESCRIBE: Export =
    Export { interface: DECISIONS, function: "describe", world: "module" };
pub(super) const EVALUATE: Export =
    Export { interface: DECISIONS, function: "evaluate", world: "module" };
pub(super) const SELECT: Export =
    Export { interface: SELECTION, function: "select", world: "selecting-module" };

/// A rule module, compiled and checked, from which any number of instances can be made. Clones
/// share everything.
#[derive(Clone)]
pub struct LoadedModule {
    loaded: Arc<Loaded>,
    /// Where the definitions are that it was compiled from here.
    compiled_from: Option<Arc<SourceMap>>,
}

pub(super) struct Loaded {
    digest: ComponentDigest,
    module: Module,
    limits: ModuleLimits,
    /// Where its code comes from, when it was compiled from definitions.
    source_map: Option<SourceMap>,
    component: InstancePre<Limits>,
    functions: Functions,
    /// What moves the clock that its calls are interrupted by.
    _shared: Arc<Shared>,
}

/// Where a component exports the functions of the contract.
pub(super) struct Functions {
    pub(super) describe: ComponentExportIndex,
    pub(super) evaluate: ComponentExportIndex,
    /// Of a module that lists predicates.
    pub(super) select: Option<ComponentExportIndex>,
}

/// A component that was compiled, and what it says of itself without being run.
pub(super) struct Candidate {
    pub(super) digest: ComponentDigest,
    pub(super) module: Module,
    pub(super) source_map: Option<SourceMap>,
    pub(super) limits: ModuleLimits,
    pub(super) component: Component,
}

impl LoadedModule {
    /// What the module says of itself.
    pub fn module(&self) -> &Module {
        &self.loaded.module
    }

    /// The SHA-256 of its component.
    pub fn digest(&self) -> [u8; 32] {
        self.loaded.digest
    }

    /// What it may cost.
    pub fn limits(&self) -> &ModuleLimits {
        &self.loaded.limits
    }

    /// The same module, of definitions that were compiled here and are there now.
    pub fn compiled_from(&self, source_map: SourceMap) -> LoadedModule {
        let compiled_from = Some(Arc::new(source_map));
        LoadedModule { loaded: self.loaded.clone(), compiled_from }
    }

    /// What plans are made of. Whether audiences are decided as before is told by their versions where
    /// they were compiled here, and else by the code.
    pub fn described(&self) -> Module {
        let module = self.module().clone();
        match self.compiled_from {
            Some(_) => Module { code: "".into(), ..module },
            None => module,
        }
    }

    /// Links the component, and asks it whether it is what its manifest says.
    pub(super) fn check(
        candidate: Candidate,
        manifest: &str,
        shared: &Arc<Shared>,
    ) -> Result<LoadedModule, GuestError> {
        let loaded = LoadedModule::link(candidate, shared)?;
        if loaded.describe()? != manifest {
            let module = loaded.module().name.clone();
            return Err(GuestError::ManifestMismatch { module });
        }
        Ok(loaded)
    }

    /// Links the component to nothing.
    pub(super) fn link(
        candidate: Candidate,
        shared: &Arc<Shared>,
    ) -> Result<LoadedModule, GuestError> {
        let Candidate { digest, module, source_map, limits, component } = candidate;
        let has_predicates = !module.predicates.is_empty();
        let functions = Functions {
            describe: DESCRIBE.find(&component)?,
            evaluate: EVALUATE.find(&component)?,
            select: has_predicates.then(|| SELECT.find(&component)).transpose()?,
        };
        let component = Linker::new(component.engine())
            .instantiate_pre(&component)
            .map_err(|error| GuestError::Malformed { reason: one_line(&error) })?;
        let _shared = shared.clone();
        let loaded =
            Arc::new(Loaded { digest, module, limits, source_map, component, functions, _shared });
        Ok(LoadedModule { loaded, compiled_from: None })
    }

    /// What the module says of itself when it is asked.
    pub(super) fn describe(&self) -> Result<String, GuestError> {
        Instance::start(self)?.describe()
    }

    pub(super) fn downgrade(&self) -> Weak<Loaded> {
        Arc::downgrade(&self.loaded)
    }

    pub(super) fn upgrade(loaded: &Weak<Loaded>) -> Option<LoadedModule> {
        loaded.upgrade().map(|loaded| LoadedModule { loaded, compiled_from: None })
    }

    pub(super) fn engine(&self) -> &Engine {
        self.loaded.component.engine()
    }

    pub(super) fn component(&self) -> &InstancePre<Limits> {
        &self.loaded.component
    }

    /// Where the component exports the functions of the contract.
    pub(super) fn functions(&self) -> &Functions {
        &self.loaded.functions
    }

    /// What a failure of one of its calls, which was allowed so much, means.
    pub(super) fn failed(&self, error: &wasmtime::Error, allowed: Allowance) -> GuestError {
        let source_map = self.compiled_from.as_deref().or(self.loaded.source_map.as_ref());
        let (name, limits) = (&self.loaded.module.name, &self.loaded.limits);
        GuestError::of_call(name, error, limits, allowed, source_map)
    }
}

impl fmt::Debug for LoadedModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoadedModule").field(&self.loaded.module.name).finish()
    }
}

/// Refuses a component that wants something from its host, before anything of it is compiled.
pub(super) fn refuse_imports(component: &[u8]) -> Result<(), GuestError> {
    match imports(component)?.into_iter().next() {
        Some(import) => Err(GuestError::ImportsRefused { import }),
        None => Ok(()),
    }
}

/// What a component wants from its host. What is nested in it wants it from the component.
pub(super) fn imports(component: &[u8]) -> Result<Vec<String>, GuestError> {
    let malformed = |error: BinaryReaderError| GuestError::Malformed { reason: error.to_string() };
    let (mut imports, mut depth) = (Vec::new(), 0u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

impl Export {
    fn find(self, component: &Component) -> Result<ComponentExportIndex, GuestError> {
        let interface = component.get_export_index(None, self.interface);
        let function = interface
            .and_then(|interface| component.get_export_index(Some(&interface), self.function));
        function.ok_or(self.missing())
    }

    /// That a component does not have it, or has something else of that name.
    pub(super) fn missing(self) -> GuestError {
        let Export { interface, function: export, world } = self;
        GuestError::ExportMissing { export, interface, world }
    }
}
