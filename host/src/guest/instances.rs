//! The instances of one worker.

use crate::guest::error::GuestError;
use crate::guest::instance::Instance;
use crate::guest::module::LoadedModule;
use muster_core::{Decide, DecideError, Question, Selection};
use std::time::{Duration, Instant};

/// Failed calls that took less than this part of their time cost hardly more than good ones.
const DEAR: u32 = 10;
/// Calls out of time in a row that are nobody's business: an overloaded machine brings some about.
const DEAR_IN_A_ROW: u32 = 2;
/// Of the time of a worker, dear failures of one module take this part in the long run, so that
/// those who wait for the worker because of it are few among a hundred.
const SHARE: u32 = 1_000;

/// One worker's instances of the modules of a plan: each made when it is first asked, and kept.
pub struct GuestInstances {
    modules: Vec<LoadedModule>,
    places: Vec<Place>,
    tallies: Vec<Tally>,
}

/// Calls of a module.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// All of them, those that were not made while it rests among them.
    pub calls: u64,
    /// How many failed.
    pub failed: u64,
    /// Why the last one did.
    pub reason: String,
}

/// A module's instance, and the time that its dear failures took and that is not yet worked off.
struct Place {
    instance: Option<Instance>,
    owed: Duration,
    since: Instant,
}

impl GuestInstances {
    /// Instances of those modules; a question's module is an index into them.
    pub fn new(modules: Vec<LoadedModule>) -> GuestInstances {
        let place = || Place { instance: None, owed: Duration::ZERO, since: Instant::now() };
        let places = modules.iter().map(|_| place()).collect();
        let tallies = vec![Tally::default(); modules.len()];
        GuestInstances { modules, places, tallies }
    }

    /// The modules, by the index that a question names.
    pub fn modules(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// The modules with their calls so far.
    pub fn tallies(&self) -> impl Iterator<Item = (&LoadedModule, &Tally)> {
        self.modules.iter().zip(&self.tallies)
    }

    /// Decides the audiences asked for, as [`Decide::decide`] does, with the cause when it fails.
    ///
    /// # Errors
    /// When the module traps, takes too long, needs too much or answers wrongly. Its instance is
    /// then thrown away; the next question gets a fresh one. A module that fails again and again,
    /// taking its time, rests in between.
    ///
    /// # Panics
    /// When the question names no module of the plan.
    pub fn evaluate(&mut self, question: Question<'_>) -> Result<Vec<bool>, GuestError> {
        let answer = self.call(question.module, |instance| instance.evaluate(question));
        self.tally(question.module, answer)
    }

    /// Decides which events predicates accept, as [`Decide::select`] does, with the cause when it
    /// fails.
    ///
    /// # Errors
    /// As [`GuestInstances::evaluate`].
    ///
    /// # Panics
    /// When the selection names no module of the plan.
    pub fn select(&mut self, selection: Selection<'_>) -> Result<Vec<bool>, GuestError> {
        let answer = self.call(selection.module, |instance| instance.select(selection));
        self.tally(selection.module, answer)
    }

    fn tally(
        &mut self,
        module: usize,
        answer: Result<Vec<bool>, GuestError>,
    ) -> Result<Vec<bool>, GuestError> {
        let tally = &mut self.tallies[module];
        tally.calls += 1;
        if let Err(error) = &answer {
            tally.failed += 1;
            // What keeps it from being called is not why it fails.
            if !matches!(error, GuestError::Resting { .. }) {
                tally.reason = error.to_string();
            }
        }
        answer
    }

    fn call(
        &mut self,
        module: usize,
        ask: impl FnOnce(&mut Instance) -> Result<Vec<bool>, GuestError>,
    ) -> Result<Vec<bool>, GuestError> {
        let (module, place) = (&self.modules[module], &mut self.places[module]);
        let limit = module.limits().evaluate_time_max;
        let begun = Instant::now();
        place.work_off(begun);
        if place.owed > limit * DEAR_IN_A_ROW {
            return Err(GuestError::Resting { module: module.module().name.clone() });
        }
        let answer = place.call(module, ask);
        let took = begun.elapsed();
        if answer.is_err() && took > limit / DEAR {
            // What it takes beyond its limit, an overloaded machine does.
            place.owed += took.min(limit);
        }
        answer
    }
}

impl Place {
    fn work_off(&mut self, now: Instant) {
        self.owed = self.owed.saturating_sub((now - self.since) / SHARE);
        self.since = now;
    }

    fn call(
        &mut self,
        module: &LoadedModule,
        ask: impl FnOnce(&mut Instance) -> Result<Vec<bool>, GuestError>,
    ) -> Result<Vec<bool>, GuestError> {
        // Taken out first: whatever ends this call early, a failed instance is not there again.
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => Instance::start(module)?,
        };
        let answers = ask(&mut instance)?;
        self.instance = Some(instance);
        Ok(answers)
    }
}

impl Decide for GuestInstances {
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError> {
        self.evaluate(question).map_err(|error| DecideError { reason: error.to_string().into() })
    }

    fn select(&mut self, selection: Selection<'_>) -> Result<Vec<bool>, DecideError> {
        self.select(selection).map_err(|error| DecideError { reason: error.to_string().into() })
    }
}
