//! A rule module beside the same audiences as definitions: per evaluation, by turns in one run.

use super::Report;
use super::report::Durations;
use super::rig::{Rig, settings};
use crate::decode::decode;
use crate::guest::{Compiler, GuestEngine, GuestSettings, measure_calls};
use crate::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use crate::store::UserKey;
use crate::traffic::Traffic;
use anyhow::Context;
use muster_core::{Engine, Transition};
use std::time::Duration;

/// Messages of the example shop, and how far apart: months, so that windows pass.
const MESSAGES: usize = 40_000;
const PAUSE_MS: i64 = 11 * 60_000;
const USERS: u64 = 1_000;
/// The first of them are not measured: instances are made, and users become known.
const WARM_MESSAGES: usize = 2_000;
/// Times that all of it happens. Of each evaluation the shortest counts, since whatever else the
/// machine does makes it longer only.
const PASSES: usize = 5;
/// Calls of a module by itself.
const CALLS: usize = 100_000;
const WORKSPACE: &str = "bench";

/// One way to say the rules, and its evaluations.
struct Way {
    name: &'static str,
    ruleset: Ruleset,
    evaluations: Vec<Evaluation>,
}

#[derive(Clone, Copy)]
struct Evaluation {
    took: Duration,
    /// Whether a module was called for it.
    has_call: bool,
}

/// Measures evaluations of generated shop traffic by a component and by definitions that say the
/// same.
///
/// # Errors
/// When rules do not load, or the two tell different transitions.
pub fn measure_rule(component: &RuleFiles, definitions: &RuleFiles) -> anyhow::Result<Report> {
    let mut ways = [
        Way::new("the module", component).context("the component")?,
        Way::new("the definitions", definitions).context("the definitions")?,
    ];
    let mut transitions = 0;
    for _ in 0..PASSES {
        transitions = pass(&mut ways)?;
    }
    report(&ways, transitions)
}

/// Lets both decide all of the traffic, and gives how many transitions each tells.
fn pass(ways: &mut [Way; 2]) -> anyhow::Result<usize> {
    let mut rigs = [Rig::of(&ways[0].ruleset), Rig::of(&ways[1].ruleset)];
    let mut traffic = Traffic::new(1, USERS);
    let (mut evaluated, mut transitions) = (0, 0);
    for at in 0..MESSAGES {
        let json = traffic.message(WORKSPACE, rigs[0].now());
        rigs.iter_mut().for_each(|rig| rig.pass(PAUSE_MS));
        let Ok(decoded) = decode(json.as_bytes(), None) else { continue };
        let Some(message) = decoded.message else { continue };
        let key = UserKey { workspace: decoded.workspace, user: decoded.user };
        let mut told = [Vec::new(), Vec::new()];
        // By turns the first, whom caches favour less.
        for way in if at.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
            let (stepped, took) = rigs[way].step(&key, message.clone())?;
            let has_call = stepped.report.decisions > 0;
            ways[way].add(evaluated, Evaluation { took, has_call });
            told[way] = stepped.transitions.iter().map(describe).collect();
        }
        if told[0] != told[1] {
            let [one, other] = told.map(|told: Vec<String>| format!("{told:?}"));
            anyhow::bail!(
                "message {at} changes {one} by the module and {other} by the definitions: \
                 compare rules that say the same"
            );
        }
        transitions += told[0].len();
        evaluated += 1;
    }
    Ok(transitions)
}

/// A transition as both must tell it. The number counts those that timers brought about before, too.
fn describe(told: &Transition) -> String {
    format!("{} {} {} at {:?}", told.number, told.change.name(), told.audience, told.at)
}

fn report(ways: &[Way; 2], transitions: usize) -> anyhow::Result<Report> {
    let count = ways[0].measured().len();
    let mut report = Report::new(format!(
        "{count} evaluations by a module and by definitions that say the same ({transitions} equal \
         transitions), each the shortest of {PASSES}"
    ));
    let (mut means, mut calls) = (Vec::new(), Vec::new());
    for way in ways {
        let Way { name, ruleset, .. } = way;
        let (mut all, mut with_call) = (Durations::default(), Durations::default());
        for evaluation in way.measured() {
            all.add(evaluation.took);
            if evaluation.has_call {
                with_call.add(evaluation.took);
            }
        }
        means.push(all.mean());
        report.add(format!("{name}: an evaluation, mean"), all.mean(), "µs");
        report.add(format!("{name}: an evaluation, median"), all.quantile(0.5), "µs");
        report.add(format!("{name}: an evaluation, p99"), all.quantile(0.99), "µs");
        let share = 100.0 * with_call.len() as f64 / count as f64;
        report.add(format!("{name}: evaluations that called a module"), share, "%");
        report.add(format!("{name}: those, median"), with_call.quantile(0.5), "µs");
        let mut call = Duration::ZERO;
        let instances = ruleset.instances();
        for module in instances.modules() {
            call += measure_calls(module, CALLS)?.median;
        }
        let call = call.as_secs_f64() * 1e6;
        calls.push(call);
        let what =
            format!("{name}: calls for all audiences ({}), median", instances.modules().len());
        report.add(what, call, "µs");
    }
    report.add("the module over the definitions, evaluations", means[0] / means[1], "times");
    report.add("the module over the definitions, calls", calls[0] / calls[1], "times");
    Ok(report)
}

impl Way {
    fn new(name: &'static str, files: &RuleFiles) -> anyhow::Result<Way> {
        let compiler = Compiler::this_executable()?;
        let guests = GuestEngine::new(GuestSettings { compiler, ..GuestSettings::default() })?;
        let mut loader = RulesetLoader::new(guests, settings(Engine::State));
        let ruleset = loader.load(files, Vec::new())?;
        Ok(Way { name, ruleset, evaluations: Vec::new() })
    }

    /// Takes an evaluation of a pass: every pass has the same.
    fn add(&mut self, at: usize, evaluation: Evaluation) {
        match self.evaluations.get_mut(at) {
            Some(before) => before.took = before.took.min(evaluation.took),
            None => self.evaluations.push(evaluation),
        }
    }

    fn measured(&self) -> &[Evaluation] {
        self.evaluations.get(WARM_MESSAGES..).unwrap_or_default()
    }
}
