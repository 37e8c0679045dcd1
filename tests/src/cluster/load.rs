//! Messages to be sent through a cluster, and sending them.

use super::{Stage, WORKSPACE};
use anyhow::{Context, Result};
use muster::traffic::Traffic;
use muster_core::Time;
use muster_pulsar::{Outgoing, Sink};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// When the first message is, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// Between two messages.
const STEP_MS: i64 = 100;
/// How long after the last of them the end is: some windows have passed by then, and others not.
const END_AFTER_MS: i64 = 15_777;
/// How long sending may take beside what it is spread over: a minute's outage, and time to recover.
const SENT_WITHIN: Duration = Duration::from_secs(300);
/// Users whose only message tells of the end: so many that each partition has some.
const ENDING_USERS: u32 = 64;

/// Messages, each with its user.
pub struct Load {
    /// Those that bring something about.
    pub messages: Vec<(String, String)>,
    /// Those that tell of the end: twice, since what is due at the first instant is past at the second.
    pub endings: Vec<(String, String)>,
}

impl Load {
    /// Shop traffic of so many users and messages, the same for the same seed.
    ///
    /// # Errors
    /// When a message is none.
    pub fn new(seed: u64, users: u64, messages: usize) -> Result<Load> {
        let mut traffic = Traffic::new(seed, users);
        let mut now = BEGIN_MS;
        let mut made = Vec::with_capacity(messages);
        for _ in 0..messages {
            now += STEP_MS;
            let time = Time::from_milliseconds(now).context("a time")?;
            made.push(traffic.message(WORKSPACE, time));
        }
        Load::of(made, now + END_AFTER_MS)
    }

    /// Messages that there are, and the end, in milliseconds since 1970.
    ///
    /// # Errors
    /// When one is no message.
    pub fn of(messages: Vec<String>, end_ms: i64) -> Result<Load> {
        let with_user = |json: String| {
            let message: Value = serde_json::from_str(&json)?;
            let user = message["user"].as_str().context("a message without a user")?.to_string();
            Ok((user, json))
        };
        let ending = |at: i64| {
            (0..ENDING_USERS).map(move |number| {
                let user = format!("ending-{number}");
                let message = json!({ "workspace": WORKSPACE, "user": user, "time": at });
                (user, message.to_string())
            })
        };
        let endings = ending(end_ms).chain(ending(end_ms + 1)).collect();
        Ok(Load { messages: messages.into_iter().map(with_user).collect::<Result<_>>()?, endings })
    }

    /// All messages, in order.
    pub fn all(&self) -> impl Iterator<Item = &(String, String)> {
        self.messages.iter().chain(&self.endings)
    }

    /// Sends everything, the first part over a length of time.
    ///
    /// # Errors
    /// When Pulsar refuses the sender, or does not come back after an outage.
    pub fn send(&self, stage: &Stage, over: Duration) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let sending = async {
            let sink = Sink::open(stage.connection(), &stage.messages(), "sender").await?;
            let pieces = self.messages.chunks(self.messages.len().div_ceil(100).max(1));
            let (begun, all) = (Instant::now(), pieces.len().max(1) as f64);
            for (number, piece) in pieces.enumerate() {
                tokio::time::sleep_until((begun + over.mul_f64(number as f64 / all)).into()).await;
                sink.publish(piece.iter().map(outgoing).collect()).await;
            }
            let (first, last) = self.endings.split_at(self.endings.len() / 2);
            for endings in [first, last] {
                sink.publish(endings.iter().map(outgoing).collect()).await;
            }
            Ok(())
        };
        let sent =
            runtime.block_on(async { tokio::time::timeout(over + SENT_WITHIN, sending).await });
        sent.context("Pulsar does not take what is sent")?
    }
}

fn outgoing((user, json): &(String, String)) -> Outgoing {
    let (key, payload) = (user.clone(), json.clone().into_bytes());
    Outgoing { key, id: String::new(), payload }
}
