//! Building rule modules: from a crate in Rust to a component, with whatever toolchain for
//! WebAssembly is there, or from a component that some other tool built.

mod adopt;
mod toolchain;

pub use adopt::adopt;
pub use toolchain::{Toolchain, ToolchainError};

use crate::guest::{CODE_VERSION, GuestError, componentise};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A rule module that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where the component was written.
    pub path: PathBuf,
    /// Its bytes.
    pub component: Vec<u8>,
    /// What the compiler wrote, in bytes.
    pub compiler_bytes: usize,
}

/// Why a crate could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing here compiles to WebAssembly.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// There is no crate.
    #[error("no `Cargo.toml` in `{}`: make a crate with `muster new NAME`, or name its folder", folder.display())]
    NoCrate {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The compiler has told what to mend.
    #[error("the crate in `{}` does not compile ({status}): mend what the compiler says above", folder.display())]
    Refused {
        /// The crate's folder.
        folder: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// There is no library for WebAssembly.
    #[error(
        "the crate in `{}` is no rule module: write `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]` in its `Cargo.toml`",
        folder.display()
    )]
    NoLibrary {
        /// The crate's folder.
        folder: PathBuf,
    },
    /// The component needs nothing of what adopting it would do.
    #[error("`{}` carries a manifest already: deploy it as it is", path.display())]
    AdoptedAlready {
        /// The component.
        path: PathBuf,
    },
    /// A version would stay the same when the code changes.
    #[error(
        "audience `{audience}` of `{}` has a version of its own, `{version}`, which does not follow \
         the code: write `{CODE_VERSION}` into it, and the hash of the code takes that place",
        path.display()
    )]
    VersionOfItsOwn {
        /// The component.
        path: PathBuf,
        /// The audience's id.
        audience: String,
        /// Its version.
        version: String,
    },
    /// What the compiler wrote is no rule module.
    #[error("`{}` can't be made a rule module", path.display())]
    NotARuleModule {
        /// What the compiler wrote.
        path: PathBuf,
        /// Why.
        source: GuestError,
    },
    /// A file could not be read or written, or cargo not be run.
    #[error("cannot use `{}`", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Builds the rule modules of a crate or workspace, and writes each as a component into the folder
/// `muster` of its target directory. What cargo and the compiler say goes to standard error.
///
/// # Errors
/// When something is missing, the crate does not compile, or is no rule module.
pub fn build(folder: &Path, toolchain: &Toolchain) -> Result<Vec<Built>, BuildError> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(BuildError::NoCrate { folder: folder.to_path_buf() });
    }
    let mut command = toolchain.command();
    command.current_dir(folder).stderr(Stdio::inherit());
    let ran = run(&mut command)?;
    if !ran.status.success() {
        return Err(BuildError::Refused { folder: folder.to_path_buf(), status: ran.status });
    }
    let text = String::from_utf8_lossy(&ran.stdout);
    let libraries: Vec<PathBuf> = text.lines().filter_map(library).collect();
    if libraries.is_empty() {
        return Err(BuildError::NoLibrary { folder: folder.to_path_buf() });
    }
    libraries.iter().map(|library| finish(library)).collect()
}

fn run(command: &mut Command) -> Result<std::process::Output, BuildError> {
    command.output().map_err(|source| {
        let path = PathBuf::from(command.get_program());
        BuildError::Unusable { path, source }
    })
}

/// The library for WebAssembly that a line of cargo's messages tells of.
fn library(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let kinds = message["target"]["kind"].as_array()?;
    kinds.iter().find(|kind| *kind == "cdylib")?;
    let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|e| e == "wasm"))
}

fn finish(library: &Path) -> Result<Built, BuildError> {
    let core = std::fs::read(library).map_err(unusable(library))?;
    let component = componentise(&core)
        .map_err(|source| BuildError::NotARuleModule { path: library.to_path_buf(), source })?;
    // `TARGET_DIRECTORY/wasm32-unknown-unknown/release/NAME.wasm`
    let target = library.ancestors().nth(3).unwrap_or(Path::new("target"));
    let name = library.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
    write(&target.join("muster"), &name, component, core.len())
}

fn write(
    folder: &Path,
    file: &str,
    component: Vec<u8>,
    compiler_bytes: usize,
) -> Result<Built, BuildError> {
    std::fs::create_dir_all(folder).map_err(unusable(folder))?;
    let path = folder.join(file);
    // Whole or not at all: somebody may be reading what was built before.
    let part = path.with_extension(format!("{:016x}.part", fastrand::u64(..)));
    std::fs::write(&part, &component).map_err(unusable(&part))?;
    std::fs::rename(&part, &path).map_err(unusable(&path))?;
    Ok(Built { path, component, compiler_bytes })
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.to_path_buf();
    move |source| BuildError::Unusable { path, source }
}
