//! A Cassandra node by itself.
use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result};

use crate::{
    Identity,
    process::Process,
    server::{fetch, free_port, run_directory},
};

/// Names the address of a node to share; see [`shared`].
pub const ADDRESS_VARIABLE: &str = "MUSTER_RIG_CASSANDRA";

/// The user that a node which asks for one begins with, and her password.
pub const SUPERUSER: (&str, &str) = ("cassandra", "cassandra");

/// What Cassandra reaches into on Java 17, by whether it is exported or opened.
const EXPORTED: [&str; 9] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "java.rmi/sun.rmi.transport.tcp",
    "jdk.attach/sun.tools.attach",
];
const OPENED: [&str; 14] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// How a node differs from the usual one, which takes anyone.
#[derive(Clone, Copy, Debug, Default)]
pub struct CassandraOptions {
    /// Demand a password; [`SUPERUSER`] has one.
    pub passwords: bool,
}

/// A node of one's own. Dropping it ends it and removes its data.
pub struct CassandraServer {
    process: Option<Process>,
    arguments: Vec<String>,
    directory: PathBuf,
    address: String,
    /// Held so that nobody takes the directory for abandoned.
    _lock: File,
}

impl CassandraServer {
    /// Starts a node on free ports and waits until it takes connections, which takes some 20 s.
    pub fn start(options: CassandraOptions) -> Result<CassandraServer> {
        CassandraServer::launch(options, None)
    }

    /// The same, where clients have to speak TLS.
    pub fn start_secured(identity: &Identity) -> Result<CassandraServer> {
        CassandraServer::launch(CassandraOptions::default(), Some(identity))
    }

    fn launch(options: CassandraOptions, identity: Option<&Identity>) -> Result<CassandraServer> {
        let jars = fetch("cassandra")?;
        let (directory, lock) = run_directory("cassandra")?;
        let (native, storage) = (free_port()?, free_port()?);
        let mut configuration = settings(&directory, native, storage, options);
        if let Some(identity) = identity {
            // One file with both, as Cassandra wants it.
            let store = directory.join("identity.pem");
            let (key, chain) =
                (fs::read_to_string(&identity.key)?, fs::read_to_string(&identity.chain)?);
            fs::write(&store, key + &chain)?;
            configuration.push_str(&secured(&store));
        }
        fs::write(directory.join("cassandra.yaml"), configuration)?;
        let mut server = CassandraServer {
            process: None,
            arguments: arguments(&jars, &directory)?,
            directory,
            address: format!("127.0.0.1:{native}"),
            _lock: lock,
        };
        server.restart()?;
        Ok(server)
    }

    /// Where clients connect: `127.0.0.1:…`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the node at once, as `kill -9` does. Its data stays.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts it again, on the same ports and data, killing it first where it still runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let log = self.directory.join("cassandra.log");
        let mut process = Process::start("java", &self.arguments, &log)?;
        process.wait_until(|| TcpStream::connect(&self.address).is_ok())?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it where it stands: its connections stay open, and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.running()?.pause()
    }

    /// Lets a paused node go on.
    pub fn resume(&self) -> Result<()> {
        self.running()?.resume()
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the node was killed: call `restart` first")
    }
}

impl Drop for CassandraServer {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next server that starts.
        self.kill().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The address of the node that [`ADDRESS_VARIABLE`] names, else of one that is started for this
/// process and dies with it. Tests that share it each have a keyspace of their own.
pub fn shared() -> Result<&'static str> {
    static SHARED: OnceLock<Result<String, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| find_or_start().map_err(|error| format!("{error:#}")));
    shared.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn find_or_start() -> Result<String> {
    if let Ok(address) = std::env::var(ADDRESS_VARIABLE) {
        return Ok(address);
    }
    let server = CassandraServer::start(CassandraOptions::default())?;
    let address = server.address().to_owned();
    // Statics are never dropped; the kernel ends the node with this process.
    std::mem::forget(server);
    Ok(address)
}

/// The arguments of `java`.
fn arguments(jars: &Path, directory: &Path) -> Result<Vec<String>> {
    let mut arguments = vec!["-Xms768m".to_owned(), "-Xmx768m".to_owned()];
    for exported in EXPORTED {
        arguments.extend(["--add-exports".to_owned(), format!("{exported}=ALL-UNNAMED")]);
    }
    for opened in OPENED {
        arguments.extend(["--add-opens".to_owned(), format!("{opened}=ALL-UNNAMED")]);
    }
    let agent = fs::read_dir(jars)?.filter_map(|jar| Some(jar.ok()?.path())).find(|jar| {
        jar.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jamm-"))
    });
    let agent = agent.context("jamm is not among what Maven fetched")?;
    let directory = directory.display();
    arguments.extend([
        format!("-javaagent:{}", agent.display()),
        "-XX:+UseG1GC".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        "-Dio.netty.tryReflectionSetAccessible=true".to_owned(),
        format!("-Dcassandra.config=file://{directory}/cassandra.yaml"),
        format!("-Dcassandra.storagedir={directory}"),
        format!("-Dcassandra.logdir={directory}"),
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".to_owned(),
        "-Dcassandra.superuser_setup_delay_ms=0".to_owned(),
        "-Dcassandra.ring_delay_ms=100".to_owned(),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "org.apache.cassandra.service.CassandraDaemon".to_owned(),
    ]);
    Ok(arguments)
}

/// The node's configuration file.
fn settings(directory: &Path, native: u16, storage: u16, options: CassandraOptions) -> String {
    let directory = directory.display();
    let (authenticator, authorizer) = match options.passwords {
        true => ("PasswordAuthenticator", "CassandraAuthorizer"),
        false => ("AllowAllAuthenticator", "AllowAllAuthorizer"),
    };
    format!(
        "cluster_name: rig\n\
         num_tokens: 4\n\
         partitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
         data_file_directories: [{directory}/data]\n\
         commitlog_directory: {directory}/commitlog\n\
         saved_caches_directory: {directory}/caches\n\
         hints_directory: {directory}/hints\n\
         cdc_raw_directory: {directory}/cdc\n\
         commitlog_sync: batch\n\
         seed_provider:\n\
         \x20 - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n\
         \x20   parameters: [{{ seeds: '127.0.0.1:{storage}' }}]\n\
         listen_address: 127.0.0.1\n\
         rpc_address: 127.0.0.1\n\
         storage_port: {storage}\n\
         native_transport_port: {native}\n\
         endpoint_snitch: SimpleSnitch\n\
         auto_snapshot: false\n\
         cas_contention_timeout: 5000ms\n\
         authenticator: {authenticator}\n\
         authorizer: {authorizer}\n\
         role_manager: CassandraRoleManager\n"
    )
}

/// What makes it speak TLS with clients.
fn secured(store: &Path) -> String {
    format!(
        "client_encryption_options:\n\
         \x20 enabled: true\n\
         \x20 optional: false\n\
         \x20 keystore: {}\n\
         \x20 ssl_context_factory:\n\
         \x20   class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n",
        store.display()
    )
}
