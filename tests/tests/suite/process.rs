//! The command in a process of its own.

use crate::http::{PATIENCE, get, until};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

/// The command in a process of its own.
pub(crate) struct Service {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

/// Starts the command, with files of at most so many kilobytes. What it logs is in `log`.
pub(crate) fn spawn(folder: &Path, kilobytes_max: Option<u32>) -> Child {
    let limit = kilobytes_max.map_or(String::new(), |k| format!("ulimit -f {k}; trap '' XFSZ; "));
    Command::new("bash")
        .args(["-c", &format!("{limit}exec \"$0\" serve --config \"$1\"")])
        .arg(env!("CARGO_BIN_EXE_muster-service"))
        .arg(folder.join("muster.toml"))
        .env("RUST_LOG", "info")
        .stderr(File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

impl Service {
    pub(crate) fn start(folder: &Path, kilobytes_max: Option<u32>) -> Service {
        let service = Service::listening(folder, kilobytes_max);
        until("being ready", || get(service.address, "/readyz").status == 200);
        service
    }

    /// Starts it, and waits until it listens, in whatever language.
    pub(crate) fn listening(folder: &Path, kilobytes_max: Option<u32>) -> Service {
        let process = spawn(folder, kilobytes_max);
        let log = folder.join("log");
        let mut address = None;
        until("listening", || {
            let text = fs::read_to_string(&log).unwrap();
            let told =
                text.split_once("listening address=").and_then(|(_, rest)| rest.split_once('\n'));
            address = told.map(|(address, _)| address.trim().parse().unwrap());
            address.is_some()
        });
        Service { process, address: address.unwrap() }
    }

    /// Tells it something, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends it, and gives whether it says that all went well.
    pub(crate) fn stop(mut self) -> bool {
        self.signal("-TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            assert!(started.elapsed() < PATIENCE, "the service does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; a process that has ended cannot be killed.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
