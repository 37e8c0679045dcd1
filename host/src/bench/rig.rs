//! Rules loaded, and users stepped in memory, for measuring compute alone.

use super::catalogue;
use crate::clock::wall_time;
use crate::group::{Evaluator, Group, StepError, Stepped};
use crate::guest::{Compiler, GuestEngine, GuestInstances, GuestSettings};
use crate::ruleset::{RuleFiles, Ruleset, RulesetLoader};
use crate::store::{MemoryStore, Store, UserKey};
use fastrand::Rng;
use muster_core::{Decimal, Engine, Event, Message, Plan, Settings, Time, Value};
use muster_rules::Source;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;
/// Users that a group remembers.
const RECENT: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Users of one ruleset, in memory.
pub(super) struct Rig {
    pub(super) plan: Arc<Plan>,
    instances: GuestInstances,
    group: Group,
    pub(super) store: MemoryStore,
    now_ms: i64,
}

pub(super) fn load(yaml: &str, settings: Settings) -> anyhow::Result<Ruleset> {
    Ok(loader(settings)?.load(&files(yaml), Vec::new())?)
}

pub(super) fn loader(settings: Settings) -> anyhow::Result<RulesetLoader> {
    let compiler = Compiler::this_executable()?;
    let guests = GuestEngine::new(GuestSettings { compiler, ..GuestSettings::default() })?;
    Ok(RulesetLoader::new(guests, settings))
}

/// Definitions as if they lay in a file.
pub(super) fn files(yaml: &str) -> RuleFiles {
    let source = Source { name: "catalogue.yaml".into(), text: yaml.to_string() };
    RuleFiles { definitions: vec![source], ..RuleFiles::default() }
}

pub(super) fn settings(engine: Engine) -> Settings {
    Settings { engine, ..Settings::default() }
}

impl Rig {
    pub(super) fn new(yaml: &str, settings: Settings) -> anyhow::Result<Rig> {
        Ok(Rig::of(&load(yaml, settings)?))
    }

    pub(super) fn of(ruleset: &Ruleset) -> Rig {
        Rig {
            plan: ruleset.plan.clone(),
            instances: ruleset.instances(),
            group: Group::new(RECENT),
            store: MemoryStore::new(),
            now_ms: START_MS,
        }
    }

    pub(super) fn pass(&mut self, time_ms: i64) {
        self.now_ms += time_ms;
    }

    pub(super) fn now(&self) -> Time {
        Time::from_milliseconds(self.now_ms).unwrap_or(Time::MAX)
    }

    /// Steps a user by a message that has just come, her due timers before it apart. Gives how long
    /// the message took.
    pub(super) fn step(
        &mut self,
        key: &UserKey,
        message: Message,
    ) -> Result<(Stepped, Duration), StepError> {
        let now = self.now();
        while let Some(due) = self.store.due(now, 1)?.pop() {
            self.advance(&due.1, &[], due.0)?;
            self.commit()?;
        }
        let started = Instant::now();
        let stepped = self.advance(key, &[message], now)?;
        let took = started.elapsed();
        self.commit()?;
        Ok((stepped, took))
    }

    fn advance(
        &mut self,
        key: &UserKey,
        messages: &[Message],
        now: Time,
    ) -> Result<Stepped, StepError> {
        let rules = Evaluator { plan: &self.plan, successions: &[], decide: &mut self.instances };
        self.group.step(&self.store, rules, key, messages, now)
    }

    fn commit(&mut self) -> Result<(), StepError> {
        let commit = self.group.take(self.now(), wall_time());
        self.store.commit(commit)?;
        Ok(())
    }
}

/// A message of one event, now; of that name, or of any.
pub(super) fn message(rng: &mut Rng, name: Option<&str>, now: Time) -> Message {
    let happening = catalogue::happening(rng);
    let name = name.unwrap_or(&happening.name).into();
    let amount = Decimal::from_billionths(i128::from(happening.amount) * 10_000_000);
    let platform = Value::text(happening.platform);
    let mut properties =
        vec![("amount".into(), Value::Number(amount)), ("platform".into(), platform.clone())];
    properties.extend(happening.subjects.map(|(name, value)| (name.into(), Value::text(&value))));
    properties.sort();
    let context = Arc::new(vec![("platform".into(), platform)]);
    let event = Event { name, time: now, id: None, properties, context };
    Message { events: vec![Arc::new(event)], ..Message::default() }
}

pub(super) fn user(name: &str) -> UserKey {
    UserKey { workspace: "bench".into(), user: name.into() }
}
