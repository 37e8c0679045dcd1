//! Instances of the service on real servers: what is sent through them, and what must come of it.

mod expected;
mod instance;
mod load;
mod told;

pub use expected::{Members, expected, settled};
pub use instance::Instance;
pub use load::Load;
pub use told::{Told, read_told};

use anyhow::{Context, Result, bail};
use muster::store::{CqlMetrics, CqlStore, Store, UserKey};
use muster_core::Time;
use muster_pulsar::Connection;
use muster_rig::PulsarAdmin;
use scylla::client::session_builder::SessionBuilder;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for: the machine does other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The workspace of all that is sent.
pub const WORKSPACE: &str = "shop";
/// The subscription of all instances, as it is named unless it is set.
const SUBSCRIPTION: &str = "muster";
/// How long an instance may be silent before others take its work over.
pub const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Topics, a keyspace and a folder of rules of one's own.
pub struct Stage {
    /// Where Pulsar is.
    pub pulsar: String,
    /// Its administration.
    pub admin: PulsarAdmin,
    /// Where Cassandra is.
    pub cassandra: String,
    /// What the keyspace and the topics are called.
    pub name: String,
    /// Partitions of the messages' topic.
    pub partitions: u32,
    folder: PathBuf,
    is_kept: AtomicBool,
}

impl Stage {
    /// A stage with the rules of that file, on which nothing has happened. Its tables are made.
    ///
    /// # Errors
    /// When one of the servers refuses it.
    pub fn new(
        cassandra: &str,
        pulsar: &str,
        admin: &PulsarAdmin,
        rules: &Path,
        partitions: u32,
    ) -> Result<Stage> {
        let stage = Stage::without_tables(cassandra, pulsar, admin, rules, partitions)?;
        stage.command(&["store", "init", "--config"], &stage.settings("init", "")?)?;
        Ok(stage)
    }

    /// The same, without tables.
    ///
    /// # Errors
    /// When Pulsar refuses the topics.
    pub fn without_tables(
        cassandra: &str,
        pulsar: &str,
        admin: &PulsarAdmin,
        rules: &Path,
        partitions: u32,
    ) -> Result<Stage> {
        let name = format!("s{:016x}", fastrand::u64(..));
        let folder = target().join("cluster").join(&name);
        fs::create_dir_all(folder.join("rules"))?;
        fs::copy(rules, folder.join("rules").join("audiences.yaml"))
            .with_context(|| format!("no rules in `{}`", rules.display()))?;
        admin.create_topic(&name, partitions)?;
        admin.create_topic(&format!("{name}-told"), partitions)?;
        admin.create_topic(&format!("{name}-dead"), 0)?;
        let (pulsar, cassandra) = (pulsar.to_string(), cassandra.to_string());
        Ok(Stage {
            pulsar,
            admin: admin.clone(),
            cassandra,
            name,
            partitions,
            folder,
            is_kept: AtomicBool::new(false),
        })
    }

    /// Keeps what instances logged, and says where.
    pub fn keep(&self) -> String {
        self.is_kept.store(true, Ordering::Relaxed);
        self.folder.display().to_string()
    }

    /// The topic that messages come from.
    pub fn messages(&self) -> String {
        self.name.clone()
    }

    /// The topic that transitions go to.
    pub fn told(&self) -> String {
        format!("{}-told", self.name)
    }

    /// The topic of messages that cannot be used.
    pub fn dead_letters(&self) -> String {
        format!("{}-dead", self.name)
    }

    /// The file of the workspace's rules.
    pub fn rules(&self) -> PathBuf {
        self.folder.join("rules").join("audiences.yaml")
    }

    /// How a client of this stage reaches Pulsar.
    pub fn connection(&self) -> Connection {
        let request_time = Duration::from_secs(3);
        Connection { url: self.pulsar.clone(), token: None, authority: None, request_time }
    }

    /// What the broker knows of each partition's subscription.
    pub fn subscriptions(&self) -> impl Iterator<Item = Result<String>> {
        (0..self.partitions).map(|partition| {
            let topic = format!("{}-partition-{partition}", self.messages());
            Ok(format!("{topic}: {}", self.admin.subscription(&topic, SUBSCRIPTION)?))
        })
    }

    /// Whether nothing of the messages is left to be acknowledged, else how much.
    ///
    /// # Errors
    /// When Pulsar does not tell.
    pub fn is_drained(&self) -> Result<Result<(), String>> {
        let mut left = 0;
        for partition in 0..self.partitions {
            let topic = format!("{}-partition-{partition}", self.messages());
            left += self.admin.backlog(&topic, SUBSCRIPTION)?;
        }
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} entries are left")) })
    }

    /// A file of settings of an instance by the clock of events, with more of them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settings(&self, instance: &str, more: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{instance}.toml"));
        let name = &self.name;
        let text = format!(
            "[access]\nopen = true\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [workspaces]\n{WORKSPACE} = \"rules\"\n\
             [time]\nclock = \"events\"\n\
             [modules]\nartefacts = \"artefacts-{instance}\"\n\
             [store]\nkind = \"cql\"\n\
             [store.cql]\nnodes = [\"{}\"]\nkeyspace = \"{name}\"\n\
             replication = \"{{'class': 'SimpleStrategy', 'replication_factor': 1}}\"\n\
             request_time = \"3s\"\nsilence_max = \"{}s\"\n\
             [pulsar]\nurl = \"{}\"\nrequest_time = \"3s\"\n\
             [pulsar.source]\ntopics = [\"{}\"]\ndead_letters = \"{}\"\nstalled_after = \"3s\"\n\
             [pulsar.sink]\ntopic = \"{}\"\n{more}",
            self.cassandra,
            SILENCE_MAX.as_secs(),
            self.pulsar,
            self.messages(),
            self.dead_letters(),
            self.told(),
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts an instance, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(&self, instance: &str) -> Result<Instance> {
        let mut started = Instance::start(&self.settings(instance, "")?)?;
        started.wait_ready()?;
        Ok(started)
    }

    /// What an instance says that refuses to start, with other settings in place of some.
    ///
    /// # Errors
    /// When it starts all the same.
    pub fn refusal(&self, from: &str, to: &str) -> Result<String> {
        let path = self.settings("refused", "")?;
        let text = fs::read_to_string(&path)?;
        if !text.contains(from) {
            bail!("`{from}` is not among the settings");
        }
        fs::write(&path, text.replace(from, to))?;
        let mut instance = Instance::start(&path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = instance.ended()? {
                let said = instance.log()?;
                if status.success() {
                    bail!("it ended as if all were well: {said}");
                }
                return Ok(said);
            }
            if instance.address()?.is_some() || Instant::now() > deadline {
                bail!("it did not refuse `{to}`: {}", instance.log()?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Changes the stage's tables behind everybody's back: `{}` stands for the keyspace.
    ///
    /// # Errors
    /// When Cassandra refuses it.
    pub fn meddle(&self, cql: &str) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let session = SessionBuilder::new().known_node(&self.cassandra).build().await?;
            session.query_unpaged(cql.replace("{}", &self.name), ()).await?;
            Ok(())
        })
    }

    /// When the timers that are in the table of a user are due, in milliseconds since 1970.
    fn timers(&self, user: &str) -> Result<Vec<i64>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let session = SessionBuilder::new().known_node(&self.cassandra).build().await?;
            let query = format!(
                "SELECT at FROM {}.timers WHERE workspace = ? AND user = ? ALLOW FILTERING",
                self.name
            );
            let rows = session.query_unpaged(query, (WORKSPACE, user)).await?.into_rows_result()?;
            let found = rows.rows::<(i64,)>()?;
            Ok(found.map(|row| row.map(|(at,)| at)).collect::<Result<_, _>>()?)
        })
    }

    /// What is wrong with what is kept of a user: which of the events that were sent are missing and which are
    /// there twice; and the timers that she is found by.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn amiss(&self, load: &Load, user: &str) -> Result<String> {
        let config = muster::config::Config::read(&self.settings("looking", "")?)?;
        let settings = muster::service::cql_settings(&config.store)?;
        let store = CqlStore::open(&settings, CqlMetrics::default())?;
        let key = UserKey { workspace: WORKSPACE.into(), user: user.into() };
        let mut kept: Vec<(Time, Arc<str>)> = store
            .history(&key, None, Time::MIN, Time::MAX)?
            .into_iter()
            .map(|arrival| (arrival.event.time, arrival.event.name.clone()))
            .collect();
        kept.sort();
        let hint = store.user(&key)?.and_then(|record| record.stamp.hint);
        let mut sent = BTreeSet::new();
        for (_, json) in load.all().filter(|(of, _)| of == user) {
            let decoded = muster::decode::decode(json.as_bytes(), None);
            let message = decoded.map_err(|refused| anyhow::anyhow!("{refused}"))?.message;
            let events = message.into_iter().flat_map(|message| message.events);
            sent.extend(events.map(|event| (event.time, event.name.clone())));
        }
        let twice: Vec<_> = kept.windows(2).filter(|two| two[0] == two[1]).collect();
        let missing: Vec<_> = sent.iter().filter(|event| !kept.contains(event)).collect();
        Ok(format!(
            "{user} has {} events of {}, twice {twice:?}, missing {missing:?}, and is found under {hint:?}, by \
             timers at {:?}",
            kept.len(),
            sent.len(),
            self.timers(user)?
        ))
    }

    /// Runs the command with a file of settings, to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn command(&self, arguments: &[&str], settings: &Path) -> Result<String> {
        let output = Command::new(muster()?).args(arguments).arg(settings).output()?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if !output.status.success() {
            bail!("`muster {}` failed: {said}", arguments.join(" "));
        }
        Ok(said)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A node that has hundreds of tables does nothing but look after them. One that is gone needs none of
        // this, and the folder is in nobody's way when it stays.
        self.meddle("DROP KEYSPACE IF EXISTS {}").ok();
        if !self.is_kept.load(Ordering::Relaxed) {
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

/// Waits until something is so.
///
/// # Errors
/// When it cannot be looked at, or is not so in time: with what was last seen.
pub fn until(what: &str, so: impl FnMut() -> Result<Result<(), String>>) -> Result<()> {
    until_within(PATIENCE, what, so)
}

/// The same, with another patience.
///
/// # Errors
/// As with [`until`].
pub fn until_within(
    patience: Duration,
    what: &str,
    mut so: impl FnMut() -> Result<Result<(), String>>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match so()? {
            Ok(()) => return Ok(()),
            Err(seen) if Instant::now() > deadline => {
                bail!("not within {} s: {what}: {seen}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn target() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from)
}

/// The command, which lies beside this program or above the folder that tests are in.
fn muster() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("muster-service")).find(|path| path.exists());
    found.context("no `muster-service` beside this program: build the package's programs first")
}
