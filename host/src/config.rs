//! The settings of the service. The default file is their documentation.

mod cluster;
mod modules;

pub use cluster::{CqlStoreSettings, PulsarSettings, SinkSettings, SourceSettings};
pub use modules::{LimitSettings, Modules};

use crate::access::AccessSettings;
use crate::tls::TlsSettings;
use muster_core::{Engine, Settings};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default settings, as a file to start from.
pub const DEFAULT: &str = include_str!("muster.toml");

/// All settings of the service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where these settings were read from, to be read again.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Where the service listens.
    pub http: Http,
    /// Who may ask for what.
    pub access: AccessSettings,
    /// Where everything is kept.
    pub store: StoreSettings,
    /// Where messages come from and transitions go, beside HTTP.
    pub pulsar: PulsarSettings,
    /// Folders of rules by workspace.
    pub workspaces: BTreeMap<String, PathBuf>,
    /// How messages become batches.
    pub ingest: Ingest,
    /// What time it is.
    pub time: TimeSettings,
    /// How audiences are decided.
    pub engine: EngineSettings,
    /// Rule modules.
    pub modules: Modules,
}

/// Where the service listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address and port.
    pub listen: SocketAddr,
    /// Bytes of a request's body that is read whole.
    pub body_bytes_max: usize,
    /// How long the service waits for the next bytes of a request.
    #[serde(deserialize_with = "duration")]
    pub body_wait: Duration,
    /// How long requests may still take when the service ends.
    #[serde(deserialize_with = "duration")]
    pub drain_wait: Duration,
    /// Whether it speaks TLS, and as whom.
    pub tls: TlsSettings,
}

/// Where everything is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// The database of a store that is shared.
    pub cql: CqlStoreSettings,
    /// The folder of an embedded store.
    pub path: PathBuf,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// How long events are kept.
    #[serde(deserialize_with = "duration")]
    pub history_retention: Duration,
    /// How long transitions can be read from a cursor.
    #[serde(deserialize_with = "duration")]
    pub transitions_retention: Duration,
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// A folder, of one process.
    Embedded,
    /// A database, of any number.
    Cql,
}

/// How messages become batches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Messages that may wait.
    pub queue_messages_max: usize,
    /// How long a batch waits for more messages.
    #[serde(deserialize_with = "duration")]
    pub batch_wait: Duration,
    /// Messages of a batch.
    pub batch_messages_max: usize,
    /// How far ahead of the clock an event's time may be.
    #[serde(deserialize_with = "duration")]
    pub future_skew: Duration,
}

/// What time it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSettings {
    /// Which clock.
    pub clock: ClockKind,
}

/// Which clock the service goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// The machine's, never going back.
    Wall,
    /// The latest time that a message told of.
    Events,
}

/// How audiences are decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Which engine.
    pub name: EngineName,
    /// Merged intervals of a series.
    pub intervals: usize,
    /// Whether history is read when intervals do not decide.
    pub accuracy: Accuracy,
    /// For how long ids are remembered.
    #[serde(deserialize_with = "duration")]
    pub id_horizon: Duration,
    /// How many ids of a user are remembered.
    pub ids: usize,
    /// Threads on which users are evaluated; 0 for as many as there are processors.
    pub threads: usize,
    /// Users evaluated anew in each turn after a change of rules.
    pub reevaluations_per_turn: usize,
}

impl EngineSettings {
    /// How many parts users are divided into, each evaluated on a thread of its own.
    pub fn lanes(&self) -> NonZeroUsize {
        let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        NonZeroUsize::new(self.threads).unwrap_or_else(processors)
    }
}

/// Which engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// Reads each user's events.
    Scan,
    /// Reads the numbers kept for each user.
    State,
}

/// What happens when intervals do not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// History is read.
    Exact,
    /// The likelier answer counts.
    Bounded,
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read settings from `{}`: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A setting is wrong.
    #[error("`{}`: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What, where, and the mend.
        reason: String,
    },
}

impl Config {
    /// Reads a file of settings over the defaults. Folders in it are meant from where it lies.
    ///
    /// # Errors
    /// When it cannot be read, or a setting is unknown or wrong.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let invalid = |reason| ConfigError::Invalid { path: path.to_path_buf(), reason };
        let mut config = Config::parse(&text).map_err(invalid)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.store.path = folder.join(&config.store.path);
        for rules in config.workspaces.values_mut() {
            *rules = folder.join(&rules);
        }
        let tls = &mut config.http.tls;
        let modules = &mut config.modules;
        let cql = &mut config.store.cql;
        let pulsar = &mut config.pulsar;
        for path in [
            &mut modules.artefacts,
            &mut modules.compiler,
            &mut tls.certificates,
            &mut tls.key,
            &mut cql.password_file,
            &mut cql.authority,
            &mut pulsar.token_file,
            &mut pulsar.authority,
        ] {
            if !path.as_os_str().is_empty() {
                *path = folder.join(&path);
            }
        }
        config.file = Some(path.to_path_buf());
        Ok(config)
    }

    /// Reads settings over the defaults.
    ///
    /// # Errors
    /// When a setting is unknown or wrong: what, and where.
    pub fn parse(text: &str) -> Result<Config, String> {
        let own: toml::Table = text.parse().map_err(|error| describe(&error, text))?;
        let mut all: toml::Table = DEFAULT.parse().map_err(|error| describe(&error, DEFAULT))?;
        merge(&mut all, own);
        modules::complete(&mut all);
        let config = Config::deserialize(toml::Value::Table(all)).map_err(|e| locate(&e, text))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for workspace in self.workspaces.keys() {
            if workspace.is_empty() || workspace.len() > crate::decode::ID_BYTES_MAX {
                return Err(format!("workspace `{workspace}`: write 1 to 256 bytes"));
            }
        }
        self.access.check(self.http.listen)?;
        self.http.tls.check()?;
        let bounds = [
            ("ingest.queue_messages_max", self.ingest.queue_messages_max),
            ("ingest.batch_messages_max", self.ingest.batch_messages_max),
            ("engine.intervals", self.engine.intervals),
            ("engine.ids", self.engine.ids),
            ("engine.reevaluations_per_turn", self.engine.reevaluations_per_turn),
        ];
        if let Some((name, _)) = bounds.iter().find(|(_, bound)| *bound == 0) {
            return Err(format!("`{name}` must be at least 1"));
        }
        cluster::check(self)?;
        self.modules.check()
    }

    /// How a plan evaluates.
    pub fn engine_settings(&self) -> Settings {
        Settings {
            engine: match self.engine.name {
                EngineName::Scan => Engine::Scan,
                EngineName::State => Engine::State,
            },
            intervals: self.engine.intervals,
            exact: self.engine.accuracy == Accuracy::Exact,
            keep_empty: false,
            id_horizon_ms: milliseconds(self.engine.id_horizon),
            ids: self.engine.ids,
        }
    }
}

/// A length of time in whole milliseconds.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn merge(all: &mut toml::Table, own: toml::Table) {
    for (key, value) in own {
        match (all.get_mut(&key), value) {
            (Some(toml::Value::Table(all)), toml::Value::Table(own)) => merge(all, own),
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
}

/// The place and the reason, on one line.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
    format!("line {line}: {}", error.message())
}

/// The reason, and the line of the user's file that names what it is about.
fn locate(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    let named = message.split('`').nth(1).unwrap_or_default();
    let names = |line: &str| line.trim_start().trim_start_matches('[').starts_with(named);
    match text.lines().position(names).filter(|_| !named.is_empty()) {
        Some(at) => format!("line {}: {message}", at + 1),
        None => message.to_string(),
    }
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    muster_rules::parse_span(&text)
        .map(|span| Duration::from_millis(span.milliseconds().unsigned_abs()))
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_parse_and_a_file_changes_what_it_names() {
        let config = Config::parse("[ingest]\nbatch_wait = \"20ms\"").unwrap();
        assert_eq!(config.ingest.batch_wait, Duration::from_millis(20));
        assert_eq!(config.http.listen.port(), 7400);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let wrong = |text: &str| Config::parse(text).unwrap_err();
        assert!(wrong("[ingest]\nbatch_wai = \"20ms\"").starts_with("line 2: unknown field"));
        assert!(wrong("[ingest").starts_with("line 1:"));
        assert!(wrong("[engine]\nids = 0").contains("`engine.ids` must be at least 1"));
        assert!(wrong("[ingest]\nbatch_wait = \"20 parsecs\"").contains("parsecs"));
    }
}
