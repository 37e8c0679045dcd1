//! What every server needs before it runs: a place, its program, ports.
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Ports are taken from below what Linux hands to outgoing connections: a client that keeps dialling
/// a dead server's port would else be given that very port one day, and connect to itself.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// Where the rig keeps what it fetches and what its servers write: `target/rig`.
pub(crate) fn rig_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    target.join("rig")
}

/// The directory of the jars that a POM of `tests/rig/<name>` asks for, fetched on first use.
pub(crate) fn fetch(name: &str) -> Result<PathBuf> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("pom.xml");
    let wanted = fs::read_to_string(&pom).with_context(|| format!("`{}`", pom.display()))?;
    let home = rig_directory().join(name);
    fs::create_dir_all(&home)?;
    // Tests are many processes, and Maven is not to run once for each.
    let lock = File::create(home.join("fetch.lock"))?;
    lock.lock()?;
    let (jars, fetched) = (home.join("jars"), home.join("fetched.xml"));
    if fs::read_to_string(&fetched).is_ok_and(|last| last == wanted) {
        return Ok(jars);
    }
    if jars.exists() {
        fs::remove_dir_all(&jars)?;
    }
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .context("cannot run `mvn`: install Maven 3.8 or newer")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        bail!("Maven could not fetch what `{}` names:\n{said}", pom.display());
    }
    fs::write(&fetched, wanted)?;
    Ok(jars)
}

/// A fresh directory for one server's data, locked for as long as the file returned lives.
///
/// A test process that is killed leaves its directory behind; whoever comes next sweeps it.
pub(crate) fn run_directory(name: &str) -> Result<(PathBuf, File)> {
    let runs = rig_directory().join(name).join("runs");
    fs::create_dir_all(&runs)?;
    let sweep = File::create(runs.with_file_name("runs.lock"))?;
    sweep.lock()?;
    for run in fs::read_dir(&runs)? {
        let run = run?.path();
        let abandoned = match File::open(run.join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => true,
        };
        if abandoned {
            fs::remove_dir_all(&run)?;
        }
    }
    let run = runs.join(format!("{:016x}", fastrand::u64(..)));
    fs::create_dir(&run)?;
    let lock = File::create(run.join("lock"))?;
    lock.lock()?;
    Ok((run, lock))
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", PORTS.start, PORTS.end)
}
