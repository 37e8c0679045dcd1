//! What was told: transitions as a reader of their topic sees them.

use super::{Members, PATIENCE, Stage};
use anyhow::{Result, bail};
use muster_pulsar::{Source, SourceSettings};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// Problems that are told of at the most.
const PROBLEMS_TOLD: usize = 5;

/// Transitions, folded as a reader would who drops repetitions by their id.
#[derive(Default)]
pub struct Told {
    /// Who is in which audience by them.
    pub members: Members,
    /// How many there were.
    pub transitions: u64,
    /// How many of those came again.
    pub repetitions: u64,
    /// What a reader could not make sense of.
    pub problems: Vec<String>,
    seen: HashSet<String>,
    numbers: BTreeMap<String, u64>,
}

impl Told {
    fn summary(&self) -> String {
        let Told { transitions, repetitions, problems, .. } = self;
        let first: Vec<_> = problems.iter().take(PROBLEMS_TOLD).collect();
        format!(
            "{transitions}, {repetitions} repetitions, {} problems, the first {first:?}",
            problems.len()
        )
    }

    fn take(&mut self, payload: &[u8]) -> Result<()> {
        let transition: Value = serde_json::from_slice(payload)?;
        let text = |key: &str| transition[key].as_str().unwrap_or_default().to_string();
        if !self.seen.insert(text("id")) {
            self.repetitions += 1;
            return Ok(());
        }
        self.transitions += 1;
        let (user, audience) = (text("user"), text("audience"));
        let last = self.numbers.entry(user.clone()).or_default();
        if transition["number"].as_u64() != Some(*last + 1) {
            self.problems.push(format!("after number {last} of {user} came {transition}"));
        }
        *last = transition["number"].as_u64().unwrap_or_default();
        let audiences = self.members.entry(user.clone()).or_default();
        let makes_sense = match text("change").as_str() {
            "entered" => audiences.insert(audience),
            _ => audiences.remove(&audience),
        };
        if !makes_sense {
            self.problems.push(format!("not in turn: {transition}"));
        }
        if self.members.get(&user).is_some_and(|audiences| audiences.is_empty()) {
            self.members.remove(&user);
        }
        Ok(())
    }
}

/// Reads a stage's transitions from the beginning, until they make that of the members.
///
/// # Errors
/// When they do not in time: with what a reader finds who begins anew.
pub fn read_told(stage: &Stage, expected: &Members) -> Result<Told> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = runtime.block_on(read(stage, expected))?;
    if told.members == *expected {
        return Ok(told);
    }
    let again = runtime.block_on(read(stage, expected))?;
    bail!(
        "transitions make something else of the members: {}; read anew: {}",
        told.summary(),
        again.summary()
    )
}

/// What was told when it makes that of the members, or time is over.
async fn read(stage: &Stage, expected: &Members) -> Result<Told> {
    let settings = SourceSettings {
        topics: vec![stage.told()],
        subscription: format!("reader-{:08x}", fastrand::u32(..)),
        dead_letters: stage.dead_letters(),
        in_flight_max: 100_000,
        consumer: "reader".to_string(),
        stalled_after: Duration::from_secs(3),
    };
    let mut source = Source::open(stage.connection(), settings).await?;
    let acknowledger = source.acknowledger();
    let mut told = Told::default();
    let deadline = Instant::now() + PATIENCE;
    // A little longer than needed, for what comes after it was enough.
    let mut quiet = false;
    while !(quiet && told.members == *expected) {
        match tokio::time::timeout(Duration::from_secs(1), source.receive()).await {
            Ok(received) => {
                quiet = false;
                told.take(&received.payload)?;
                acknowledger.done(received.token);
            }
            Err(_) => quiet = true,
        }
        if Instant::now() > deadline {
            break;
        }
    }
    source.close().await;
    Ok(told)
}
