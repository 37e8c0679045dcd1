//! The instances of one worker.

use crate::guest::error::GuestError;
use crate::guest::instance::Instance;
use crate::guest::module::LoadedModule;
use muster_core::{Decide, DecideError, Question};

/// One worker's instances of the modules of a plan: each made when it is first asked, and kept.
pub struct GuestInstances {
    modules: Vec<LoadedModule>,
    instances: Vec<Option<Instance>>,
}

impl GuestInstances {
    /// Instances of those modules; a question's module is an index into them.
    pub fn new(modules: Vec<LoadedModule>) -> GuestInstances {
        let instances = modules.iter().map(|_| None).collect();
        GuestInstances { modules, instances }
    }

    /// The modules, by the index that a question names.
    pub fn modules(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// Decides the audiences asked for, as [`Decide::decide`] does, with the cause when it fails.
    ///
    /// # Errors
    /// When the module traps, takes too long, needs too much or answers wrongly. Its instance is
    /// then thrown away; the next question gets a fresh one.
    ///
    /// # Panics
    /// When the question names no module of the plan.
    pub fn evaluate(&mut self, question: Question<'_>) -> Result<Vec<bool>, GuestError> {
        let place = &mut self.instances[question.module];
        // Taken out first: whatever ends this call early, a failed instance is not there again.
        let mut instance = match place.take() {
            Some(instance) => instance,
            None => Instance::start(&self.modules[question.module])?,
        };
        let decisions = instance.evaluate(question)?;
        *place = Some(instance);
        Ok(decisions)
    }
}

impl Decide for GuestInstances {
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError> {
        self.evaluate(question).map_err(|error| DecideError { reason: error.to_string().into() })
    }
}
