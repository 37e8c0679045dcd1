//! The store's directory: which format it has, and that nobody else uses it.

use crate::StoreError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first line of the file that makes a directory a store.
const MAGIC: &str = "muster store";
/// The format that this version reads and writes: raised with any change of what lies in the tables,
/// the forms of the core included.
const FORMAT: u32 = 4;
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
/// How long whoever has the store may take to let go of it: a process that is ending, or a child of this one, which
/// has all open files until it runs its own program.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory that is a store, held for as long as this lives.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Locked until it is dropped.
    _lock: File,
}

impl Directory {
    /// Takes a store's directory, or makes an empty or missing one into a store.
    pub(super) fn open(path: &Path) -> Result<Directory, StoreError> {
        let unusable = |source| StoreError::Unusable { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let format = path.join(FORMAT_FILE);
        let is_store = format.try_exists().map_err(unusable)?;
        if !is_store && !is_empty(path).map_err(unusable)? {
            return Err(StoreError::NotAStore { path: path.to_path_buf() });
        }
        let lock = File::create(path.join(LOCK_FILE)).map_err(unusable)?;
        take(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::InUse { path: path.to_path_buf() },
            TryLockError::Error(source) => unusable(source),
        })?;
        if is_store {
            check_format(path, &fs::read_to_string(&format).map_err(unusable)?)?;
        } else {
            write_format(path, &format).map_err(unusable)?;
        }
        Ok(Directory { path: path.to_path_buf(), _lock: lock })
    }

    /// The folder of the tables.
    pub(super) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// Removes tables that were never made whole, because the first start broke off: they hold
    /// nothing, and cannot be opened. Only for a store that has acknowledged nothing.
    pub(super) fn remove_half_made_tables(&self) -> io::Result<()> {
        let tables = self.tables();
        // The version is written before there can be any table.
        let has_version = tables.join("version").metadata().is_ok_and(|version| version.len() > 0);
        if has_version || has_entries(&tables.join("keyspaces")) || !has_entries(&tables) {
            return Ok(());
        }
        fs::remove_dir_all(tables)
    }
}

/// Whether a folder holds anything.
pub(super) fn has_entries(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

fn take(lock: &File) -> Result<(), TryLockError> {
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
}

/// Whether there is nothing but what an earlier attempt to make a store may have left.
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != LOCK_FILE && name.to_str() != Some(&temporary()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check_format(path: &Path, text: &str) -> Result<(), StoreError> {
    let not_a_store = || StoreError::NotAStore { path: path.to_path_buf() };
    let number = text.trim_end().strip_prefix(MAGIC).ok_or_else(not_a_store)?;
    let found: u32 = number.trim().parse().map_err(|_| not_a_store())?;
    if found != FORMAT {
        return Err(StoreError::OtherVersion { path: path.to_path_buf(), found, known: FORMAT });
    }
    Ok(())
}

/// Written aside and renamed, so that a crash leaves either no file or a whole one.
fn write_format(path: &Path, format: &Path) -> io::Result<()> {
    let aside = path.join(temporary());
    let mut file = File::create(&aside)?;
    writeln!(file, "{MAGIC} {FORMAT}")?;
    file.sync_all()?;
    fs::rename(&aside, format)?;
    File::open(path)?.sync_all()
}

fn temporary() -> String {
    format!("{FORMAT_FILE}.new")
}
