//! Breaks a cluster in every way that it must withstand, again and again, and says of each how it went.
//!
//! Each round has topics, a keyspace and instances of its own. Messages are sent while the fault happens;
//! then who is in which audience must be as a replay of the same messages says, by the index of members, by
//! each user's own row, and by the transitions that were told, each user's numbered without a gap.

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use muster_rig::{CassandraOptions, CassandraServer, PulsarOptions, PulsarServer};
use muster_tests::cluster::{
    Instance, Load, Members, SILENCE_MAX, Stage, Told, WORKSPACE, expected, read_told, settled,
    until,
};
use muster_tests::dataset::Dataset;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Partitions of the messages' topic: more than there are ever instances.
const PARTITIONS: u32 = 4;
const USERS: u64 = 150;
const MESSAGES: usize = 3_000;
/// How long sending takes, so that the fault falls into it.
const SENDING: Duration = Duration::from_secs(6);
/// Users whose commit did not count, since another instance had written them.
const OVERTAKEN: &str = "muster_overtaken_total";
/// In so many rounds of pausing, somebody's write is late.
const ROUNDS_TELLING: u32 = 5;
/// How long the brokers believe in a connection that says nothing, and a little more.
const PULSAR_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Parser)]
#[command(about = "Break a cluster on real servers, and check what comes of it")]
struct Args {
    /// Rounds of each fault
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// How long servers are unreachable, in seconds
    #[arg(long, default_value_t = 60)]
    outage: u64,
    /// What the rounds are drawn from; the time when it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// Which faults; all when none are named
    faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// kill -9 of an instance at any moment, under load
    Kill,
    /// An instance paused past its ownership and resumed
    Pause,
    /// Instances 1 -> 3 -> 2 under load
    Scale,
    /// Restart of Pulsar
    PulsarRestart,
    /// Restart of Cassandra
    CassandraRestart,
    /// Pulsar unreachable
    PulsarOutage,
    /// Cassandra unreachable
    CassandraOutage,
    /// A topic redelivered from the beginning
    Redelivery,
    /// Wrong credentials, missing table, newer schema, wrong topic
    Refusals,
    /// Real data: the clickstream
    Clickstream,
    /// Real data: the purchase history, which takes long
    Cdnow,
}

/// Servers that all rounds share.
struct Servers {
    cassandra: CassandraServer,
    pulsar: PulsarServer,
}

/// A round under way: a stage, what is sent through it, and what must come of it.
struct Round {
    stage: Stage,
    load: Load,
    expected: Members,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let faults = match args.faults.is_empty() {
        true => Fault::value_variants().to_vec(),
        false => args.faults.clone(),
    };
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    say(&format!("seed {seed}, {} rounds of each", args.rounds));
    let mut servers = Servers {
        cassandra: CassandraServer::start(CassandraOptions::default())?,
        pulsar: PulsarServer::start(PulsarOptions::default())?,
    };
    let mut failed = 0;
    for fault in faults {
        let begun = Instant::now();
        let is_data = matches!(fault, Fault::Clickstream | Fault::Cdnow);
        let rounds = if is_data { 1 } else { args.rounds };
        let (mut broken, mut seen) = (0, Outcome::default());
        for round in 1..=rounds {
            match servers.round(fault, Duration::from_secs(args.outage)) {
                Ok(outcome) => seen.add(&outcome),
                Err(error) => {
                    broken += 1;
                    say(&format!("{fault:?}, round {round}: {error:#}"));
                }
            }
        }
        if fault == Fault::Pause && rounds >= ROUNDS_TELLING && seen.overtaken == 0.0 {
            say("Pause: nobody was overtaken in any round, so that no late write was fenced off");
            broken = rounds;
        }
        let verdict = if broken == 0 { "held" } else { "BROKEN" };
        say(&format!(
            "{verdict}: {fault:?}, {} of {rounds} rounds in {} s, {seen}",
            rounds - broken,
            begun.elapsed().as_secs(),
        ));
        failed += u32::from(broken > 0);
    }
    ensure!(failed == 0, "{failed} faults were not withstood");
    Ok(())
}

/// What is seen of a round beside that it went well.
#[derive(Default)]
struct Outcome {
    repetitions: u64,
    overtaken: f64,
    /// How long it took until others had taken what came for an instance that was killed.
    taken_over: Option<Duration>,
}

impl Servers {
    fn round(&mut self, fault: Fault, outage: Duration) -> Result<Outcome> {
        match fault {
            Fault::Kill => self.kill(),
            Fault::Pause => self.pause(),
            Fault::Scale => self.scale(),
            Fault::PulsarRestart => self.while_sending(|servers| servers.pulsar.restart()),
            Fault::CassandraRestart => self.while_sending(|servers| servers.cassandra.restart()),
            Fault::PulsarOutage => self.outage(outage, true),
            Fault::CassandraOutage => self.outage(outage, false),
            Fault::Redelivery => self.redelivery(),
            Fault::Refusals => self.refusals(),
            Fault::Clickstream => self.data(Dataset::Clickstream, "clickstream"),
            Fault::Cdnow => self.data(Dataset::Cdnow, "cdnow"),
        }
    }

    fn stage(&self, rules: &Path) -> Result<Stage> {
        let (pulsar, admin) = (self.pulsar.service_url(), self.pulsar.admin());
        Stage::new(self.cassandra.address(), pulsar, admin, rules, PARTITIONS)
    }

    fn shop(&self) -> Result<Round> {
        let rules = project("examples/shop/audiences.yaml");
        let (load, expected) = loop {
            let load = Load::new(fastrand::u64(..), USERS, MESSAGES)?;
            if let Some(expected) = settled(&rules, &load)? {
                break (load, expected);
            }
        };
        ensure!(expected.len() > 10, "hardly anybody is in an audience: the load is no load");
        Ok(Round { stage: self.stage(&rules)?, load, expected })
    }

    fn kill(&self) -> Result<Outcome> {
        let round = self.shop()?;
        let mut steady = round.stage.start("steady")?;
        let mut victim = round.stage.start("victim")?;
        thread::scope(|scope| {
            let sending = scope.spawn(|| round.load.send(&round.stage, SENDING));
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(fastrand::u64(200..2_000)));
                victim.kill()?;
                victim = round.stage.start("victim")?;
            }
            sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?
        })?;
        let outcome = round.check(&mut steady)?.and_overtaken(&mut [&mut steady, &mut victim])?;
        let (_, last) = round.load.messages.last().context("a load without messages")?;
        let more = Load::of(Vec::new(), latest_ms(last)?)?;
        victim.kill()?;
        let begun = Instant::now();
        more.send(&round.stage, Duration::ZERO)?;
        until("others have taken what came", || round.stage.is_drained())?;
        Ok(Outcome { taken_over: Some(begun.elapsed()), ..outcome })
    }

    fn pause(&self) -> Result<Outcome> {
        let round = self.shop()?;
        let mut steady = round.stage.start("steady")?;
        let mut sleeper = round.stage.start("sleeper")?;
        let before = thread::scope(|scope| {
            let sending = scope.spawn(|| round.load.send(&round.stage, SENDING));
            thread::sleep(Duration::from_millis(fastrand::u64(500..3_000)));
            let before = sleeper.metric(OVERTAKEN)?;
            sleeper.pause()?;
            thread::sleep(PULSAR_PATIENCE.max(2 * SILENCE_MAX));
            sleeper.resume()?;
            sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?.map(|()| before)
        })?;
        let outcome = round.check(&mut steady)?;
        // What it wrote too late.
        let overtaken = sleeper.metric(OVERTAKEN)? - before;
        Ok(Outcome { overtaken, ..outcome })
    }

    fn scale(&self) -> Result<Outcome> {
        let round = self.shop()?;
        let mut first = round.stage.start("first")?;
        let (mut second, third) = thread::scope(|scope| {
            let sending = scope.spawn(|| round.load.send(&round.stage, SENDING));
            thread::sleep(Duration::from_millis(fastrand::u64(200..1_500)));
            let second = round.stage.start("second")?;
            let third = round.stage.start("third")?;
            thread::sleep(Duration::from_millis(fastrand::u64(200..1_500)));
            third.stop()?;
            let sent = sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?;
            sent.map(|()| (second, ()))
        })?;
        let () = third;
        round.check(&mut first)?.and_overtaken(&mut [&mut first, &mut second])
    }

    /// Breaks something while messages are sent to two instances.
    fn while_sending(&mut self, fault: impl FnOnce(&mut Servers) -> Result<()>) -> Result<Outcome> {
        let round = self.shop()?;
        let mut instances = [round.stage.start("one")?, round.stage.start("two")?];
        thread::scope(|scope| {
            let sending = scope.spawn(|| round.load.send(&round.stage, SENDING));
            thread::sleep(Duration::from_millis(fastrand::u64(200..3_000)));
            fault(self)?;
            sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?
        })?;
        let [one, two] = &mut instances;
        round.check(one)?.and_overtaken(&mut [one, two])
    }

    /// Makes a server unreachable, which the instances must say.
    fn outage(&mut self, outage: Duration, of_pulsar: bool) -> Result<Outcome> {
        let round = self.shop()?;
        let mut instances = [round.stage.start("one")?, round.stage.start("two")?];
        let stopped = |stop: bool, servers: &Servers| match (of_pulsar, stop) {
            (true, true) => servers.pulsar.pause(),
            (true, false) => servers.pulsar.resume(),
            (false, true) => servers.cassandra.pause(),
            (false, false) => servers.cassandra.resume(),
        };
        thread::scope(|scope| {
            let sending = scope.spawn(|| round.load.send(&round.stage, SENDING));
            thread::sleep(Duration::from_millis(fastrand::u64(200..3_000)));
            stopped(true, self)?;
            let begun = Instant::now();
            let servers: &[&str] = if of_pulsar { &["source", "sink"] } else { &["store"] };
            let told = said_to_wait(&mut instances, servers);
            thread::sleep(outage.saturating_sub(begun.elapsed()));
            stopped(false, self)?;
            told?;
            sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?
        })?;
        let [one, two] = &mut instances;
        let outcome = round.check(one)?;
        until("both are ready again", || {
            Ok(match (one.ready()?.0, two.ready()?.0) {
                (200, 200) => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })?;
        outcome.and_overtaken(&mut [one, two])
    }

    fn redelivery(&self) -> Result<Outcome> {
        let round = self.shop()?;
        let mut first = round.stage.start("first")?;
        round.load.send(&round.stage, Duration::ZERO)?;
        let before = round.check_told(&mut first)?;
        until("everything is acknowledged", || round.stage.is_drained())?;
        first.stop()?;
        for partition in 0..PARTITIONS {
            let topic = format!("{}-partition-{partition}", round.stage.messages());
            round.stage.admin.rewind(&topic, "muster")?;
        }
        let mut second = round.stage.start("second")?;
        let all = round.load.all().count() as f64;
        until("everything came again", || {
            let seen = second.metric("muster_messages_total{workspace=\"shop\"}")?;
            Ok(if seen >= all { Ok(()) } else { Err(format!("{seen} of {all} messages")) })
        })?;
        until("everything is acknowledged again", || round.stage.is_drained())?;
        let after = round.check_told(&mut second)?;
        ensure!(
            after.transitions == before.transitions && after.repetitions == before.repetitions,
            "{} transitions became {}, {} repetitions {}",
            before.transitions,
            after.transitions,
            before.repetitions,
            after.repetitions
        );
        let written = second.metric("muster_cql_seconds_count{operation=\"write_user\"}")?;
        ensure!(written == 0.0, "{written} users were written");
        Ok(Outcome { repetitions: after.repetitions, ..Outcome::default() })
    }

    fn refusals(&self) -> Result<Outcome> {
        let rules = project("examples/shop/audiences.yaml");
        let stage = self.stage(&rules)?;
        let with = |from: &str, to: &str, says: &[&str]| -> Result<()> {
            let said = stage.refusal(from, to)?;
            for part in says {
                ensure!(said.contains(part), "`{to}` is refused without saying `{part}`: {said}");
            }
            Ok(())
        };
        let topic = |name: &str| format!("topics = [\"{name}\"]");
        with(&topic(&stage.messages()), &topic("nowhere"), &["nowhere"])?;
        let sink = |name: &str| format!("[pulsar.sink]\ntopic = \"{name}\"");
        with(&sink(&stage.told()), &sink("nowhere"), &["nowhere"])?;
        let node = |address: &str| format!("nodes = [\"{address}\"]");
        with(&node(&stage.cassandra), &node("127.0.0.1:1"), &["cannot reach the database"])?;
        with(
            &format!("keyspace = \"{}\"", stage.name),
            "keyspace = \"absent\"",
            &["`absent` has no tables", "muster store init"],
        )?;
        let passwords = CassandraServer::start(CassandraOptions { passwords: true })?;
        with(&node(&stage.cassandra), &node(passwords.address()), &["refuses the user"])?;
        let tokens = PulsarServer::start(PulsarOptions { tokens: true })?;
        let url = |url: &str| format!("url = \"{url}\"");
        with(&url(&stage.pulsar), &url(tokens.service_url()), &["token"])?;
        let keyspace = format!("keyspace = \"{}\"", stage.name);
        let elsewhere = format!("{keyspace}\ndatacenter = \"nowhere\"");
        with(&keyspace, &elsewhere, &["no data centre `nowhere`", "store.cql.datacenter"])?;
        stage.meddle("DROP TABLE {}.users")?;
        with(&keyspace, &keyspace, &["lacks tables `users`", "muster store init"])?;
        stage.meddle("INSERT INTO {}.format (id, format) VALUES (0, 99)")?;
        with(&keyspace, &keyspace, &["have format 99", "use the version that made them"])?;
        stage.meddle("DROP TABLE {}.format")?;
        with(&keyspace, &keyspace, &["has no tables", "muster store init"])?;
        Ok(Outcome::default())
    }

    fn data(&self, dataset: Dataset, rules: &str) -> Result<Outcome> {
        let rules = project(&format!("tests/data/{rules}.yaml"));
        let messages = dataset.messages()?;
        let last = messages.last().context("a set of data without messages")?;
        let end = latest_ms(last)? + 86_400_000;
        let messages = messages.into_iter().map(|json| in_shop(&json)).collect::<Result<_>>()?;
        let load = Load::of(messages, end)?;
        let expected = expected(&rules, &load)?;
        let round = Round { stage: self.stage(&rules)?, load, expected };
        let mut one = round.stage.start("one")?;
        let mut two = round.stage.start("two")?;
        let begun = Instant::now();
        round.load.send(&round.stage, Duration::ZERO)?;
        let outcome = round.check(&mut one)?.and_overtaken(&mut [&mut one, &mut two])?;
        say(&format!(
            "{dataset:?}: {} messages, {} users in audiences, as a replay says, in {} s",
            round.load.messages.len(),
            round.expected.len(),
            begun.elapsed().as_secs()
        ));
        Ok(outcome)
    }
}

impl Round {
    /// Waits until everything is as it must be.
    fn check(&self, instance: &mut Instance) -> Result<Outcome> {
        let repetitions = self.check_told(instance)?.repetitions;
        Ok(Outcome { repetitions, ..Outcome::default() })
    }

    /// What can be said of a round that went wrong.
    fn amiss(&self, instance: &mut Instance) -> String {
        let mut said = format!("what instances logged is in `{}`", self.stage.keep());
        let Ok(found) = instance.members() else { return said };
        let users = found.keys().chain(self.expected.keys());
        let differing: BTreeSet<&String> =
            users.filter(|user| found.get(*user) != self.expected.get(*user)).collect();
        for user in differing.into_iter().take(9) {
            let amiss = self.stage.amiss(&self.load, user);
            said += &format!("; {}", amiss.unwrap_or_else(|error| format!("{error:#}")));
            let own = instance.get(&format!("/v1/workspaces/{WORKSPACE}/users/{user}"));
            said += &own.map_or_else(|error| format!(" {error:#}"), |(_, own)| format!(" {own}"));
        }
        for partition in self.stage.subscriptions() {
            said += &format!("; {}", partition.unwrap_or_else(|error| format!("{error:#}")));
        }
        said
    }

    fn check_told(&self, instance: &mut Instance) -> Result<Told> {
        self.hold(instance).with_context(|| self.amiss(instance))
    }

    fn hold(&self, instance: &mut Instance) -> Result<Told> {
        instance.wait_members(&self.expected)?;
        for (user, audiences) in self.expected.iter().take(200) {
            let mut own = instance.audiences(user)?;
            own.sort();
            ensure!(own.iter().eq(audiences), "{user}: her row says {own:?}, not {audiences:?}");
        }
        let told = read_told(&self.stage, &self.expected)?;
        if let Some(problem) = told.problems.first() {
            bail!("{} problems with what was told: {problem}", told.problems.len());
        }
        Ok(told)
    }
}

impl Outcome {
    /// What was seen of another round.
    fn add(&mut self, other: &Outcome) {
        self.repetitions += other.repetitions;
        self.overtaken += other.overtaken;
        self.taken_over = self.taken_over.max(other.taken_over);
    }

    fn and_overtaken(mut self, instances: &mut [&mut Instance]) -> Result<Outcome> {
        for instance in instances {
            self.overtaken += instance.metric(OVERTAKEN)?;
        }
        Ok(self)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} repetitions told, {} users overtaken", self.repetitions, self.overtaken)?;
        match self.taken_over {
            Some(longest) => write!(f, ", taken over within {:.1} s", longest.as_secs_f64()),
            None => Ok(()),
        }
    }
}

/// Waits until each of the instances has said that it waits for one of these, and so have its figures.
fn said_to_wait(instances: &mut [Instance; 2], servers: &[&str]) -> Result<()> {
    let mut is_silent = [true; 2];
    until("each instance says what it waits for", || {
        for (instance, is_silent) in instances.iter_mut().zip(&mut is_silent) {
            let (status, said) = instance.ready()?;
            let mut named =
                servers.iter().filter(|what| said.contains(&format!("waiting for the {what}")));
            if let Some(what) = named.next()
                && status == 503
                && instance.metric(&format!("muster_waiting{{for=\"{what}\"}}"))? == 1.0
            {
                *is_silent = false;
            }
        }
        let silent = is_silent.iter().filter(|is_silent| **is_silent).count();
        Ok(if silent == 0 { Ok(()) } else { Err(format!("{silent} have not said so")) })
    })
}

fn latest_ms(message: &str) -> Result<i64> {
    let decoded = muster::decode::decode(message.as_bytes(), None);
    let decoded = decoded.map_err(|refused| anyhow::anyhow!("{refused}"))?;
    let latest = decoded.message.and_then(|message| message.latest());
    Ok(latest.context("a message without a time")?.milliseconds())
}

/// The same message, in the workspace that rounds have.
fn in_shop(message: &str) -> Result<String> {
    let mut message: serde_json::Value = serde_json::from_str(message)?;
    message["workspace"] = WORKSPACE.into();
    Ok(message.to_string())
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[allow(clippy::print_stdout, reason = "this is what it is for")]
fn say(line: &str) {
    println!("{line}");
}
