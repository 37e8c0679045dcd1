//! Compiling components, in a process of its own where they may be hostile.
//!
//! How long compiling takes and how much memory it needs cannot be told from a component, and
//! nothing can interrupt it from within. So the parent runs an executable of Muster with the hidden
//! command `compile-guest`, which limits itself, reads the component from standard input and writes
//! an artefact to standard output. Whatever becomes of it costs the parent nothing.

use crate::guest::artefacts::{sealed, unsealed};
use crate::guest::engine;
use crate::guest::error::{GuestError, one_line};
use crate::guest::settings::ModuleLimits;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use wasmtime::Engine;

/// The hidden command of every executable that can compile.
pub const COMPILE_COMMAND: &str = "compile-guest";
/// How the child ends when the component is none.
pub const EXIT_MALFORMED: i32 = 3;

/// On a busy machine the child gets a part of a processor: this many times its processor time may
/// pass on the clock before it is killed.
const WALL_FACTOR: u32 = 8;
/// What the child may say of its failure in bytes.
const COMPLAINT_BYTES_MAX: u64 = 4_096;
/// Has the allocator of `muster` set no address space aside beforehand, which would use up the limit.
const ALLOCATE_AS_NEEDED: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "0");
/// What an allocator says that gets no more.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of", "Cannot allocate memory"];

/// Who compiles components.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A process of its own for each component, running that executable of Muster, under the limits
    /// of time and memory.
    Child(PathBuf),
    /// This process, without limits of time and memory: for components that are trusted.
    Here,
}

impl Compiler {
    /// A process of its own, running what this one runs, which must be an executable of Muster.
    ///
    /// # Errors
    /// When the system does not tell what this process runs.
    pub fn this_executable() -> io::Result<Compiler> {
        Ok(Compiler::Child(std::env::current_exe()?))
    }

    /// The component's code, to be loaded by an engine of the same configuration.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        component: &[u8],
        module: &Arc<str>,
        limits: &ModuleLimits,
    ) -> Result<Vec<u8>, GuestError> {
        match self {
            Compiler::Here => precompile(engine, component),
            Compiler::Child(executable) => {
                let failed = |source| GuestError::NoCompiler { path: executable.clone(), source };
                let ended = run(executable, component, limits).map_err(failed)?;
                ended.code(executable, module, limits)
            }
        }
    }
}

/// Limits this process, which is a child that compiles: it gets no more processor time and address
/// space than this, leaves no core file, and ends when its parent does.
///
/// # Errors
/// When the system refuses a limit.
pub fn limit_this_process(seconds: u64, memory_bytes: u64) -> io::Result<()> {
    let limit = |resource, most: u64, grace: u64| {
        let (current, maximum) = (Some(most), Some(most.saturating_add(grace)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    limit(Resource::Core, 0, 0)?;
    limit(Resource::As, memory_bytes, 0)?;
    // The first limit ends it with a signal that says why.
    limit(Resource::Cpu, seconds, 1)?;
    // A parent that ended before this is noticed too: there is nobody to read what is written, and
    // until then the limits hold.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Reads a component, compiles it, and writes the artefact: what the child does.
///
/// # Errors
/// [`GuestError::Malformed`] when it is no component, and whatever reading and writing bring.
pub fn compile_for_parent(mut from: impl Read, mut to: impl Write) -> Result<(), GuestError> {
    let unsupported = |reason: String| GuestError::Unsupported { reason };
    let mut component = Vec::new();
    from.read_to_end(&mut component).map_err(|error| unsupported(error.to_string()))?;
    let config = engine::config(ModuleLimits::default().stack_bytes_max);
    let engine = Engine::new(&config).map_err(|error| unsupported(one_line(&error)))?;
    let artefact = sealed(&precompile(&engine, &component)?);
    to.write_all(&artefact).map_err(|error| unsupported(error.to_string()))
}

fn precompile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, GuestError> {
    engine
        .precompile_component(component)
        .map_err(|error| GuestError::Malformed { reason: one_line(&error) })
}

/// How a child ended.
struct Ended {
    status: ExitStatus,
    artefact: Vec<u8>,
    complaint: String,
    killed: bool,
}

impl Ended {
    fn code(
        self,
        executable: &Path,
        module: &Arc<str>,
        limits: &ModuleLimits,
    ) -> Result<Vec<u8>, GuestError> {
        let module = module.clone();
        let complaint = self.complaint.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.status.success() {
            return unsealed(&self.artefact).map(<[u8]>::to_vec).ok_or_else(|| {
                let path = executable.to_owned();
                GuestError::NoCompiler { path, source: io::ErrorKind::InvalidData.into() }
            });
        }
        if self.killed || self.status.signal() == Some(Signal::XCPU.as_raw()) {
            return Err(GuestError::CompileTime { module, limit: limits.compile_time_max });
        }
        if OUT_OF_MEMORY.iter().any(|told| complaint.contains(told)) {
            let limit = limits.compile_memory_bytes_max;
            return Err(GuestError::CompileMemory { module, limit });
        }
        match self.status.code() {
            Some(EXIT_MALFORMED) => Err(GuestError::Malformed { reason: complaint }),
            _ => {
                let told =
                    if complaint.is_empty() { String::new() } else { format!(", {complaint}") };
                let reason = format!("{}{told}", self.status);
                Err(GuestError::CompilerFailed { module, reason })
            }
        }
    }
}

fn run(executable: &Path, component: &[u8], limits: &ModuleLimits) -> io::Result<Ended> {
    let seconds = seconds(limits.compile_time_max);
    let mut child = Command::new(executable)
        .args([COMPILE_COMMAND, "--seconds", &seconds.to_string()])
        .args(["--memory-bytes", &limits.compile_memory_bytes_max.to_string()])
        .envs([ALLOCATE_AS_NEEDED])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let time = Duration::from_secs(seconds).saturating_mul(WALL_FACTOR);
    let ended = attend(&mut child, component, limits.compile_memory_bytes_max, time);
    if ended.is_err() {
        // What went wrong is told already; a child that has ended cannot be killed.
        drop(child.kill());
        drop(child.wait());
    }
    ended
}

/// Feeds the child, takes what it says, and kills it when its time is over. This thread spawned it,
/// and stays until it has ended: the child dies with the thread, not with the process.
fn attend(
    child: &mut Child,
    component: &[u8],
    artefact_bytes_max: u64,
    time: Duration,
) -> io::Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (told, ended) = mpsc::channel();
    thread::scope(|scope| {
        // A child that reads no further has failed, and says so itself.
        scope.spawn(move || drop(stdin.write_all(component)));
        let reader = scope.spawn(move || {
            let mut artefact = Vec::new();
            let read = stdout.take(artefact_bytes_max).read_to_end(&mut artefact);
            let mut complaint = Vec::new();
            let read = read.and(stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint));
            drop(told);
            read.map(|_| (artefact, String::from_utf8_lossy(&complaint).into_owned()))
        });
        let killed = ended.recv_timeout(time) == Err::<(), _>(RecvTimeoutError::Timeout);
        if killed {
            child.kill()?;
        }
        let status = child.wait()?;
        let (artefact, complaint) = match reader.join() {
            Ok(read) => read?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok(Ended { status, artefact, complaint, killed })
    })
}

/// Limits of processor time are whole seconds.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000).max(1) as u64
}
