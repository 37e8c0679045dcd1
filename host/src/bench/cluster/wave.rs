//! Many timers that are due at once: what they do to the messages that come meanwhile, and how soon they are
//! fired when none come.

use super::super::Report;
use super::super::report::Durations;
use super::{ClusterScale, LOOK_EVERY, Subject, WORKSPACE};
use crate::store::UserKey;
use anyhow::Context;
use muster_core::{Event, Message, Time, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Live messages a second, and of how many users.
const LIVE_RATE: u32 = 100;
const LIVE_USERS: u64 = 500;
/// How long they are measured without timers.
const QUIET: Duration = Duration::from_secs(60);
/// How long they come before that: each of them enters in that time, and the servers have warmed up.
const WARMING: Duration = Duration::from_secs(20);
/// The window that everybody's event leaves at once.
const WINDOW_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_767_225_600_000;
/// The time of those whose timers are due while no messages come, and one in how many of all they are.
const LATER_MS: i64 = BEGIN_MS + 86_400_000;
const LATER_PART: u64 = 4;
/// Users whose messages are waited for together while they are made.
const PIECE: usize = 2_000;
/// How long the wave may take.
const WAVE_TIME_MAX: Duration = Duration::from_secs(1_500);
/// How long none fire before it is taken that all have.
const REST: Duration = Duration::from_secs(1);
/// One in so many live users enters or leaves an audience by each of her messages.
const TOLD_PART: u64 = 10;
const RULES: &str = "audiences:
  - { id: lately, where: { event: look, within: 60s } }
  - { id: high, where: { profile: { tone: high } } }
";

/// How long live messages took, by whether they brought anything about.
#[derive(Default)]
struct Live {
    all: Durations,
    told: Durations,
    untold: Durations,
}

pub(super) fn measure(scale: &ClusterScale) -> anyhow::Result<Report> {
    let node = scale.config.store.cql.nodes.first().cloned().unwrap_or_default();
    let subject = Subject::start(scale, RULES, node, false)?;
    make(&subject, scale.timers, 'w', BEGIN_MS)?;
    let fired = || subject.service.metrics.timers.get();
    // They have entered before they are measured.
    let warm_until = Instant::now() + WARMING;
    live(&subject, BEGIN_MS, || Ok(Instant::now() >= warm_until))?;
    let quiet_until = Instant::now() + QUIET;
    let mut quiet = live(&subject, BEGIN_MS, || Ok(Instant::now() >= quiet_until))?;
    let (before, begun) = (fired(), Instant::now());
    let (mut last, mut last_fired) = (before, begun);
    let mut busy = live(&subject, BEGIN_MS + WINDOW_MS + 1, || {
        let now = fired();
        if now > last {
            (last, last_fired) = (now, Instant::now());
        }
        // Some that fired were those of live users.
        let rests = last_fired.elapsed() > REST && now - before >= scale.timers;
        Ok(rests || begun.elapsed() >= WAVE_TIME_MAX)
    })?;
    // Looking passes by everybody who left: live messages would have to wait for that.
    let left = members(&subject, 'w')?;
    let seconds = (last_fired - begun).as_secs_f64();
    let later = if left > 0 { 0 } else { scale.timers / LATER_PART };
    make(&subject, later, 'q', LATER_MS)?;
    let (earlier, begun) = (fired(), Instant::now());
    deliver(&subject, vec![(key("last"), look(LATER_MS + WINDOW_MS + 1))])?;
    while fired() - earlier < later && begun.elapsed() < WAVE_TIME_MAX {
        std::thread::sleep(LOOK_EVERY);
    }
    let in_peace = (fired() - earlier) as f64 / begun.elapsed().as_secs_f64();
    subject.stop()?;
    let mut report = Report::new(format!(
        "{} timers due at once, and {LIVE_RATE} live messages a second beside them",
        scale.timers
    ));
    let done = scale.timers - left;
    let part = format!("one in {TOLD_PART} of them brings a transition about");
    report.add("until they were fired", seconds, "s");
    let in_time = format!("timers not fired within {} s", WAVE_TIME_MAX.as_secs());
    report.add_with_goal(in_time, left as f64, "", "none");
    report.add("timers fired a second", done as f64 / seconds, "/s");
    let of = |live: &mut Live, quantile: f64| {
        [&mut live.all, &mut live.told, &mut live.untold].map(|all| all.quantile(quantile) / 1e3)
    };
    let medians = [of(&mut quiet, 0.5), of(&mut busy, 0.5)];
    let slowest = [of(&mut quiet, 0.99), of(&mut busy, 0.99)];
    let kinds = [format!("all, {part}"), "those that do".to_string(), "the others".to_string()];
    for (kind, name) in kinds.iter().enumerate() {
        for (when, at) in ["before", "meanwhile"].into_iter().zip([0, 1]) {
            report.add(format!("{name}: median {when}"), medians[at][kind], "ms");
            report.add(format!("{name}: p99 {when}"), slowest[at][kind], "ms");
        }
        let times = slowest[1][kind] / slowest[0][kind];
        report.add_with_goal(format!("{name}: p99 is longer by"), times, "times", "less than 2");
    }
    report.add(format!("{later} timers while no messages come, fired a second"), in_peace, "/s");
    Ok(report)
}

/// So many users of whom each did something at that time.
fn make(subject: &Subject, users: u64, name: char, at: i64) -> anyhow::Result<()> {
    let users: Vec<u64> = (0..users).collect();
    for piece in users.chunks(PIECE) {
        let messages = piece.iter().map(|user| (key(&format!("{name}{user}")), look(at)));
        deliver(subject, messages.collect())?;
    }
    Ok(())
}

/// How many of the users of that name are still members of the audience.
fn members(subject: &Subject, name: char) -> anyhow::Result<u64> {
    let store = &subject.service.store;
    let audiences = store.audience_ids()?;
    let audience = audiences.iter().find(|(_, name)| **name == *"lately");
    let (audience, _) = audience.context("the audience has no id")?;
    let (mut found, mut after) = (0, None);
    loop {
        let page = store.members(WORKSPACE, *audience, after.as_deref(), PIECE)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.clone());
        found += page.iter().filter(|(user, _)| user.starts_with(name)).count() as u64;
    }
}

/// Sends messages of many users until it is told to end, each at its time, however late those before it are
/// answered. Gives how long after that time each was durable, and published what it brought about.
fn live(
    subject: &Subject,
    at: i64,
    mut ends: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Live> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (service, is_ending) = (subject.service.clone(), is_over.clone());
    let sending = subject.runtime.spawn(async move {
        let mut answers = Vec::new();
        let mut due = tokio::time::Instant::now();
        for number in 0.. {
            if is_ending.load(Ordering::Acquire) {
                break;
            }
            tokio::time::sleep_until(due).await;
            let (user, round) = (number % LIVE_USERS, number / LIVE_USERS);
            let is_told = user % TOLD_PART == 0;
            let mut message = look(at);
            if is_told {
                let tone = if round % 2 == 0 { "high" } else { "low" };
                message.attributes = vec![("tone".into(), Some(Value::Text(tone.into())))];
            }
            let message = (key(&format!("live-{user}")), message);
            let permit = service.worker.reserve(1)?;
            let durable = service.worker.deliver(vec![message], Vec::new(), permit);
            let answer = async move { durable.await.map(|answer| answer.map(|_| due.elapsed())) };
            answers.push((is_told, tokio::spawn(answer)));
            due += Duration::from_secs(1) / LIVE_RATE;
        }
        let mut durations = Live::default();
        for (is_told, answer) in answers {
            let took = answer.await???;
            durations.all.add(took);
            match is_told {
                true => durations.told.add(took),
                false => durations.untold.add(took),
            }
        }
        anyhow::Ok(durations)
    });
    let ended = loop {
        match ends() {
            Ok(false) if !sending.is_finished() => std::thread::sleep(LOOK_EVERY),
            ended => break ended,
        }
    };
    is_over.store(true, Ordering::Release);
    ended?;
    subject.runtime.block_on(sending)?
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
