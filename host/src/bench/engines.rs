//! One busy user: `state` against `scan`.

use super::report::Durations;
use super::rig::{Rig, message, settings, user};
use super::{Report, Scale, catalogue};
use crate::store::Store;
use fastrand::Rng;
use muster_core::Engine;

/// Batches measured with each engine: as many as make a 99th percentile, and as few as `scan`
/// can be waited for.
const STATE_BATCHES: usize = 2_000;
const SCAN_BATCHES: usize = 1;
/// The time between two events of the busy user: ten thousand of them in 90 days.
const PAUSE_MS: i64 = 90 * 86_400_000 / 10_000;

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let yaml = catalogue::definitions(1, scale.audiences);
    let mut report = Report::new(format!(
        "one user with {} events of history, {} audiences: a batch of one event",
        scale.history, scale.audiences
    ));
    let mut medians = Vec::new();
    for (engine, batches) in [(Engine::State, STATE_BATCHES), (Engine::Scan, SCAN_BATCHES)] {
        let (mut durations, mut decided, mut ruled_out) = (Durations::default(), 0, 0);
        let (mut with_history, mut rows, mut changes) = (0, 0, 0);
        let mut rig = prepared(&yaml, engine, scale.history)?;
        let mut rng = Rng::with_seed(3);
        for _ in 0..batches {
            rig.pass(PAUSE_MS);
            let next = message(&mut rng, None, rig.now());
            let (stepped, took) = rig.step(&user("busy"), next)?;
            durations.add(took);
            decided += stepped.report.decisions;
            ruled_out += stepped.report.ruled_out;
            changes += stepped.transitions.len();
            with_history += stepped.report.evaluations_with_history;
            rows += stepped.report.rows;
        }
        let (median, p99) = (durations.quantile(0.5), durations.quantile(0.99));
        let name = engine.name();
        medians.push(median);
        report.add(format!("{name}: median"), median, "µs");
        if engine == Engine::State {
            report.add_with_goal("state: p99", p99, "µs", "under 100 µs");
        } else {
            report.add("scan: p99", p99, "µs");
        }
        let each = batches as f64;
        report.add(format!("{name}: audiences ruled out a batch"), ruled_out as f64 / each, "");
        report.add(format!("{name}: audiences asked for a batch"), decided as f64 / each, "");
        report.add(format!("{name}: transitions a batch"), changes as f64 / each, "");
        if let Some(record) = rig.store.user(&user("busy"))? {
            let bytes = (record.state.len() + record.profile.len()) as f64;
            report.add(format!("{name}: bytes of state and profile"), bytes, "");
        }
        report.add(
            format!("{name}: batches that read history"),
            100.0 * with_history as f64 / each,
            "%",
        );
        report.add(format!("{name}: rows of history a batch"), rows as f64 / each, "");
    }
    report.add_with_goal(
        "scan over state, medians",
        medians[1] / medians[0],
        "times",
        "at least 20",
    );
    Ok(report)
}

/// A user with a history. It is made by the engine that is measured; `scan` has nothing but the
/// history itself, so its is made in one message.
fn prepared(yaml: &str, engine: Engine, history: usize) -> anyhow::Result<Rig> {
    let mut rig = Rig::new(yaml, settings(engine))?;
    let mut rng = Rng::with_seed(2);
    let mut whole = muster_core::Message::default();
    for _ in 0..history {
        rig.pass(PAUSE_MS);
        let next = message(&mut rng, None, rig.now());
        match engine {
            Engine::State => {
                rig.step(&user("busy"), next)?;
            }
            Engine::Scan => whole.events.extend(next.events),
        }
    }
    if engine == Engine::Scan {
        rig.step(&user("busy"), whole)?;
    }
    Ok(rig)
}
