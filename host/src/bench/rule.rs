//! A rule module beside the same audiences as definitions: per evaluation, by turns in one run.

use super::Report;
use super::report::Durations;
use super::rig::{Rig, settings};
use crate::decode::decode;
use crate::guest::{Compiler, GuestEngine, GuestSettings, LoadedModule, measure_calls};
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
/// Calls of a module by itself.
const CALLS: usize = 100_000;
const WORKSPACE: &str = "bench";

/// One way to say the rules, and what its evaluations took.
struct Way {
    name: &'static str,
    rig: Rig,
    modules: Vec<LoadedModule>,
    took: Durations,
    /// Of the evaluations for which a module was called.
    took_with_calls: Durations,
}

/// Measures evaluations of generated shop traffic by a component and by definitions that say the
/// same.
///
/// # Errors
/// When rules do not load, or the two tell different transitions.
pub fn measure_rule(component: RuleFiles, definitions: RuleFiles) -> anyhow::Result<Report> {
    let mut ways = [
        Way::new("the module", component).context("the component")?,
        Way::new("the definitions", definitions).context("the definitions")?,
    ];
    let mut traffic = Traffic::new(1, USERS);
    let (mut evaluations, mut transitions) = (0, 0);
    for at in 0..MESSAGES {
        let json = traffic.message(WORKSPACE, ways[0].rig.now());
        ways.iter_mut().for_each(|way| way.rig.pass(PAUSE_MS));
        let Ok(decoded) = decode(json.as_bytes(), None) else { continue };
        let Some(message) = decoded.message else { continue };
        let key = UserKey { workspace: decoded.workspace, user: decoded.user };
        let is_measured = at >= WARM_MESSAGES;
        // By turns the first, whom caches favour less.
        let order = if at.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        let mut told = [Vec::new(), Vec::new()];
        for way in order {
            told[way] = ways[way].step(&key, message.clone(), is_measured)?;
        }
        if told[0] != told[1] {
            let [one, other] = told.map(|told| format!("{told:?}"));
            anyhow::bail!(
                "message {at} changes {one} by the module and {other} by the definitions: \
                 compare rules that say the same"
            );
        }
        transitions += told[0].len();
        evaluations += usize::from(is_measured);
    }
    report(ways, evaluations, transitions)
}

fn report(ways: [Way; 2], evaluations: usize, transitions: usize) -> anyhow::Result<Report> {
    let mut report = Report::new(format!(
        "{evaluations} evaluations by a module and by definitions that say the same: {transitions} equal transitions"
    ));
    let (mut means, mut calls) = (Vec::new(), Vec::new());
    for Way { name, modules, mut took, mut took_with_calls, .. } in ways {
        means.push(took.mean());
        report.add(format!("{name}: an evaluation, mean"), took.mean(), "µs");
        report.add(format!("{name}: an evaluation, median"), took.quantile(0.5), "µs");
        report.add(format!("{name}: an evaluation, p99"), took.quantile(0.99), "µs");
        let share = 100.0 * took_with_calls.len() as f64 / evaluations as f64;
        report.add(format!("{name}: evaluations that called a module"), share, "%");
        report.add(format!("{name}: those, median"), took_with_calls.quantile(0.5), "µs");
        let mut call = Duration::ZERO;
        for module in &modules {
            call += measure_calls(module, CALLS)?.median;
        }
        let call = call.as_secs_f64() * 1e6;
        calls.push(call);
        let what = format!("{name}: calls for all audiences ({}), median", modules.len());
        report.add(what, call, "µs");
    }
    report.add("the module over the definitions, evaluations", means[0] / means[1], "times");
    report.add("the module over the definitions, calls", calls[0] / calls[1], "times");
    Ok(report)
}

impl Way {
    fn new(name: &'static str, files: RuleFiles) -> anyhow::Result<Way> {
        let compiler = Compiler::this_executable()?;
        let guests = GuestEngine::new(GuestSettings { compiler, ..GuestSettings::default() })?;
        let mut loader = RulesetLoader::new(guests, settings(Engine::State));
        let ruleset: Ruleset = loader.load(&files, Vec::new())?;
        let modules = ruleset.instances().modules().to_vec();
        let rig = Rig::of(&ruleset);
        Ok(Way {
            name,
            rig,
            modules,
            took: Durations::default(),
            took_with_calls: Durations::default(),
        })
    }

    /// Who entered and left.
    fn step(
        &mut self,
        key: &UserKey,
        message: muster_core::Message,
        is_measured: bool,
    ) -> anyhow::Result<Vec<String>> {
        let (stepped, took) = self.rig.step(key, message)?;
        if is_measured {
            self.took.add(took);
            if stepped.report.decisions > 0 {
                self.took_with_calls.add(took);
            }
        }
        // The number counts those that timers brought about before, too.
        let told = |told: &Transition| {
            format!("{} {} {} at {:?}", told.number, told.change.name(), told.audience, told.at)
        };
        Ok(stepped.transitions.iter().map(told).collect())
    }
}
