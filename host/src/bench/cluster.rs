//! The whole way through a cluster: from a topic, over the database, to a topic.

mod proxy;
mod wave;

use super::modules::resident_bytes;
use super::{Report, catalogue, durable};
use crate::api::Service;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::service::{Started, connection, cql_settings};
use crate::store::initialise;
use anyhow::{Context, ensure};
use muster_pulsar::{Outgoing, Sink};
use proxy::Proxy;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The workspace of what is sent.
const WORKSPACE: &str = "bench";
/// What is added to each answer's way in every second run.
const INJECTED: Duration = Duration::from_millis(5);
/// Runs of either kind, by turns. One before them is not counted: servers that have just been started are
/// slower.
const RUNS: usize = 2;
/// Between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is measured, and how much of it.
pub struct ClusterScale {
    /// Where the servers are; keyspaces and subscriptions of its own are made there.
    pub config: Config,
    /// Audiences of the catalogue.
    pub audiences: usize,
    /// Users.
    pub users: u64,
    /// Messages of one event, beside one of each user.
    pub events: u64,
    /// Timers that are due at once.
    pub timers: u64,
    /// Where rules are put, and the embedded store that it is compared with.
    pub folder: PathBuf,
}

/// A service in this process, and what it is measured by.
struct Subject {
    runtime: Runtime,
    service: Arc<Service>,
    end: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// What runs came to.
#[derive(Default)]
struct Run {
    seconds: f64,
    /// Requests to the database by kind, and the seconds that they took together.
    requests: BTreeMap<String, (f64, f64)>,
    bytes_sent: u64,
    batches: f64,
    commit_s: f64,
    publish_s: f64,
    turns: f64,
    /// Of this process, at the end.
    resident_bytes: f64,
}

/// Measures events a second from topic to topic, what each user's batch asks of the database, what 5 ms on
/// each of its answers cost, and what a wave of timers does to live messages; the embedded store beside it.
///
/// # Errors
/// When a server cannot be used.
pub fn cluster(scale: &ClusterScale) -> anyhow::Result<Vec<Report>> {
    let embedded = durable::measure(&super::Scale {
        audiences: scale.audiences,
        history: 0,
        users: scale.users,
        events: scale.events,
        folder: scale.folder.clone(),
    })?;
    let mut messages = durable::Source::new(scale.users);
    let mut lines: Vec<String> = (0..scale.users).map(|user| messages.message(user)).collect();
    lines.extend((0..scale.events).map(|_| messages.any_message()));
    publish(scale, &lines)?;
    let once = |delay| run(scale, lines.len() as u64, delay);
    once(Duration::ZERO)?;
    let (mut near, mut far) = (Run::default(), Run::default());
    for _ in 0..RUNS {
        near.add(once(Duration::ZERO)?);
        far.add(once(INJECTED)?);
    }
    let messages = lines.len();
    let all = (messages * RUNS) as f64;
    let mut report = Report::new(format!(
        "{messages} messages of one event each from a topic to a topic, {} users, {} audiences, one instance, \
         with the database and Pulsar on the same machine, {RUNS} runs by turns with those with a delay",
        scale.users, scale.audiences
    ));
    report.add("events a second", all / near.seconds, "/s");
    let slower = (1.0 - near.seconds / far.seconds) * 100.0;
    report.add("the same with 5 ms more for each answer of the database", all / far.seconds, "/s");
    report.add_with_goal("that is less by", slower, "%", "less than 20");
    report.add("users of a turn", near.batches / near.turns.max(1.0), "");
    for (kind, (requests, _)) in &near.requests {
        report.add(format!("requests for each user's batch: {kind}"), requests / near.batches, "");
    }
    for (kind, (requests, seconds)) in &near.requests {
        report.add(format!("until an answer, mean: {kind}"), seconds / requests * 1e3, "ms");
    }
    report.add(
        "bytes sent to the database for each user's batch",
        near.bytes_sent as f64 / near.batches,
        "B",
    );
    report.add("the same for each event", near.bytes_sent as f64 / all, "B");
    report.add("a turn's commit, mean", near.commit_s / near.turns.max(1.0) * 1e3, "ms");
    report.add(
        "a turn's publishing, beside that",
        near.publish_s / near.turns.max(1.0) * 1e3,
        "ms",
    );
    report.add("memory of this process, all users remembered", near.resident_bytes, "B");
    Ok(vec![embedded, report, wave::measure(scale)?])
}

/// Sends everything before anything is read.
fn publish(scale: &ClusterScale, lines: &[String]) -> anyhow::Result<()> {
    let pulsar = &scale.config.pulsar;
    let topic = pulsar.source.topics.first().context("`pulsar.source.topics` names none")?;
    let connection = connection(pulsar)?;
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let sink = Sink::open(connection, topic, "bench").await?;
        for piece in lines.chunks(1_000) {
            let outgoing = piece.iter().map(|line| Outgoing {
                key: user_of(line).to_string(),
                id: String::new(),
                payload: line.clone().into_bytes(),
            });
            sink.publish(outgoing.collect()).await;
        }
        Ok(())
    })
}

fn user_of(line: &str) -> &str {
    line.split_once("\"user\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(user, _)| user)
}

fn run(scale: &ClusterScale, messages: u64, delay: Duration) -> anyhow::Result<Run> {
    let proxy = Proxy::start(&scale.config.store.cql.nodes, delay)?;
    let yaml = catalogue::definitions(1, scale.audiences);
    let subject = Subject::start(scale, &yaml, proxy.address(), true)?;
    let metrics = &subject.service.metrics;
    let taken = metrics.messages.with_label_values(&[WORKSPACE]);
    while taken.get() == 0 {
        std::thread::sleep(LOOK_EVERY);
    }
    let (before, begun, sent) = (requests(metrics), Instant::now(), proxy.sent());
    let stood = (taken.get(), Counted::of(metrics));
    while taken.get() < messages || subject.service.worker.waiting() > 0 {
        subject.service.worker.readiness()?;
        std::thread::sleep(LOOK_EVERY);
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(taken.get() > stood.0, "all was taken before the first look: give more `--events`");
    let seconds = seconds * messages as f64 / (messages - stood.0) as f64;
    let (now, after) = (Counted::of(metrics), requests(metrics));
    let requests = after.into_iter().map(|(kind, (count, seconds))| {
        let (earlier, spent) = before.get(&kind).copied().unwrap_or_default();
        (kind, (count - earlier, seconds - spent))
    });
    let requests: BTreeMap<_, _> = requests.filter(|(_, (count, _))| *count > 0.0).collect();
    let run = Run {
        seconds,
        batches: requests.get("write_user").map_or(0.0, |(count, _)| *count),
        requests,
        bytes_sent: proxy.sent() - sent,
        commit_s: now.commit_s - stood.1.commit_s,
        publish_s: now.publish_s - stood.1.publish_s,
        turns: now.turns - stood.1.turns,
        resident_bytes: resident_bytes()?,
    };
    subject.stop()?;
    ensure!(run.batches > 0.0, "nobody was written");
    Ok(run)
}

impl Run {
    fn add(&mut self, run: Run) {
        self.seconds += run.seconds;
        for (kind, (count, seconds)) in run.requests {
            let requests = self.requests.entry(kind).or_default();
            *requests = (requests.0 + count, requests.1 + seconds);
        }
        self.bytes_sent += run.bytes_sent;
        self.batches += run.batches;
        self.commit_s += run.commit_s;
        self.publish_s += run.publish_s;
        self.turns += run.turns;
        self.resident_bytes = self.resident_bytes.max(run.resident_bytes);
    }
}

struct Counted {
    commit_s: f64,
    publish_s: f64,
    turns: f64,
}

impl Counted {
    fn of(metrics: &Metrics) -> Counted {
        Counted {
            commit_s: metrics.stages.commit.get_sample_sum(),
            publish_s: metrics.stages.publish.get_sample_sum(),
            turns: metrics.stages.commit.get_sample_count() as f64,
        }
    }
}

fn requests(metrics: &Metrics) -> BTreeMap<String, (f64, f64)> {
    use prometheus::core::Collector;
    let families = metrics.cql.collect();
    let figures = families.iter().flat_map(|family| family.get_metric());
    let figure = figures.map(|figure| {
        let kind = figure.get_label().iter().map(|label| label.value().to_string()).collect();
        let histogram = figure.get_histogram();
        (kind, (histogram.get_sample_count() as f64, histogram.get_sample_sum()))
    });
    figure.collect()
}

impl Subject {
    /// Starts a service with these rules on tables of its own.
    fn start(
        scale: &ClusterScale,
        yaml: &str,
        node: String,
        has_source: bool,
    ) -> anyhow::Result<Subject> {
        let mut config = scale.config.clone();
        let folder = scale.folder.join(format!("muster-bench-{:08x}", fastrand::u32(..)));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("audiences.yaml"), yaml)?;
        config.file = None;
        config.store.cql.nodes = vec![node];
        config.store.cql.keyspace = format!("bench_{:08x}", fastrand::u32(..));
        config.pulsar.source.subscription = format!("bench-{:08x}", fastrand::u32(..));
        if !has_source {
            config.pulsar.source.topics.clear();
        }
        config.workspaces = [(WORKSPACE.to_string(), folder.clone())].into();
        config.modules.artefacts = folder.join("artefacts");
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.time.clock = crate::config::ClockKind::Events;
        initialise(&cql_settings(&config.store)?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let started = runtime.block_on(Started::new(config))?;
        std::fs::remove_dir_all(&folder)?;
        let service = started.service();
        let (end, ended) = oneshot::channel();
        let served = runtime.spawn(started.serve(Box::pin(async { drop(ended.await) })));
        Ok(Subject { runtime, service, end, served })
    }

    fn stop(self) -> anyhow::Result<()> {
        let Subject { runtime, service, end, served } = self;
        drop(end);
        let ended = runtime.block_on(served)?;
        // Clients end their connections by the runtime that they were made on.
        let _entered = runtime.enter();
        drop(service);
        ended
    }
}
