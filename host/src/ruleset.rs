//! From files of rules to a plan and the modules that decide it.

mod files;

pub use files::{ComponentFile, RuleFiles};

use crate::guest::{GuestEngine, GuestError, GuestInstances, LoadedModule};
use muster_core::{AudienceKey, Module, Plan, PlanError, Settings, Standing};
use muster_rules::{CompileError, Diagnostic, PackSource, check, packs};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// The rules of a workspace, ready to run.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// What is evaluated.
    pub plan: Arc<Plan>,
    /// The modules that decide, and behind them those whose series are kept.
    modules: Vec<LoadedModule>,
}

/// Loads rules, and compiles only what it has not compiled before.
pub struct RulesetLoader {
    guests: GuestEngine,
    settings: Settings,
    /// Packs of the rulesets loaded last, by content.
    compiled: HashMap<[u8; 32], LoadedModule>,
}

/// Why rules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RulesetError {
    /// A file or a folder cannot be read.
    #[error("cannot read rules from `{}`: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no file of rules.
    #[error("no rules in `{}`: write a file that ends in .yaml, .yml, .json or .wasm", path.display())]
    Empty {
        /// Where they were looked for.
        path: PathBuf,
    },
    /// Definitions do not check.
    #[error("{} of the definitions must be mended:\n{}", .0.len(), lines(.0))]
    Invalid(Vec<Diagnostic>),
    /// A pack could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A file's module was refused, or cannot be run.
    #[error("`{file}` is refused")]
    Component {
        /// The file.
        file: Arc<str>,
        /// Why.
        source: GuestError,
    },
    /// A module was refused, or cannot be run.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The modules contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl RulesetLoader {
    /// A loader for modules that run in that engine.
    pub fn new(guests: GuestEngine, settings: Settings) -> RulesetLoader {
        RulesetLoader { guests, settings, compiled: HashMap::new() }
    }

    /// Checks, compiles and loads rules. `known` names audiences that were once, whose members
    /// leave those that these rules do not define.
    ///
    /// # Errors
    /// When they do not check, are refused, or contradict each other.
    pub fn load(
        &mut self,
        files: &RuleFiles,
        known: Vec<(AudienceKey, Arc<str>)>,
    ) -> Result<Ruleset, RulesetError> {
        let modules = self.load_modules(files)?;
        let standing = Standing { known, without: files.without(), ..Standing::default() };
        Ruleset::new(modules, Vec::new(), self.settings, standing)
    }

    /// How the plans of its rules evaluate.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Checks and compiles rules, and loads their modules.
    ///
    /// # Errors
    /// When they do not check, or one is refused.
    pub fn load_modules(&mut self, files: &RuleFiles) -> Result<Vec<LoadedModule>, RulesetError> {
        let definitions = check(&files.definitions).map_err(RulesetError::Invalid)?;
        let packs = packs(&definitions);
        let missing: Vec<&PackSource> =
            packs.iter().filter(|pack| !self.compiled.contains_key(&pack.key())).collect();
        let components = compile_all(&missing)?;
        let loaded = self.guests.load_all(&components).map_err(|(_, error)| error)?;
        // What was compiled earlier may lie elsewhere in its file by now.
        for pack in &packs {
            if let Some(module) = self.compiled.get_mut(&pack.key()) {
                *module = module.compiled_from(pack.source_map());
            }
        }
        for (pack, module) in missing.iter().zip(loaded) {
            self.compiled.insert(pack.key(), module.compiled_from(pack.source_map()));
        }
        let keys: Vec<[u8; 32]> = packs.iter().map(PackSource::key).collect();
        let mut modules: Vec<LoadedModule> =
            keys.iter().filter_map(|key| self.compiled.get(key).cloned()).collect();
        let more = self.guests.load_all(&files.components).map_err(|(at, source)| {
            RulesetError::Component { file: files.components[at].name.clone(), source }
        })?;
        modules.extend(more);
        Ok(modules)
    }

    /// Forgets compiled packs that are not among those modules.
    pub fn retain<'a>(&mut self, modules: impl IntoIterator<Item = &'a LoadedModule>) {
        let used: BTreeSet<[u8; 32]> = modules.into_iter().map(LoadedModule::digest).collect();
        self.compiled.retain(|_, module| used.contains(&module.digest()));
    }
}

impl Ruleset {
    /// The rules of modules that are loaded, beside others whose series are kept.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn new(
        mut modules: Vec<LoadedModule>,
        kept: Vec<LoadedModule>,
        settings: Settings,
        standing: Standing<'_>,
    ) -> Result<Ruleset, RulesetError> {
        let describe = |modules: &[LoadedModule]| -> Vec<Module> {
            modules.iter().map(LoadedModule::described).collect()
        };
        let (deciding, kept_modules) = (describe(&modules), describe(&kept));
        modules.extend(kept);
        let mut instances = GuestInstances::new(modules.clone());
        let standing = Standing { kept: &kept_modules, ..standing };
        let plan = Plan::new(settings, &deciding, standing, &mut instances)?;
        Ok(Ruleset { plan: Arc::new(plan), modules })
    }

    /// The audiences, with the version of each.
    pub fn versions(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let audiences = self.plan.audiences();
        audiences.map(|audience| (audience.id.clone(), audience.version.clone())).collect()
    }

    /// The modules, those that decide first.
    pub fn modules(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// Instances of the modules, for one worker.
    pub fn instances(&self) -> GuestInstances {
        GuestInstances::new(self.modules.clone())
    }
}

/// Compiles packs side by side.
fn compile_all(packs: &[&PackSource]) -> Result<Vec<Vec<u8>>, CompileError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = packs.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = packs
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(|pack| pack.compile()).collect()))
            .collect();
        let compiled = workers.into_iter().map(|worker| match worker.join() {
            Ok(compiled) => compiled,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let compiled: Result<Vec<Vec<Vec<u8>>>, CompileError> = compiled.collect();
        Ok(compiled?.concat())
    })
}
