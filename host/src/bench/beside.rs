//! What a module does to everybody else: the same traffic of a workspace, without it and beside it.

use super::report::Durations;
use super::steady::{self, steadily};
use super::{Report, Scale, catalogue, rig};
use crate::clock::WallClock;
use crate::config::Config;
use crate::guest::LoadedModule;
use crate::lifecycle::Deployment;
use crate::metrics::Metrics;
use crate::ruleset::Ruleset;
use crate::sink::Sink;
use crate::store::{EmbeddedStore, Store, StoreOptions};
use crate::worker::{Durable, Worker};
use anyhow::Context;
use fastrand::Rng;
use muster_core::{Engine, Standing};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long each of the two runs takes, and how long the one before them that warms up: a module
/// that fails does so for the first time there.
const RUN: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(3);
/// Messages of the good workspace: one at a time, this far apart.
const EVERY: Duration = Duration::from_millis(5);
/// Of the module's workspace: one after so many of the others.
const ONE_BESIDE: u64 = 10;
/// Users of each workspace.
const USERS: u64 = 2_000;

/// Measures the p99 of durable messages of a workspace with the catalogue's audiences, without and
/// with messages of another workspace whose rules are that module.
///
/// # Errors
/// When rules do not load, or a store fails.
pub fn measure_beside(module: LoadedModule, scale: &Scale) -> anyhow::Result<Report> {
    let good =
        rig::load(&catalogue::definitions(1, scale.audiences), rig::settings(Engine::State))?;
    let name = module.module().name.clone();
    let beside =
        Ruleset::new(vec![module], Vec::new(), rig::settings(Engine::State), Standing::default())?;
    let folder = scale.folder.join(format!("muster-beside-{}", std::process::id()));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder, StoreOptions::default())?);
    let config = Config::parse("").map_err(anyhow::Error::msg)?;
    let metrics = Arc::new(Metrics::new()?);
    let deployments = HashMap::from([
        ("bench".into(), Deployment::of(good)),
        ("beside".into(), Deployment::of(beside)),
    ]);
    let clock = Box::new(WallClock);
    let worker = Worker::start(
        &config,
        store.clone(),
        Arc::new(Sink::Outbox),
        clock,
        deployments,
        metrics.clone(),
    )?;

    let mut rng = Rng::with_seed(9);
    run(&worker, &mut rng, WARM_UP, true)?;
    let mut without = run(&worker, &mut rng, RUN, false)?;
    let mut with = run(&worker, &mut rng, RUN, true)?;
    let mut report = Report::new(format!(
        "{} audiences, 200 messages a second, and 20 beside them to module `{name}`",
        scale.audiences
    ));
    for (figure, share) in [("median", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        report.add(format!("without it, {figure}"), without.quantile(share) / 1e3, "ms");
        report.add(format!("beside it, {figure}"), with.quantile(share) / 1e3, "ms");
    }
    let ratio = with.quantile(0.99) / without.quantile(0.99);
    report.add_with_goal("p99 beside it over without it", ratio, "times", "at most 1.5");
    let failures = metrics.text()?;
    let failures = String::from_utf8_lossy(&failures);
    let failed = failures.lines().filter(|line| line.starts_with("muster_failed_decisions_total{"));
    let failed = failed.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    report.add("decisions that it failed to give", failed.sum(), "");
    worker.stop();
    drop((worker, store));
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    Ok(report)
}

/// Sends for a while, and gives how long the good workspace waited.
fn run(worker: &Worker, rng: &mut Rng, time: Duration, beside: bool) -> anyhow::Result<Durations> {
    let mut number = 0;
    steadily(time, EVERY, || {
        let durable = deliver(worker, rng, "bench")?;
        number += 1;
        if beside && u64::is_multiple_of(number, ONE_BESIDE) {
            deliver(worker, rng, "beside")?;
        }
        Ok(durable)
    })
}

/// A message of any of the users.
fn deliver(worker: &Worker, rng: &mut Rng, workspace: &str) -> anyhow::Result<Durable> {
    let user = format!("user-{}", rng.u64(..USERS));
    steady::deliver(worker, rng, workspace, &user)
}
