//! Many timers that are due at once, and what they do to the messages that come meanwhile.

use super::super::Report;
use super::super::report::Durations;
use super::{ClusterScale, Subject, WORKSPACE};
use crate::store::UserKey;
use muster_core::{Event, Message, Time};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Live messages a second.
const LIVE_RATE: u32 = 100;
/// How long they are measured without timers.
const QUIET: Duration = Duration::from_secs(15);
/// The window that everybody's event leaves at once.
const WINDOW_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_767_225_600_000;
/// Users whose messages are waited for together while they are made.
const PIECE: usize = 2_000;
/// How long the wave may take.
const WAVE_TIME_MAX: Duration = Duration::from_secs(1_500);
const RULES: &str = "audiences: [{ id: lately, where: { event: look, within: 60s } }]";

pub(super) fn measure(scale: &ClusterScale) -> anyhow::Result<Report> {
    let node = scale.config.store.cql.nodes.first().cloned().unwrap_or_default();
    let subject = Subject::start(scale, RULES, node, false)?;
    let users: Vec<u64> = (0..scale.timers).collect();
    for piece in users.chunks(PIECE) {
        let messages = piece.iter().map(|user| (key(&format!("w{user}")), look(BEGIN_MS)));
        deliver(&subject, messages.collect())?;
    }
    let fired = || subject.service.metrics.timers.get();
    let mut live = Live { subject: &subject, number: 0 };
    let mut quiet = Durations::default();
    let until = Instant::now() + QUIET;
    while Instant::now() < until {
        live.send(&mut quiet, BEGIN_MS)?;
    }
    let (before, begun) = (fired(), Instant::now());
    let mut busy = Durations::default();
    while fired() - before < scale.timers && begun.elapsed() < WAVE_TIME_MAX {
        live.send(&mut busy, BEGIN_MS + WINDOW_MS + 1)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = fired() - before;
    subject.stop()?;
    let mut report = Report::new(format!(
        "{} timers due at once, and {LIVE_RATE} live messages a second beside them",
        scale.timers
    ));
    let left = scale.timers.saturating_sub(done);
    report.add("until they were fired", seconds, "s");
    let in_time = format!("timers not fired within {} s", WAVE_TIME_MAX.as_secs());
    report.add_with_goal(in_time, left as f64, "", "none");
    report.add("timers fired a second", done as f64 / seconds, "/s");
    let (calm, wave) = (quiet.quantile(0.99) / 1e3, busy.quantile(0.99) / 1e3);
    report.add("p99 of live messages before", calm, "ms");
    report.add("p99 of live messages meanwhile", wave, "ms");
    report.add_with_goal("that is", wave / calm, "times", "less than 2");
    Ok(report)
}

/// Messages of many users, at a steady rate.
struct Live<'a> {
    subject: &'a Subject,
    number: u64,
}

impl Live<'_> {
    /// Sends a message, waits for it, and then until the next is due.
    fn send(&mut self, durations: &mut Durations, at: i64) -> anyhow::Result<()> {
        let next = Instant::now() + Duration::from_secs(1) / LIVE_RATE;
        self.number += 1;
        let begun = Instant::now();
        deliver(self.subject, vec![(key(&format!("live-{}", self.number % 500)), look(at))])?;
        durations.add(begun.elapsed());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        Ok(())
    }
}

fn deliver(subject: &Subject, messages: Vec<(UserKey, Message)>) -> anyhow::Result<()> {
    let worker = &subject.service.worker;
    let permit = worker.reserve(messages.len())?;
    worker.deliver(messages, Vec::new(), permit).blocking_recv()??;
    Ok(())
}

fn key(user: &str) -> UserKey {
    UserKey { workspace: WORKSPACE.into(), user: user.into() }
}

fn look(at: i64) -> Message {
    let event = Event {
        name: "look".into(),
        time: Time::from_milliseconds(at).unwrap_or(Time::EPOCH),
        id: None,
        properties: Vec::new(),
        context: Arc::default(),
    };
    Message { events: vec![Arc::new(event)], ..Message::default() }
}
