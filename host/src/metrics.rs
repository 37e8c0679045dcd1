//! What the service counts, in the text format of Prometheus.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, exponential_buckets,
};
use std::collections::BTreeSet;

/// Every figure of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages by workspace.
    pub messages: IntCounterVec,
    /// Events by workspace.
    pub events: IntCounterVec,
    /// Messages and events refused.
    pub refused: IntCounter,
    /// Keys of messages that nobody knows.
    pub unknown_keys: IntCounter,
    /// Messages and events dropped as repetitions.
    pub duplicates: IntCounter,
    /// Groups committed.
    pub batches: IntCounter,
    /// Messages of a group.
    pub batch_messages: Histogram,
    /// Seconds that stages took.
    pub stages: Stages,
    /// Evaluations of a user by workspace.
    pub evaluations: IntCounterVec,
    /// Evaluations that needed history.
    pub evaluations_with_history: IntCounter,
    /// Audiences that modules were asked for.
    pub decisions: IntCounter,
    /// Audiences that one condition decided without asking.
    pub ruled_out: IntCounter,
    /// Rows of history looked at.
    pub history_rows: IntCounter,
    /// Conditions decided by the likelier answer.
    pub likely_conditions: IntCounter,
    /// How far those answers may be off, as a share of them, at the most of each evaluation.
    pub likely_error: Histogram,
    /// Transitions by workspace, audience, direction, engine, version of the rules and cause.
    pub transitions: IntCounterVec,
    /// Differences from the shadow by workspace and class.
    pub differences: IntCounterVec,
    /// Events older than the last evaluation of their users.
    pub late: IntCounter,
    /// Share of users that something is rolled out to, by workspace and what.
    pub rules_share: GaugeVec,
    /// Decisions that a module failed to give, by audience.
    pub failures: IntCounterVec,
    /// Processor seconds of stepping by workspace, in microseconds.
    pub cpu_microseconds: IntCounterVec,
    /// Timers fired.
    pub timers: IntCounter,
    /// How late the earliest of the timers is that are known and yet to be fired, in seconds.
    pub timers_late: Gauge,
    /// Messages that wait.
    pub queue: IntGauge,
    /// Bytes of the store by table.
    pub store_bytes: IntGaugeVec,
    /// Rows deleted as past their retention, by table.
    pub expired: IntCounterVec,
    /// Requests that were denied, by reason.
    pub denied: IntCounterVec,
    /// Connections with which TLS was not agreed on, by reason.
    pub failed_handshakes: IntCounterVec,
    /// Times that access and certificates were read anew, by outcome.
    pub setting_loads: IntCounterVec,
    /// Loads of rules by outcome.
    pub rule_loads: IntCounterVec,
    /// Users whom another instance wrote while they were being evaluated, so that they are again.
    pub overtaken: IntCounter,
    /// Users whose messages are put aside, since something that is kept of them is damaged.
    pub damaged_users: IntGauge,
    /// Turns of instances that are gone, settled by this one.
    pub recovered: IntCounter,
    /// Whether something is waited for, by what.
    pub waiting: IntGaugeVec,
    /// Messages of a source that were put aside.
    pub dead_letters: IntCounter,
    /// How long the database took to answer, by what it was asked for.
    pub cql: HistogramVec,
}

/// How long the stages of a message take, each from its beginning to its end.
#[derive(Debug)]
pub struct Stages {
    /// Reading one message and checking it.
    pub decode: Histogram,
    /// Waiting to be taken into a turn.
    pub queue: Histogram,
    /// A turn: stepping its users.
    pub step: Histogram,
    /// Making a turn durable.
    pub commit: Histogram,
    /// Telling what came of a turn, where the store does not.
    pub publish: Histogram,
    /// A whole request that sends messages.
    pub request: Histogram,
}

impl Stages {
    fn of(all: &HistogramVec) -> Stages {
        let stage = |name: &str| all.with_label_values(&[name]);
        Stages {
            decode: stage("decode"),
            queue: stage("queue"),
            step: stage("step"),
            commit: stage("commit"),
            publish: stage("publish"),
            request: stage("request"),
        }
    }
}

/// What tells counts of transitions apart.
const TRANSITION_LABELS: [&str; 6] =
    ["workspace", "audience", "change", "engine", "rules", "cause"];
/// From a microsecond to 8 seconds.
const STAGE_BUCKETS: (f64, f64, usize) = (1e-6, 2.0, 24);

impl Metrics {
    /// All figures at zero.
    ///
    /// # Errors
    /// When two figures share a name.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let register = Register(&registry);
        let (start, factor, count) = STAGE_BUCKETS;
        let stages = HistogramOpts::new("muster_stage_seconds", "Seconds that a stage took")
            .buckets(exponential_buckets(start, factor, count)?);
        let sizes = HistogramOpts::new("muster_batch_messages", "Messages of a committed group")
            .buckets(exponential_buckets(1.0, 2.0, 13)?);
        let cql = HistogramOpts::new("muster_cql_seconds", "Seconds until the database answered")
            .buckets(exponential_buckets(1.0 / 8192.0, 2.0, 18)?);
        let likely_error = HistogramOpts::new(
            "muster_likely_error_ratio",
            "How far answers may be off that were decided without history, as a share of them",
        )
        .buckets(exponential_buckets(1.0 / 1024.0, 2.0, 11)?);
        Ok(Metrics {
            messages: register.counters("messages", "Messages accepted", &["workspace"])?,
            events: register.counters("events", "Events accepted", &["workspace"])?,
            refused: register.counter("refused", "Messages and events refused")?,
            unknown_keys: register.counter("unknown_keys", "Unknown keys of messages")?,
            duplicates: register.counter("duplicates", "Repetitions dropped")?,
            batches: register.counter("batches", "Groups of users committed")?,
            batch_messages: register.add(Histogram::with_opts(sizes)?)?,
            stages: Stages::of(&register.add(HistogramVec::new(stages, &["stage"])?)?),
            evaluations: register.counters("evaluations", "Users evaluated", &["workspace"])?,
            evaluations_with_history: register
                .counter("evaluations_with_history", "Evaluations that needed history")?,
            decisions: register.counter("decisions", "Audiences that modules were asked for")?,
            ruled_out: register
                .counter("ruled_out", "Audiences that one condition decided without asking")?,
            history_rows: register.counter("history_rows", "Rows of history looked at")?,
            likely_conditions: register
                .counter("likely_conditions", "Conditions decided by the likelier answer")?,
            likely_error: register.add(Histogram::with_opts(likely_error)?)?,
            transitions: register.counters(
                "transitions",
                "Users who entered and left",
                &TRANSITION_LABELS,
            )?,
            failures: register.counters(
                "failed_decisions",
                "Decisions that a module failed to give",
                &["workspace", "audience"],
            )?,
            differences: register.counters(
                "differences",
                "Differences between what counts and what is evaluated beside it",
                &["workspace", "class"],
            )?,
            late: register.counter("late_events", "Events older than the last evaluation")?,
            rules_share: register.add(GaugeVec::new(
                Opts::new("muster_rollout_ratio", "Share of users that something is rolled out to"),
                &["workspace", "of"],
            )?)?,
            cpu_microseconds: register.counters(
                "cpu_microseconds",
                "Processor time of deciding users, in microseconds",
                &["workspace"],
            )?,
            timers: register.counter("timers", "Timers fired")?,
            timers_late: register.add(Gauge::new(
                "muster_timers_late_seconds",
                "How late the earliest timer is that is known and yet to be fired",
            )?)?,
            queue: register.add(IntGauge::new("muster_queue_messages", "Messages that wait")?)?,
            store_bytes: register.add(IntGaugeVec::new(
                Opts::new("muster_store_bytes", "Bytes of the store"),
                &["table"],
            )?)?,
            expired: register.counters(
                "expired_rows",
                "Rows deleted as past their retention",
                &["table"],
            )?,
            denied: register.counters("denied_requests", "Requests denied", &["reason"])?,
            failed_handshakes: register.counters(
                "failed_handshakes",
                "Connections with which TLS was not agreed on",
                &["reason"],
            )?,
            setting_loads: register.counters(
                "setting_loads",
                "Times that access and certificates were read anew",
                &["part", "outcome"],
            )?,
            rule_loads: register.counters("rule_loads", "Loads of rules", &["outcome"])?,
            overtaken: register
                .counter("overtaken", "Users whom another instance wrote meanwhile")?,
            damaged_users: register.add(IntGauge::new(
                "muster_damaged_users",
                "Users whose messages are put aside, since something kept of them is damaged",
            )?)?,
            recovered: register
                .counter("recovered", "Turns of instances that are gone, settled")?,
            waiting: register.add(IntGaugeVec::new(
                Opts::new("muster_waiting", "Whether something does not answer and is waited for"),
                &["for"],
            )?)?,
            dead_letters: register.counter("dead_letters", "Messages of a source put aside")?,
            cql: register.add(HistogramVec::new(cql, &["operation"])?)?,
            registry,
        })
    }

    /// Lets go of what was counted by versions of a workspace's rules but these: each change of rules
    /// adds figures for every audience, which nobody would ever take away.
    pub fn retain_versions(&self, workspace: &str, versions: &BTreeSet<&str>) {
        for family in self.transitions.collect() {
            for figure in family.get_metric() {
                let label = |name: &str| {
                    let labels = figure.get_label().iter();
                    labels.filter(|label| label.name() == name).map(|label| label.value()).next()
                };
                let values = TRANSITION_LABELS.map(|name| label(name).unwrap_or_default());
                let [of, _, _, _, version, _] = values;
                if of == workspace && !versions.contains(version) {
                    // It may have been taken away meanwhile.
                    drop(self.transitions.remove_label_values(&values));
                }
            }
        }
    }

    /// All figures as text.
    ///
    /// # Errors
    /// When a figure cannot be written as text.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, figure: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(figure.clone()))?;
        Ok(figure)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(format!("muster_{name}_total"), help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(format!("muster_{name}_total"), help), labels)?)
    }
}
