//! The cost of a batch as the catalogue grows, with the same number of audiences touched, and as the
//! history grows.

use super::report::Durations;
use super::rig::{Rig, message, settings, user};
use super::{Report, Scale};
use fastrand::Rng;
use muster_core::Engine;
use std::fmt::Write;

const BATCHES: usize = 4_000;
/// Audiences that the measured event touches, however many there are.
const TOUCHED: usize = 50;
const PAUSE_MS: i64 = 60_000;

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let mut report = Report::new(format!("a batch of one event that touches {TOUCHED} audiences"));
    let mut medians = Vec::new();
    for audiences in [100, 1_000, 10_000] {
        let median = median(audiences, 1_000)?;
        report.add(format!("{audiences} audiences, 1000 events of history: median"), median, "µs");
        medians.push(median);
    }
    let ratio = medians[2] / medians[0];
    report.add_with_goal("10000 audiences over 100", ratio, "times", "at most 2");
    let mut medians = Vec::new();
    for history in [100, 1_000, scale.history] {
        let median = median(1_000, history)?;
        report.add(format!("1000 audiences, {history} events of history: median"), median, "µs");
        medians.push(median);
    }
    let ratio = medians[2] / medians[0];
    report.add_with_goal("the longest history over the shortest", ratio, "times", "at most 1.2");
    Ok(report)
}

fn median(audiences: usize, history: usize) -> anyhow::Result<f64> {
    let mut rig = Rig::new(&definitions(audiences), settings(Engine::State))?;
    let mut rng = Rng::with_seed(5);
    for _ in 0..history {
        rig.pass(PAUSE_MS);
        let next = message(&mut rng, Some("touched"), rig.now());
        rig.step(&user("busy"), next)?;
    }
    let mut durations = Durations::default();
    for _ in 0..BATCHES {
        rig.pass(PAUSE_MS);
        let next = message(&mut rng, Some("touched"), rig.now());
        durations.add(rig.step(&user("busy"), next)?.1);
    }
    Ok(durations.quantile(0.5))
}

fn definitions(audiences: usize) -> String {
    let mut rng = Rng::with_seed(4);
    let mut out = String::from("audiences:\n");
    for at in 0..audiences {
        let name = if at < TOUCHED { "touched".to_string() } else { format!("other_{}", at % 97) };
        let (count, days) = (1 + rng.u32(..40), [1, 7, 30, 90][rng.usize(..4)]);
        let line = format_args!(
            "  - {{ id: a{at}, where: {{ event: {name}, count: {{ gte: {count} }}, within: {days}d }} }}\n"
        );
        out.write_fmt(line).unwrap_or_default();
    }
    out
}
