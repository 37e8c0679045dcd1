//! An instance in a process of its own.

use super::{Members, PATIENCE, WORKSPACE, muster, until_within};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// What tells how a partition changed hands.
const LOGGED: &str = "info,muster_pulsar=debug";

/// A running instance. Dropping it kills it.
pub struct Instance {
    process: Child,
    log: PathBuf,
    /// Where its own begins there.
    begin: u64,
    address: Option<SocketAddr>,
}

impl Instance {
    /// Starts one with these settings. What it logs is beside them, behind what was logged with them before.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(settings: &Path) -> Result<Instance> {
        let log = settings.with_extension("log");
        let begin = fs::metadata(&log).map_or(0, |log| log.len());
        let process = Command::new(muster()?)
            .args(["serve", "--config"])
            .arg(settings)
            .env("RUST_LOG", LOGGED)
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Instance { process, log, begin, address: None })
    }

    /// What it logged.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn log(&self) -> Result<String> {
        let mut log = File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.begin))?;
        Ok(io::read_to_string(log)?)
    }

    /// Where it listens, once it does.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn address(&mut self) -> Result<Option<SocketAddr>> {
        if self.address.is_none() {
            let log = self.log()?;
            let told = log.split_once("listening address=").and_then(|(_, t)| t.split_once('\n'));
            self.address = told.map(|(address, _)| address.trim().parse()).transpose()?;
        }
        Ok(self.address)
    }

    /// How it ended, once it did.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends, or does not get ready in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended()? {
                bail!("the instance ended with {status}: {}", self.log()?);
            }
            if self.address()?.is_some() && self.ready()?.0 == 200 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the instance does not get ready: {}", self.log()?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it says of its readiness.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ready(&mut self) -> Result<(u16, String)> {
        self.get("/readyz")
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&mut self, path: &str) -> Result<(u16, String)> {
        let mut answer = self.ask(path)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    fn ask(&mut self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let address = self.address()?.context("the instance does not listen yet")?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        Ok(agent.get(format!("http://{address}{path}")).call()?)
    }

    /// A figure, by its name and labels as they are written; 0 where there is none yet.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metric(&mut self, name: &str) -> Result<f64> {
        let text = self.get("/metrics")?.1;
        let found =
            text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(found.sum())
    }

    /// Who is in which audience, by the index of members.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn members(&mut self) -> Result<Members> {
        let mut members = Members::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/workspaces/{WORKSPACE}/memberships?limit=10000{after}");
            let mut answer = self.ask(&path)?;
            let next = answer.headers().get("muster-next").and_then(|next| next.to_str().ok());
            let next = next.map(|next| format!("&after={next}"));
            let body = answer.body_mut().read_to_string()?;
            if answer.status() != 200 {
                bail!("{path} is answered with {}: {body}", answer.status());
            }
            for line in body.lines() {
                let membership: Value = serde_json::from_str(line)?;
                let text = |key: &str| membership[key].as_str().unwrap_or_default().to_string();
                members.entry(text("user")).or_default().insert(text("audience"));
            }
            match next {
                Some(next) => after = next,
                None => return Ok(members),
            }
        }
    }

    /// The audiences of a user, by her own row.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn audiences(&mut self, user: &str) -> Result<Vec<String>> {
        let path = format!("/v1/workspaces/{WORKSPACE}/users/{user}/audiences");
        let (status, body) = self.get(&path)?;
        if status != 200 {
            bail!("{path} is answered with {status}: {body}");
        }
        let found: Vec<Value> = serde_json::from_str(&body)?;
        let ids = found.iter().filter_map(|membership| membership["audience"].as_str());
        Ok(ids.map(str::to_string).collect())
    }

    /// Waits until the index of members says this.
    ///
    /// # Errors
    /// When it does not in time: with some of the differences.
    pub fn wait_members(&mut self, expected: &Members) -> Result<()> {
        // A set of data has some hundred thousand timers that are due at its end, all at once.
        let patience = PATIENCE + Duration::from_millis(20) * expected.len() as u32;
        until_within(patience, "the memberships are as those of a replay", || {
            // While a server is away it answers that it waits.
            let found = match self.members() {
                Ok(found) => found,
                Err(error) => return Ok(Err(format!("{error:#}"))),
            };
            let users = found.keys().chain(expected.keys());
            let differing: Vec<&String> =
                users.filter(|user| found.get(*user) != expected.get(*user)).collect();
            Ok(match differing.first() {
                None => Ok(()),
                Some(user) => Err(format!(
                    "{} users differ: {user} is in {:?} and not in {:?}",
                    differing.len(),
                    found.get(*user),
                    expected.get(*user)
                )),
            })
        })
    }

    /// Stops it where it stands.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not, or says that something went wrong.
    pub fn stop(mut self) -> Result<()> {
        self.signal("-TERM")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the instance ended with {status}: {}", self.log()?),
                None if Instant::now() > deadline => bail!("it does not end: {}", self.log()?),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status()?;
        if !status.success() {
            bail!("cannot send {name} to the instance");
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and there is nobody to tell in a destructor.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
