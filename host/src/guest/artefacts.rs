//! Compiled code, kept in a directory between runs.
//!
//! A file is named by the component and by all of the engine that shapes its code, so that neither
//! an update of Muster nor another machine ever runs code that is not its own. What a crash or a
//! bad disk left there is found by a checksum and compiled anew.

use crate::guest::error::GuestError;
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// The hash of a component's bytes.
pub(super) type ComponentDigest = [u8; 32];

/// What a file begins with, before its checksum.
const MAGIC: &[u8; 16] = b"muster artefact\n";
const CHECKSUM_BYTES: usize = 16;
const EXTENSION: &str = "artefact";
/// What a file is called while it is written; after a crash it stays until it is the oldest.
const TEMPORARY: &str = "temporary";

/// The directory, opened.
pub(super) struct Artefacts {
    directory: PathBuf,
    bytes_max: u64,
    engine_hash: u64,
    /// Tells the temporary files of this process apart.
    written: AtomicU64,
}

/// Code as it is kept, and handed over by a compiler: behind its checksum.
pub(super) fn sealed(code: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &xxh3_128(code).to_le_bytes(), code].concat()
}

/// The code, if it is sound.
pub(super) fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(CHECKSUM_BYTES)?;
    (checksum == xxh3_128(code).to_le_bytes()).then_some(code)
}

/// The component of code that is sound.
pub(super) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "the bytes are what an engine of this same configuration wrote, here or in a \
                  child: the directory is ours alone, a file's name holds the engine's hash, and \
                  the checksum is right"
    )]
    // SAFETY: as the reason above says, they are precompiled code, unmodified.
    unsafe {
        Component::deserialize(engine, code)
    }
}

pub(super) fn digest(component: &[u8]) -> ComponentDigest {
    Sha256::digest(component).into()
}

impl Artefacts {
    /// Opens the directory, making it if there is none.
    pub(super) fn open(
        directory: &Path,
        bytes_max: u64,
        engine: &Engine,
    ) -> Result<Artefacts, GuestError> {
        fs::create_dir_all(directory)
            .map_err(|source| GuestError::Artefacts { path: directory.to_owned(), source })?;
        let mut hasher = Xxh3Default::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Artefacts {
            directory: directory.to_owned(),
            bytes_max,
            engine_hash: hasher.finish(),
            written: AtomicU64::new(0),
        })
    }

    /// The compiled component, if it is there and sound.
    pub(super) fn read(&self, engine: &Engine, digest: &ComponentDigest) -> Option<Component> {
        let bytes = fs::read(self.path(digest)).ok()?;
        load(engine, unsealed(&bytes)?).ok()
    }

    /// Keeps the compiled component: whole or not at all.
    pub(super) fn write(&self, digest: &ComponentDigest, code: &[u8]) -> Result<(), GuestError> {
        let path = self.path(digest);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!("{}-{number}.{TEMPORARY}", process::id()));
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&sealed(code))?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| GuestError::Artefacts { path: path.clone(), source })
    }

    /// Removes the oldest files until the rest fits its bound. One that is still in use is compiled
    /// and kept again when it is next loaded.
    pub(super) fn trim(&self) -> Result<(), GuestError> {
        let trim = || {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.directory)? {
                let entry = entry?;
                if is_ours(&entry.path()) {
                    let metadata = entry.metadata()?;
                    files.push((metadata.modified()?, metadata.len(), entry.path()));
                }
            }
            let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
            files.sort();
            for (_, length, path) in files {
                if bytes <= self.bytes_max {
                    break;
                }
                fs::remove_file(path)?;
                bytes -= length;
            }
            Ok(())
        };
        trim().map_err(|source| GuestError::Artefacts { path: self.directory.clone(), source })
    }

    fn path(&self, digest: &ComponentDigest) -> PathBuf {
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(format!("{digest}-{:016x}.{EXTENSION}", self.engine_hash))
    }
}

fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION || extension == TEMPORARY)
}
