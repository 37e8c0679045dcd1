//! Durable messages a second, HTTP excluded: from JSON to a synced commit.

use super::{Report, Scale, catalogue, rig};
use crate::clock::EventClock;
use crate::config::Config;
use crate::decode::{decode, format_time};
use crate::lifecycle::Deployment;
use crate::metrics::Metrics;
use crate::sink::Sink;
use crate::store::{EmbeddedStore, Store, StoreOptions, UserKey};
use crate::worker::Worker;
use anyhow::Context;
use fastrand::Rng;
use muster_core::{Engine, Time};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Messages that are delivered together, and deliveries under way at once.
const PIECE: usize = 500;
const UNDER_WAY: usize = 12;
/// The users' events before the measured ones: one each.
const START_MS: i64 = 1_767_225_600_000;
/// Clock ticks of the kernel a second, in which it accounts for threads.
const TICKS: f64 = 100.0;

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let yaml = catalogue::definitions(1, scale.audiences);
    let ruleset = rig::load(&yaml, rig::settings(Engine::State))?;
    let folder = scale.folder.join(format!("muster-bench-{}", std::process::id()));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder, StoreOptions::default())?);
    let config = Config::parse("").map_err(anyhow::Error::msg)?;
    let metrics = Arc::new(Metrics::new()?);
    let deployments = HashMap::from([(Arc::<str>::from("bench"), Deployment::of(ruleset))]);
    let clock = Box::new(EventClock);
    let worker = Worker::start(
        &config,
        store.clone(),
        Arc::new(Sink::Outbox),
        clock,
        deployments,
        metrics.clone(),
    )?;
    let mut source = Source::new(scale.users);
    send(&worker, (0..scale.users).map(|user| source.message(user)))?;
    let messages: Vec<String> = (0..scale.events).map(|_| source.any_message()).collect();

    let before = (threads()?, counts(&metrics, &*store)?, bytes_written()?);
    let started = Instant::now();
    send(&worker, messages.into_iter())?;
    let seconds = started.elapsed().as_secs_f64();
    let after = (threads()?, counts(&metrics, &*store)?, bytes_written()?);

    let events = scale.events as f64;
    let mut report = Report::new(format!(
        "{} durable messages of one event each, {} users, {} audiences, {} threads, the committer's and \
         the store's",
        scale.events,
        scale.users,
        scale.audiences,
        config.engine.lanes()
    ));
    report.add_with_goal("events a second", events / seconds, "/s", "at least 30000");
    for (thread, ticks) in &after.0 {
        let spent = ticks - before.0.get(thread).copied().unwrap_or(0.0);
        report.add(
            format!("processor time an event: {thread}"),
            spent / TICKS / events * 1e6,
            "µs",
        );
    }
    for ((name, after), (_, before)) in after.1.iter().zip(before.1) {
        report.add(format!("{name} an event"), (after - before) as f64 / events, "");
    }
    report.add("bytes written an event", (after.2 - before.2) as f64 / events, "B");
    let commits = metrics.batches.get().max(1) as f64;
    report.add("messages a commit", (events + scale.users as f64) / commits, "");
    worker.stop();
    for (table, bytes) in store.sizes()? {
        report.add(format!("on disk: {table}"), bytes as f64 / 1e6, "MB");
    }
    drop((worker, store));
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    Ok(report)
}

/// What the run did so far.
fn counts(metrics: &Metrics, store: &dyn Store) -> anyhow::Result<[(&'static str, u64); 5]> {
    Ok([
        ("audiences ruled out", metrics.ruled_out.get()),
        ("audiences asked for", metrics.decisions.get()),
        ("transitions", store.cursor("bench")?),
        ("evaluations with history", metrics.evaluations_with_history.get()),
        ("rows of history", metrics.history_rows.get()),
    ])
}

/// Decodes and delivers, a bounded number at once, until all are durable.
fn send(worker: &Worker, messages: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut messages = messages.peekable();
    let mut waiting = VecDeque::new();
    while messages.peek().is_some() {
        let mut piece = Vec::with_capacity(PIECE);
        for json in messages.by_ref().take(PIECE) {
            let decoded = decode(json.as_bytes(), None).map_err(|r| anyhow::anyhow!("{r}"))?;
            let key = UserKey { workspace: decoded.workspace, user: decoded.user };
            piece.extend(decoded.message.map(|message| (key, message)));
        }
        let permit = worker.reserve(piece.len())?;
        waiting.push_back(worker.deliver(piece, Vec::new(), permit));
        if waiting.len() >= UNDER_WAY
            && let Some(durable) = waiting.pop_front()
        {
            durable.blocking_recv()??;
        }
    }
    waiting
        .into_iter()
        .try_for_each(|durable| durable.blocking_recv()?.map(drop).map_err(Into::into))
}

/// Messages of one event, the clock going on a little with each.
pub(super) struct Source {
    rng: Rng,
    users: u64,
    now_ms: i64,
}

impl Source {
    pub(super) fn new(users: u64) -> Source {
        Source { rng: Rng::with_seed(8), users, now_ms: START_MS }
    }

    pub(super) fn any_message(&mut self) -> String {
        let user = self.rng.u64(..self.users);
        self.message(user)
    }

    pub(super) fn message(&mut self, user: u64) -> String {
        self.now_ms += self.rng.i64(0..30);
        let time = Time::from_milliseconds(self.now_ms).map(format_time).unwrap_or_default();
        let happening = catalogue::happening(&mut self.rng);
        let (name, platform) = (happening.name, happening.platform);
        let (amount, cents) = (happening.amount / 100, happening.amount % 100);
        let subjects: Vec<String> = happening
            .subjects
            .iter()
            .map(|(property, value)| format!("\"{property}\":\"{value}\""))
            .collect();
        format!(
            "{{\"workspace\":\"bench\",\"user\":\"user-{user}\",\"context\":{{\"platform\":\"{platform}\"}},\
             \"events\":[{{\"name\":\"{name}\",\"time\":\"{time}\",\"id\":\"e{}\",\"properties\":\
             {{\"amount\":{amount}.{cents:02},\"platform\":\"{platform}\",{}}}}}]}}",
            self.now_ms,
            subjects.join(",")
        )
    }
}

/// Bytes that this process has handed to the system to be written.
fn bytes_written() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io").context("bytes are read from /proc")?;
    let written = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(written.context("no `wchar` in /proc/self/io")?.parse()?)
}

/// Processor time of each thread by its name, in ticks.
fn threads() -> anyhow::Result<BTreeMap<String, f64>> {
    let mut threads: BTreeMap<String, f64> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/task").context("threads are read from /proc")? {
        let text = std::fs::read_to_string(entry?.path().join("stat"))?;
        // The name stands in parentheses, and may itself hold some.
        let Some((name, rest)) = text.rsplit_once(") ") else { continue };
        let name = name.split_once('(').map_or("", |(_, name)| name).to_string();
        let ticks = rest.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        *threads.entry(name).or_default() += ticks.sum::<f64>();
    }
    Ok(threads)
}
