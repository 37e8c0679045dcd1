//! A Pulsar broker with its bookie and its metadata in one process.
mod admin;
mod token;

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

use crate::{
    Identity,
    process::Process,
    server::{fetch, free_port, run_directory},
};

pub use admin::PulsarAdmin;

/// Names the service URL of a broker to share; see [`shared`].
pub const SERVICE_VARIABLE: &str = "MUSTER_RIG_PULSAR";

/// Names the admin URL of a broker to share; see [`shared`].
pub const ADMIN_VARIABLE: &str = "MUSTER_RIG_PULSAR_ADMIN";

/// What Pulsar reaches into on Java 17.
const OPENED: [&str; 6] = [
    "java.base/sun.net",
    "java.base/java.lang",
    "java.base/java.util.zip",
    "java.base/java.nio",
    "java.base/jdk.internal.misc",
    "java.management/sun.management",
];

/// A broker that was killed finds its bookie's registration still there when it starts, and takes it over by
/// deleting it. Now and then it takes the deletion for a loss of its own lock, takes the lock again by
/// deleting it, and so on, thousands of times a minute, with nothing left for anybody else: then it is
/// started once more. A few times are usual.
const REGISTRATIONS_MAX: usize = 100;
const REGISTERED_AGAIN: &str = "Lock on resource /ledgers/available/";
const STARTS_MAX: usize = 10;

/// How a broker differs from the usual one, which takes anyone and creates no topic by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PulsarOptions {
    /// Demand a token of everybody; [`PulsarServer::token`] makes one.
    pub tokens: bool,
}

/// A broker of one's own. Dropping it ends it and removes its data.
pub struct PulsarServer {
    process: Option<Process>,
    arguments: Vec<String>,
    directory: PathBuf,
    service_url: String,
    secure_url: Option<String>,
    admin: PulsarAdmin,
    secret: Option<[u8; 32]>,
    /// Held so that nobody takes the directory for abandoned.
    _lock: File,
}

impl PulsarServer {
    /// Starts a broker on free ports and waits until it answers, which takes some 15 s.
    pub fn start(options: PulsarOptions) -> Result<PulsarServer> {
        PulsarServer::launch(options, None)
    }

    /// The same, listening for TLS too.
    pub fn start_secured(identity: &Identity) -> Result<PulsarServer> {
        PulsarServer::launch(PulsarOptions::default(), Some(identity))
    }

    fn launch(options: PulsarOptions, identity: Option<&Identity>) -> Result<PulsarServer> {
        let jars = fetch("pulsar")?;
        let (directory, lock) = run_directory("pulsar")?;
        let (service, web, bookie) = (free_port()?, free_port()?, free_port()?);
        let secret = options.tokens.then(|| std::array::from_fn(|_| fastrand::u8(..)));
        let mut configuration = settings(service, web, secret.as_ref());
        let mut secure_url = None;
        if let Some(identity) = identity {
            let port = free_port()?;
            configuration.push_str(&secured(port, identity));
            secure_url = Some(format!("pulsar+ssl://127.0.0.1:{port}"));
        }
        fs::write(directory.join("broker.conf"), configuration)?;
        let token = secret.map(|secret| token::token(&secret, token::ADMINISTRATOR));
        let mut server = PulsarServer {
            process: None,
            arguments: arguments(&jars, &directory, bookie),
            directory,
            service_url: format!("pulsar://127.0.0.1:{service}"),
            secure_url,
            admin: PulsarAdmin::new(format!("http://127.0.0.1:{web}"), token),
            secret,
            _lock: lock,
        };
        server.restart()?;
        Ok(server)
    }

    /// Where clients connect: `pulsar://…`.
    pub fn service_url(&self) -> &str {
        &self.service_url
    }

    /// Where clients connect that speak TLS: `pulsar+ssl://…`, where it listens for them.
    pub fn secure_url(&self) -> Option<&str> {
        self.secure_url.as_deref()
    }

    /// Where the admin REST API listens: `http://…`.
    pub fn admin_url(&self) -> &str {
        self.admin.url()
    }

    /// Its administration.
    pub fn admin(&self) -> &PulsarAdmin {
        &self.admin
    }

    /// A token for `role`, which this broker believes; `None` when it asks for none.
    pub fn token(&self, role: &str) -> Option<String> {
        self.secret.map(|secret| token::token(&secret, role))
    }

    /// Ends the broker at once, as `kill -9` does. Its data stays.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts it again, on the same ports and data, killing it first where it still runs.
    pub fn restart(&mut self) -> Result<()> {
        let log = self.directory.join("broker.log");
        for _ in 0..STARTS_MAX {
            self.kill()?;
            let begin = fs::metadata(&log).map_or(0, |log| log.len());
            let mut process = Process::start("java", &self.arguments, &log)?;
            let is_astray = || registrations(&log, begin) > REGISTRATIONS_MAX;
            process.wait_until(|| self.admin.is_ready() || is_astray())?;
            if !is_astray() {
                self.process = Some(process);
                return Ok(());
            }
        }
        bail!("in {STARTS_MAX} starts the broker was busy with registering its bookie")
    }

    /// Stops it where it stands: its connections stay open, and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.running()?.pause()
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) -> Result<()> {
        self.running()?.resume()
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the broker was killed: call `restart` first")
    }
}

impl Drop for PulsarServer {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next server that starts.
        self.kill().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// A broker that tests share, each with topics of its own names.
pub struct SharedPulsar {
    /// Where clients connect.
    pub service_url: String,
    /// Its administration.
    pub admin: PulsarAdmin,
}

/// The broker that [`SERVICE_VARIABLE`] and [`ADMIN_VARIABLE`] name, else one that is started for
/// this process and dies with it.
pub fn shared() -> Result<&'static SharedPulsar> {
    static SHARED: OnceLock<Result<SharedPulsar, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| find_or_start().map_err(|error| format!("{error:#}")));
    shared.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn find_or_start() -> Result<SharedPulsar> {
    if let (Ok(service_url), Ok(admin)) =
        (std::env::var(SERVICE_VARIABLE), std::env::var(ADMIN_VARIABLE))
    {
        return Ok(SharedPulsar { service_url, admin: PulsarAdmin::new(admin, None) });
    }
    let server = PulsarServer::start(PulsarOptions::default())?;
    let shared = SharedPulsar {
        service_url: server.service_url().to_owned(),
        admin: server.admin().clone(),
    };
    // Statics are never dropped; the kernel ends the broker with this process.
    std::mem::forget(server);
    Ok(shared)
}

/// How often the broker registered its bookie anew, by its log from that place on.
fn registrations(log: &Path, begin: u64) -> usize {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut log| {
        log.seek(SeekFrom::Start(begin))?;
        log.read_to_end(&mut text)
    });
    // What cannot be read yet is read when it is looked at next.
    read.map_or(0, |_| String::from_utf8_lossy(&text).matches(REGISTERED_AGAIN).count())
}

/// The arguments of `java`.
fn arguments(jars: &Path, directory: &Path, bookie: u16) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    for opened in OPENED {
        arguments.extend(["--add-opens".to_owned(), format!("{opened}=ALL-UNNAMED")]);
    }
    // Several brokers share a test machine, and none of them holds more than a few thousand
    // messages.
    arguments.extend(["-Xmx384m".to_owned(), "-XX:MaxDirectMemorySize=384m".to_owned()]);
    arguments.extend(["-cp".to_owned(), format!("{}/*", jars.display())]);
    arguments.push("org.apache.pulsar.PulsarStandaloneStarter".to_owned());
    for (name, file) in [
        ("--config", "broker.conf"),
        ("--metadata-dir", "metadata"),
        ("--bookkeeper-dir", "bookie"),
    ] {
        arguments.extend([name.to_owned(), directory.join(file).display().to_string()]);
    }
    // A bookie knows itself by its address, so the port must be the same after a restart.
    arguments.extend(["--bookkeeper-port".to_owned(), bookie.to_string()]);
    arguments.extend(["--no-functions-worker".to_owned(), "--no-stream-storage".to_owned()]);
    arguments
}

/// The broker's configuration file. What was sent is kept, though nobody has subscribed to it yet: readers of
/// transitions come when all were told, and a ledger that was closed meanwhile would be gone.
fn settings(service: u16, web: u16, secret: Option<&[u8; 32]>) -> String {
    let mut settings = format!(
        "clusterName=standalone\n\
         brokerServicePort={service}\n\
         webServicePort={web}\n\
         bindAddress=127.0.0.1\n\
         advertisedAddress=127.0.0.1\n\
         managedLedgerDefaultEnsembleSize=1\n\
         managedLedgerDefaultWriteQuorum=1\n\
         managedLedgerDefaultAckQuorum=1\n\
         allowAutoTopicCreation=false\n\
         loadBalancerEnabled=false\n\
         webSocketServiceEnabled=false\n\
         systemTopicEnabled=false\n\
         topicLevelPoliciesEnabled=false\n\
         transactionCoordinatorEnabled=false\n\
         keepAliveIntervalSeconds=5\n\
         defaultRetentionTimeInMinutes=600\n\
         defaultRetentionSizeInMB=-1\n\
         bookkeeperClientHealthCheckEnabled=false\n"
    );
    if let Some(secret) = secret {
        let own = token::token(secret, token::ADMINISTRATOR);
        let key = token::key(secret);
        settings.push_str(&format!(
            "authenticationEnabled=true\n\
             authenticationProviders=\
             org.apache.pulsar.broker.authentication.AuthenticationProviderToken\n\
             tokenSecretKey={key}\n\
             superUserRoles={role}\n\
             brokerClientAuthenticationPlugin=\
             org.apache.pulsar.client.impl.auth.AuthenticationToken\n\
             brokerClientAuthenticationParameters=token:{own}\n",
            role = token::ADMINISTRATOR,
        ));
    }
    settings
}

/// What of the configuration makes the broker listen for TLS.
fn secured(port: u16, identity: &Identity) -> String {
    format!(
        "brokerServicePortTls={port}\n\
         tlsCertificateFilePath={}\n\
         tlsKeyFilePath={}\n\
         tlsTrustCertsFilePath={}\n",
        identity.chain.display(),
        identity.key.display(),
        identity.authority.display()
    )
}
