//! What changing rules does to the messages that come meanwhile.

use super::report::Durations;
use super::steady::{deliver, steadily};
use super::{Report, Scale, catalogue, rig};
use crate::clock::WallClock;
use crate::config::Config;
use crate::lifecycle::Action;
use crate::manager::{Asker, Deployments, Manager, Seat};
use crate::metrics::Metrics;
use crate::sink::Sink;
use crate::store::{EmbeddedStore, Store, StoreOptions};
use crate::worker::Worker;
use anyhow::Context;
use fastrand::Rng;
use muster_core::Engine;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long each of the two runs takes, and how long the one before them that warms up.
const RUN: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(5);
/// Messages: one at a time, this far apart.
const EVERY: Duration = Duration::from_millis(5);
const USERS: u64 = 2_000;
/// One audience of so many is another in each version.
const ONE_CHANGED: usize = 100;
/// How long a version is left in force before the next one.
const BETWEEN: Duration = Duration::from_secs(1);
const WORKSPACE: &str = "bench";

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let folder = scale.folder.join(format!("muster-swap-{}", std::process::id()));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder, StoreOptions::default())?);
    let config = Config::parse("").map_err(anyhow::Error::msg)?;
    let loader = rig::loader(rig::settings(Engine::State))?;
    let (mut manager, none) = Manager::open(store.clone(), loader)?;
    let metrics = Arc::new(Metrics::new()?);
    let worker = Worker::start(
        &config,
        store.clone(),
        Arc::new(Sink::Outbox),
        Box::new(WallClock),
        none,
        metrics,
    )?;
    let deployments = Deployments::default();
    let seat = Seat { workspace: WORKSPACE, worker: &worker, deployments: &deployments };
    let yaml = catalogue::definitions(1, scale.audiences);
    let other = catalogue::changed(&yaml, ONE_CHANGED);
    swap(&mut manager, &seat, &yaml)?;

    let mut rng = Rng::with_seed(10);
    let mut run = |time| {
        steadily(time, EVERY, || {
            let user = format!("user-{}", rng.u64(..USERS));
            deliver(&worker, &mut rng, WORKSPACE, &user)
        })
    };
    run(WARM_UP)?;
    let mut before = run(RUN)?;
    let ended = AtomicBool::new(false);
    let (swaps, during) = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| swap_until(&ended, &mut manager, &seat, [&other, &yaml]));
        let during = run(RUN);
        ended.store(true, Ordering::Release);
        match swapping.join() {
            Ok(swaps) => (swaps, during),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let report = report(scale, swaps?, &mut before, &mut during?);
    worker.stop();
    drop((manager, worker, store));
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    Ok(report)
}

fn swap_until(
    ended: &AtomicBool,
    manager: &mut Manager,
    seat: &Seat<'_>,
    versions: [&str; 2],
) -> anyhow::Result<u64> {
    for (swaps, yaml) in (0..).zip(versions.into_iter().cycle()) {
        if ended.load(Ordering::Acquire) {
            return Ok(swaps);
        }
        swap(manager, seat, yaml)?;
        std::thread::sleep(BETWEEN);
    }
    Ok(0)
}

/// Deploys definitions for everybody at once.
fn swap(manager: &mut Manager, seat: &Seat<'_>, yaml: &str) -> anyhow::Result<()> {
    let asker = Asker { by: "bench".to_string(), reason: None, revision: None };
    manager.deploy(seat, &rig::files(yaml), &asker)?;
    manager.act(seat, Action::Promote, &asker)?;
    Ok(())
}

fn report(scale: &Scale, swaps: u64, before: &mut Durations, during: &mut Durations) -> Report {
    let mut report = Report::new(format!(
        "{} audiences, 200 messages a second of {USERS} users, and one audience of {ONE_CHANGED} changed \
         again and again",
        scale.audiences
    ));
    for (figure, share) in [("median", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        report.add(format!("before, {figure}"), before.quantile(share) / 1e3, "ms");
        report.add(format!("while rules change, {figure}"), during.quantile(share) / 1e3, "ms");
    }
    let ratio = during.quantile(0.99) / before.quantile(0.99);
    report.add_with_goal("p99 while rules change over before", ratio, "times", "at most 2");
    report.add("changes", swaps as f64, "");
    report
}
