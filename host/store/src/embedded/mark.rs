//! The high-water mark: the number of the last durable commit, in a file of its own.
//!
//! A damaged journal can lose commits that were acknowledged, without saying so. The mark is written
//! and synced after each commit; a store whose own count is behind it has lost some.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Each slot lies in a disk sector of its own, so that a torn write leaves the other whole.
const SLOT_BYTES: u64 = 4_096;

/// The file. Commits alternate between two slots.
pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(path: &Path) -> io::Result<Mark> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map(Mark)
    }

    #[cfg(test)]
    pub(super) fn read_only(path: &Path) -> io::Result<Mark> {
        File::open(path).map(Mark)
    }

    /// The number of the last commit; 0 when there was none.
    pub(super) fn read(&self) -> io::Result<u64> {
        let mut newest = 0;
        for slot in 0..2 {
            let mut bytes = [0; 16];
            match self.0.read_exact_at(&mut bytes, slot * SLOT_BYTES) {
                Ok(()) => newest = newest.max(decode(bytes).unwrap_or(0)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// Notes that a commit is durable, durably.
    pub(super) fn write(&self, commit: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&commit.to_le_bytes());
        bytes[8..].copy_from_slice(&checksum(commit).to_le_bytes());
        self.0.write_all_at(&bytes, commit % 2 * SLOT_BYTES)?;
        self.0.sync_data()
    }
}

fn decode(bytes: [u8; 16]) -> Option<u64> {
    let (commit, sum) = bytes.split_first_chunk::<8>()?;
    let commit = u64::from_le_bytes(*commit);
    (sum == checksum(commit).to_le_bytes()).then_some(commit)
}

fn checksum(commit: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&commit.to_le_bytes(), 0x6d75_7374)
}
