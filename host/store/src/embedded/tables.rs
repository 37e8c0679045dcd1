//! The tables, and what is known of them without reading.

use super::keys::Parts;
use crate::StoreError;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use muster_core::Time;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of each table's writes that are not yet in files.
const MEMTABLE_BYTES: u64 = 64 << 20;

pub(super) const CLOCK: &[u8] = b"clock";
pub(super) const COMMITS: &[u8] = b"commits";
pub(super) const LAST_DEAD_LETTER: &[u8] = b"last dead letter";
/// The sequence of a workspace's newest transition, and of the newest that was deleted.
pub(super) const NEWEST: &str = "newest";
pub(super) const EXPIRED: &str = "expired";
/// How many users a workspace has.
pub(super) const USERS: &str = "users";

pub(super) struct Tables {
    pub(super) users: Keyspace,
    pub(super) profiles: Keyspace,
    pub(super) shadows: Keyspace,
    pub(super) documents: Keyspace,
    pub(super) history: Keyspace,
    pub(super) members: Keyspace,
    pub(super) timers: Keyspace,
    pub(super) outbox: Keyspace,
    pub(super) dead_letters: Keyspace,
    pub(super) audiences: Keyspace,
    pub(super) meta: Keyspace,
}

/// What is known without reading.
pub(super) struct State {
    pub(super) clock: Time,
    pub(super) commits: u64,
    /// By workspace: the newest transition's sequence, and the newest deleted one's.
    pub(super) cursors: BTreeMap<Arc<str>, Cursor>,
    pub(super) last_dead_letter: u64,
    /// How many users each workspace has.
    pub(super) users: BTreeMap<Arc<str>, u64>,
    /// No timer is due before this: what is older was fired, and its traces are not read again.
    pub(super) timers_from: Time,
    pub(super) failed: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub(super) newest: u64,
    pub(super) expired: u64,
}

impl Tables {
    pub(super) fn open(database: &Database) -> Result<Tables, fjall::Error> {
        let table = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            database.keyspace(name, options)
        };
        Ok(Tables {
            users: table("users")?,
            profiles: table("profiles")?,
            shadows: table("shadows")?,
            documents: table("documents")?,
            history: table("history")?,
            members: table("members")?,
            timers: table("timers")?,
            outbox: table("outbox")?,
            dead_letters: table("dead_letters")?,
            audiences: table("audiences")?,
            meta: table("meta")?,
        })
    }
}

impl State {
    /// # Errors
    /// When the table of such figures cannot be read, or one of them is none.
    pub(super) fn read(tables: &Tables, path: &Path) -> Result<State, StoreError> {
        let broken = |source| StoreError::Broken { path: path.to_path_buf(), source };
        let number = |key: &[u8]| -> Result<Option<u64>, StoreError> {
            let Some(value) = tables.meta.get(key).map_err(broken)? else { return Ok(None) };
            Ok(Some(Parts(&value).number().ok_or(StoreError::Damaged { table: "meta" })?))
        };
        let clock = number(CLOCK)?.and_then(|bits| Parts(&bits.to_be_bytes()).time());
        let by_workspace = |figure: &str| -> Result<BTreeMap<Arc<str>, u64>, StoreError> {
            let mut prefix = figure.as_bytes().to_vec();
            prefix.push(0);
            let mut figures = BTreeMap::new();
            for guard in tables.meta.prefix(prefix.clone()) {
                let (key, value) = guard.into_inner().map_err(broken)?;
                let workspace = Parts(&key[prefix.len()..]).text();
                let figure = workspace.zip(Parts(&value).number());
                figures.extend([figure.ok_or(StoreError::Damaged { table: "meta" })?]);
            }
            Ok(figures)
        };
        let mut cursors: BTreeMap<Arc<str>, Cursor> = BTreeMap::new();
        for (workspace, newest) in by_workspace(NEWEST)? {
            cursors.entry(workspace).or_default().newest = newest;
        }
        for (workspace, expired) in by_workspace(EXPIRED)? {
            cursors.entry(workspace).or_default().expired = expired;
        }
        Ok(State {
            clock: clock.unwrap_or(Time::EPOCH),
            commits: number(COMMITS)?.unwrap_or(0),
            cursors,
            last_dead_letter: number(LAST_DEAD_LETTER)?.unwrap_or(0),
            users: by_workspace(USERS)?,
            timers_from: Time::MIN,
            failed: None,
        })
    }
}
