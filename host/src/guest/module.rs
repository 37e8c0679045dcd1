//! A rule module, compiled and checked.

use crate::guest::artefacts::ComponentDigest;
use crate::guest::engine::Shared;
use crate::guest::error::{GuestError, one_line};
use crate::guest::instance::{Instance, Limits};
use crate::guest::settings::GuestSettings;
use muster_core::Module;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

/// The interface that a rule module exports.
const INTERFACE: &str = "muster:rules/decisions@1.0.0";
pub(super) const DESCRIBE: &str = "describe";
pub(super) const EVALUATE: &str = "evaluate";

/// A rule module, compiled and checked, from which any number of instances can be made. Clones
/// share everything.
#[derive(Clone)]
pub struct LoadedModule(Arc<Loaded>);

pub(super) struct Loaded {
    digest: ComponentDigest,
    module: Module,
    component: InstancePre<Limits>,
    describe: ComponentExportIndex,
    evaluate: ComponentExportIndex,
    shared: Arc<Shared>,
}

impl LoadedModule {
    /// What the module says of itself.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    /// The SHA-256 of its component.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// What it may cost.
    pub fn limits(&self) -> &GuestSettings {
        self.settings()
    }

    /// Links the component to nothing, and asks it whether it is what its manifest says.
    pub(super) fn check(
        component: &Component,
        digest: ComponentDigest,
        manifest: &str,
        module: Module,
        shared: &Arc<Shared>,
    ) -> Result<LoadedModule, GuestError> {
        refuse_imports(component, &shared.engine)?;
        let describe = export(component, DESCRIBE)?;
        let evaluate = export(component, EVALUATE)?;
        let component = Linker::new(&shared.engine)
            .instantiate_pre(component)
            .map_err(|error| GuestError::Malformed { reason: one_line(&error) })?;
        let shared = shared.clone();
        let loaded = Loaded { digest, module, component, describe, evaluate, shared };
        let loaded = LoadedModule(Arc::new(loaded));
        if Instance::start(&loaded)?.describe()? != manifest {
            let module = loaded.module().name.clone();
            return Err(GuestError::ManifestMismatch { module });
        }
        Ok(loaded)
    }

    pub(super) fn downgrade(&self) -> std::sync::Weak<Loaded> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(loaded: &std::sync::Weak<Loaded>) -> Option<LoadedModule> {
        loaded.upgrade().map(LoadedModule)
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0.shared.engine
    }

    pub(super) fn settings(&self) -> &GuestSettings {
        &self.0.shared.settings
    }

    pub(super) fn component(&self) -> &InstancePre<Limits> {
        &self.0.component
    }

    /// Where the component exports `describe` and `evaluate`.
    pub(super) fn functions(&self) -> (&ComponentExportIndex, &ComponentExportIndex) {
        (&self.0.describe, &self.0.evaluate)
    }

    /// What a failure of one of its calls, which may take that long, means.
    pub(super) fn failed(&self, error: &wasmtime::Error, limit: Duration) -> GuestError {
        GuestError::of_call(&self.0.module.name, error, self.settings(), limit)
    }
}

impl fmt::Debug for LoadedModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoadedModule").field(&self.0.module.name).finish()
    }
}

fn refuse_imports(component: &Component, engine: &Engine) -> Result<(), GuestError> {
    match imports(component, engine).into_iter().next() {
        Some(import) => Err(GuestError::ImportsRefused { import }),
        None => Ok(()),
    }
}

/// What a component wants from its host.
pub(super) fn imports(component: &Component, engine: &Engine) -> Vec<String> {
    component.component_type().imports(engine).map(|(import, _)| import.to_owned()).collect()
}

fn export(component: &Component, name: &'static str) -> Result<ComponentExportIndex, GuestError> {
    let interface = component.get_export_index(None, INTERFACE);
    let function =
        interface.and_then(|interface| component.get_export_index(Some(&interface), name));
    function.ok_or(export_missing(name))
}

pub(super) fn export_missing(export: &'static str) -> GuestError {
    GuestError::ExportMissing { export, interface: INTERFACE }
}
