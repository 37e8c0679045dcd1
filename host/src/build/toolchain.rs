//! What compiles Rust to WebAssembly on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Where Debian installs the compiler of its package `rustc-web`.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A toolchain that compiles to WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The standard library for the target is installed, as by `rustup target add`.
    Installed,
    /// The standard library is built from its sources, once for each crate's target directory.
    FromSource {
        /// The compiler that the sources belong to.
        rustc: PathBuf,
        /// The linker.
        linker: PathBuf,
    },
}

/// What is missing, and how to install it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolchainError {
    /// There is no Rust.
    #[error("`{program}` does not run: install Rust 1.95 or later from rustup.rs")]
    NoRust {
        /// What was run.
        program: String,
    },
    /// Nothing has a standard library for the target, compiled or not.
    #[error(
        "Rust cannot compile to WebAssembly here: run `rustup target add {TARGET}`, or, where that \
         cannot download, `apt-get install rustc-web rust-web-src`"
    )]
    NoTarget,
    /// The standard library could be built, but nothing links it.
    #[error("no linker for WebAssembly is installed: run `apt-get install lld`")]
    NoLinker,
}

impl Toolchain {
    /// Looks for one.
    ///
    /// # Errors
    /// What is missing, and how to install it.
    pub fn find() -> Result<Toolchain, ToolchainError> {
        let cargo = program("CARGO", "cargo");
        ask(&cargo, &["--version"]).ok_or_else(|| no_rust(&cargo))?;
        let rustc = program("RUSTC", "rustc");
        let sysroot = sysroot(&rustc).ok_or_else(|| no_rust(&rustc))?;
        if is_installed(&sysroot) {
            return Ok(Toolchain::Installed);
        }
        let compilers = [rustc, PathBuf::from(DEBIAN_RUSTC)];
        let with_sources = compilers
            .into_iter()
            .find(|rustc| self::sysroot(rustc).is_some_and(|sysroot| has_sources(&sysroot)));
        let rustc = with_sources.ok_or(ToolchainError::NoTarget)?;
        let linker = linker(&sysroot).ok_or(ToolchainError::NoLinker)?;
        Ok(Toolchain::FromSource { rustc, linker })
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        match self {
            Toolchain::Installed => format!("the installed target {TARGET}"),
            Toolchain::FromSource { rustc, .. } => {
                format!("`{}` and the sources of its standard library", rustc.display())
            }
        }
    }

    /// The command that builds a crate and tells of its artefacts as JSON.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(program("CARGO", "cargo"));
        command.args(["build", "--release", "--target", TARGET]);
        command.arg("--message-format=json-render-diagnostics");
        if let Toolchain::FromSource { rustc, linker } = self {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                // The option is not stable; this lets a stable compiler take it.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }
}

/// The program that a variable names, as cargo does for what it runs.
fn program(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
}

fn no_rust(program: &Path) -> ToolchainError {
    ToolchainError::NoRust { program: program.display().to_string() }
}

/// What a program says, if it runs.
fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    ask(rustc, &["--print", "sysroot"]).map(PathBuf::from)
}

fn is_installed(sysroot: &Path) -> bool {
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::read_dir(library).is_ok_and(|mut files| files.next().is_some())
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
}

/// The linker that comes with a toolchain, or one of the system.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let targets = std::fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten();
    let bundled = targets.flatten().map(|target| target.path().join("bin/rust-lld"));
    let system = ["/usr/bin/rust-lld", "/usr/bin/wasm-ld"].map(PathBuf::from);
    bundled.chain(system).find(|linker| linker.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join("lib/rustlib").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn an_installed_target_has_files() {
        assert!(is_installed(made(&["wasm32-unknown-unknown/lib/libstd-1.rlib"]).path()));
        assert!(!is_installed(made(&["x86_64-unknown-linux-gnu/lib/libstd-1.rlib"]).path()));
    }

    #[test]
    fn sources_and_the_bundled_linker_are_found() {
        let root =
            made(&["src/rust/library/std/Cargo.toml", "x86_64-unknown-linux-gnu/bin/rust-lld"]);
        assert!(has_sources(root.path()));
        let found = linker(root.path()).unwrap();
        assert!(found.ends_with("x86_64-unknown-linux-gnu/bin/rust-lld"));
        assert!(!has_sources(made(&["etc/none"]).path()));
    }
}
