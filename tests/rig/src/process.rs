//! A server's process: started so that it cannot outlive its test, killed, paused, resumed.
use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How much of a log an error message quotes.
const TAIL_LINES: usize = 30;

/// How long a server may take until it answers: these machines are shared.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running program and its log.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with its output added to `log`. It dies with this process.
    pub(crate) fn start(program: &str, arguments: &[String], log: &Path) -> Result<Process> {
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out);
        Ok(Process { child: spawn(command)?, log: log.to_path_buf() })
    }

    /// Waits until `ready` says so; fails, with the end of the log, if the program ends before.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it was ready:\n{}", self.tail());
            }
            if Instant::now() > deadline {
                let seconds = READY_WITHIN.as_secs();
                bail!("the server was not ready within {seconds} s:\n{}", self.tail());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it where it stands: connections stay open and nothing answers.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("cannot signal the server")
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody to tell in a destructor.
        self.kill().ok();
    }
}

/// Starts the command from a thread that lasts as long as this process: Linux sends the signal of a
/// parent's death when the *thread* that started the child ends, and the harness gives each test a
/// thread of its own.
fn spawn(command: Command) -> Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in receiver {
                // Whoever asked may have gone; the child then dies with this process.
                answer.send(command.spawn()).ok();
            }
        });
        sender
    });
    let (answer, started) = mpsc::channel();
    orders.send((command, answer)).context("the thread that starts servers is gone")?;
    let started = started.recv().context("the thread that starts servers is gone")?;
    started.context("cannot run `setpriv`: install util-linux")
}
