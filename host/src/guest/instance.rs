//! One running rule module: the calls of the contract, typed.

use crate::guest::error::{Allowance, GuestError, LimitReached};
use crate::guest::module::{DESCRIBE, EVALUATE, Functions, LoadedModule, SELECT};
use crate::guest::settings::ModuleLimits;
use crate::guest::ticker::Ticker;
use crate::guest::wire::{WireCandidate, WireValue};
use muster_core::{Question, Selection};
use wasmtime::component::TypedFunc;
use wasmtime::{ResourceLimiter, Store};

/// Core instances of one component: one of its own, and room for the adapters that linkers add.
const CORE_INSTANCES_MAX: usize = 8;
/// Tables of one component: one of its own, and one for the adapters.
const TABLES_MAX: usize = 4;
/// Memories of one component. The limit of its size is each memory's.
const MEMORIES_MAX: usize = 1;

type DescribeFunction = TypedFunc<(), (String,)>;
type EvaluateFunction<'a> = TypedFunc<(&'a [u32], &'a [u32], &'a [WireValue<'a>]), (Vec<bool>,)>;
type SelectFunction<'a> = TypedFunc<(&'a [WireCandidate<'a>],), (Vec<bool>,)>;

/// What a store refuses to grow beyond.
pub(super) struct Limits {
    memory_bytes_max: usize,
    table_elements_max: usize,
}

/// An instance of a module. After an error it must not be called again.
pub(super) struct Instance {
    module: LoadedModule,
    store: Store<Limits>,
    describe: DescribeFunction,
    evaluate: EvaluateFunction<'static>,
    select: Option<SelectFunction<'static>>,
}

impl Instance {
    /// Makes an instance, running whatever the module runs at its start.
    pub(super) fn start(module: &LoadedModule) -> Result<Instance, GuestError> {
        let limits = module.limits();
        let mut store = Store::new(module.engine(), Limits::of(limits));
        store.limiter(|limits| limits);
        let allowed = Allowance::describe(limits);
        store.set_epoch_deadline(Ticker::ticks(allowed.time));
        let started = module.component().instantiate(&mut store);
        let instance = started.map_err(|error| match module.failed(&error, allowed) {
            // It has not been asked anything yet.
            GuestError::WrongAnswer { module, reason } => GuestError::NotStarted { module, reason },
            failure => failure,
        })?;
        let Functions { describe, evaluate, select } = module.functions();
        let describe =
            instance.get_typed_func(&mut store, describe).map_err(|_| DESCRIBE.missing())?;
        let evaluate =
            instance.get_typed_func(&mut store, evaluate).map_err(|_| EVALUATE.missing())?;
        let select = select.as_ref().map(|select| instance.get_typed_func(&mut store, select));
        let select = select.transpose().map_err(|_| SELECT.missing())?;
        Ok(Instance { module: module.clone(), store, describe, evaluate, select })
    }

    /// The module's manifest as it tells it.
    pub(super) fn describe(&mut self) -> Result<String, GuestError> {
        let allowed = Allowance::describe(self.module.limits());
        self.allow(allowed);
        let answer = self.describe.call(&mut self.store, ());
        let (manifest,) = answer.map_err(|error| self.module.failed(&error, allowed))?;
        Ok(manifest)
    }

    /// The module's decisions: one for each audience asked for.
    pub(super) fn evaluate(&mut self, question: Question<'_>) -> Result<Vec<bool>, GuestError> {
        let allowed = Allowance::evaluate(self.module.limits());
        self.allow(allowed);
        let decisions = self.call(question).map_err(|error| self.module.failed(&error, allowed))?;
        let (got, asked) = (decisions.len(), question.audiences.len());
        if got != asked {
            return Err(self.wrong(format!("{got} decisions for {asked} audiences")));
        }
        Ok(decisions)
    }

    /// Which events the module's predicates accept: one answer for each that is asked for.
    pub(super) fn select(&mut self, selection: Selection<'_>) -> Result<Vec<bool>, GuestError> {
        let allowed = Allowance::evaluate(self.module.limits());
        self.allow(allowed);
        let select: SelectFunction<'_> = self.select.ok_or(SELECT.missing())?;
        let candidates: Vec<WireCandidate<'_>> =
            selection.candidates.iter().map(WireCandidate::of).collect();
        let answer = select.call(&mut self.store, (&candidates,));
        let (answers,) = answer.map_err(|error| self.module.failed(&error, allowed))?;
        let (got, asked) = (answers.len(), selection.answers());
        if got != asked {
            return Err(self.wrong(format!("{got} answers where {asked} were asked for")));
        }
        Ok(answers)
    }

    fn wrong(&self, reason: String) -> GuestError {
        GuestError::WrongAnswer { module: self.module.module().name.clone(), reason }
    }

    fn allow(&mut self, allowed: Allowance) {
        self.store.set_epoch_deadline(Ticker::ticks(allowed.time));
        self.store.set_hostcall_fuel(allowed.output_bytes);
    }

    fn call<'a>(&mut self, question: Question<'a>) -> wasmtime::Result<Vec<bool>> {
        let values: Vec<WireValue<'a>> =
            question.values.iter().map(|value| WireValue::of(value.as_ref())).collect();
        let evaluate: EvaluateFunction<'_> = self.evaluate;
        let (audiences, conditions) = (question.audiences, question.conditions);
        let (decisions,) = evaluate.call(&mut self.store, (audiences, conditions, &values))?;
        Ok(decisions)
    }
}

impl Limits {
    fn of(limits: &ModuleLimits) -> Limits {
        let &ModuleLimits { memory_bytes_max, table_elements_max, .. } = limits;
        Limits { memory_bytes_max, table_elements_max }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.memory_bytes_max;
        if wanted > limit {
            return Err(LimitReached::Memory { wanted, limit }.into());
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.table_elements_max;
        if wanted > limit {
            return Err(LimitReached::Table { wanted, limit }.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
