//! Who does the work that nobody asks for: timers, users that go over to other rules, and what processes
//! left behind that are gone.
//!
//! Each process says every now and then that it is there, in a row that goes by itself when it does not.
//! Of those that are there, the one whose name hashes highest with a part does the part's work (rendezvous
//! hashing: Thaler and Ravishankar, 1998), so that a process that comes or goes moves no more parts than it
//! has. While two disagree both do it, which costs a commit that does not count and changes no answer.
//!
//! With that each says to which rules all users who fall to it have gone over, among which processes: what
//! was said among others does not count, since users fall to others since.

use super::error::CqlError;
use super::session::HEARTBEAT;
use super::{Shared, lock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often, in the time that a process may be silent, it says that it is there.
const BEATS: u32 = 4;
/// How long leaving may take.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// The processes that are there, as this one saw them last.
pub(super) struct Division {
    shared: Arc<Shared>,
    seen: Arc<Seen>,
    beating: Mutex<Option<JoinHandle<()>>>,
}

/// What was seen of them.
struct Seen {
    alive: Mutex<Vec<Arc<str>>>,
    /// Changes with `alive`, while that is locked.
    number: AtomicU64,
    swept: Mutex<Swept>,
}

/// To which rules of each workspace all users of a process have gone over, by a mark of these rules and of the
/// processes that were there.
type Marks = HashMap<String, i64>;

#[derive(Default)]
struct Swept {
    own: Marks,
    /// By process.
    others: HashMap<String, Marks>,
}

impl Seen {
    fn is_alive(&self, owner: &str) -> bool {
        lock(&self.alive).iter().any(|alive| **alive == *owner)
    }
}

impl Division {
    /// Says that this process is there, again and again.
    pub(super) async fn join(shared: Arc<Shared>) -> Result<Arc<Division>, CqlError> {
        let seen = Arc::new(Seen {
            alive: Mutex::new(vec![shared.owner.clone()]),
            number: AtomicU64::new(0),
            swept: Mutex::default(),
        });
        say(&shared).await?;
        see(&shared, &seen).await?;
        let beating = std::thread::Builder::new().name("muster-heartbeat".to_string()).spawn({
            let (shared, seen) = (shared.clone(), seen.clone());
            let runtime = Handle::current();
            move || runtime.block_on(keep_beating(&shared, &seen))
        });
        let beating = Mutex::new(Some(beating.map_err(CqlError::Threads)?));
        Ok(Arc::new(Division { shared, seen, beating }))
    }

    /// Whether a part falls to this process.
    pub(super) fn is_mine(&self, part: i32) -> bool {
        self.is_first(&part.to_le_bytes())
    }

    /// Whether this process is the first of all for something.
    pub(super) fn is_first(&self, thing: &[u8]) -> bool {
        let weight = |owner: &str| {
            let bytes = [owner.as_bytes(), thing].concat();
            (xxhash_rust::xxh3::xxh3_64(&bytes), owner.to_string())
        };
        let own = weight(&self.shared.owner);
        lock(&self.seen.alive).iter().all(|owner| weight(owner) <= own)
    }

    /// Whether a process is there. One that was not there just now may have come since.
    pub(super) async fn is_alive(&self, owner: &str) -> Result<bool, CqlError> {
        if !self.seen.is_alive(owner) {
            look(&self.shared, &self.seen).await?;
        }
        Ok(self.seen.is_alive(owner))
    }

    /// How many others are there.
    pub(super) fn companions(&self) -> usize {
        lock(&self.seen.alive).iter().filter(|owner| **owner != self.shared.owner).count()
    }

    /// Changes when processes come and go.
    pub(super) fn number(&self) -> u64 {
        self.seen.number.load(Ordering::Acquire)
    }

    /// Notes that all users of a workspace who fell to this process by that number have gone over to rules of
    /// that revision. Others are told with the next beat.
    pub(super) fn note_swept(&self, workspace: &str, revision: u64, number: u64) {
        let alive = lock(&self.seen.alive);
        if self.number() == number {
            let mark = mark(revision, &alive);
            lock(&self.seen.swept).own.insert(workspace.to_string(), mark);
        }
    }

    /// Whether all processes that are there said so.
    pub(super) fn is_swept(&self, workspace: &str, revision: u64) -> bool {
        let alive = lock(&self.seen.alive);
        let mark = mark(revision, &alive);
        let swept = lock(&self.seen.swept);
        alive.iter().all(|owner| {
            let marks = match *owner == self.shared.owner {
                true => Some(&swept.own),
                false => swept.others.get(&**owner),
            };
            marks.and_then(|marks| marks.get(workspace)) == Some(&mark)
        })
    }

    /// Waits until this process has said for the last time that it is there: that is when the database is
    /// closed.
    pub(super) fn end(&self) {
        if let Some(beating) = lock(&self.beating).take() {
            // A panic of the thread ends the beating, which is all that is waited for.
            drop(beating.join());
        }
    }

    /// Says that this process is gone.
    pub(super) async fn leave(&self) {
        let (session, statements) = (&self.shared.database.session, &self.shared.statements);
        let leaving = session.execute_unpaged(&statements.delete_instance, (&*self.shared.owner,));
        // Whoever is not told waits until the row goes by itself.
        drop(tokio::time::timeout(LEAVE_TIME_MAX, leaving).await);
    }
}

impl Shared {
    /// Says where the journal of this process begins.
    async fn write_owner(&self, kind: &'static str) -> Result<(), CqlError> {
        let own = (&*self.owner, self.first_open_turn().cast_signed());
        self.database.execute(kind, &self.statements.write_owner, own).await?;
        Ok(())
    }

    /// Makes sure, after something was written into the journal, that it is looked into when this process is
    /// gone: who was silent for long may have been struck off, with nothing in the journal until then.
    pub(super) async fn assure_owner(&self) -> Result<(), CqlError> {
        let is_heard = |beaten: Instant| beaten.elapsed() < self.database.silence_max / 2;
        let beaten = *lock(&self.beaten);
        match beaten.is_some_and(is_heard) {
            true => Ok(()),
            false => self.write_owner("write_journal").await,
        }
    }
}

/// Tells rules of that revision, among these processes, from all others.
fn mark(revision: u64, alive: &[Arc<str>]) -> i64 {
    let bytes = [revision.to_string().as_bytes(), alive.join(",").as_bytes()].join(&b'/');
    xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed()
}

/// Says and sees, each at its own pace: who is slow to see who is there is not to be taken for gone.
async fn keep_beating(shared: &Shared, seen: &Seen) {
    let saying = repeat(shared, async || say(shared).await);
    let seeing = repeat(shared, async || see(shared, seen).await);
    tokio::join!(saying, seeing);
}

/// Does something with every beat, until the database is closed.
async fn repeat(shared: &Shared, act: impl AsyncFn() -> Result<(), CqlError>) {
    let every = shared.database.silence_max / BEATS;
    let mut begun = Instant::now();
    while shared.database.sleep(every.saturating_sub(begun.elapsed())).await.is_ok() {
        begun = Instant::now();
        match act().await {
            Ok(()) | Err(CqlError::Closed) => {}
            Err(error) => tracing::warn!("cannot say that this instance is there: {error}"),
        }
    }
}

/// How long what is said of this process stays, in seconds. The database reckons in whole ones, those that have begun:
/// what is to stay for two may be gone after little more than one.
fn kept_s(shared: &Shared) -> i32 {
    let silence = shared.database.silence_max;
    let whole = silence.as_secs() + u64::from(silence.subsec_nanos() > 0);
    i32::try_from(whole + 1).unwrap_or(i32::MAX)
}

async fn say(shared: &Shared) -> Result<(), CqlError> {
    let begun = Instant::now();
    let own = (&*shared.owner, kept_s(shared));
    shared.database.execute(HEARTBEAT, &shared.statements.write_instance, own).await?;
    // Every time, since others strike off who was silent for long and had nothing left half done. And
    // afterwards, so that nobody strikes off who is there.
    shared.write_owner(HEARTBEAT).await?;
    *lock(&shared.beaten) = Some(begun);
    Ok(())
}

async fn see(shared: &Shared, seen: &Seen) -> Result<(), CqlError> {
    let seeing = async {
        look(shared, seen).await?;
        tell_swept(shared, seen).await
    };
    tokio::try_join!(shared.follow_clock(), seeing).map(drop)
}

/// Says to which rules all users have gone over, and sees what others say of that.
async fn tell_swept(shared: &Shared, seen: &Seen) -> Result<(), CqlError> {
    let marks = lock(&seen.swept).own.clone();
    let own = (&*shared.owner, &marks, kept_s(shared));
    let statements = &shared.statements;
    shared.database.execute(HEARTBEAT, &statements.write_swept, own).await?;
    let others = shared.database.rows::<(String, Marks)>(HEARTBEAT, &statements.swept, ()).await?;
    lock(&seen.swept).others = others.into_iter().collect();
    Ok(())
}

/// Sees who is there.
async fn look(shared: &Shared, seen: &Seen) -> Result<(), CqlError> {
    let statement = &shared.statements.instances;
    let rows = shared.database.rows::<(String,)>(HEARTBEAT, statement, ()).await?;
    let mut found: Vec<Arc<str>> = rows.into_iter().map(|(owner,)| owner.into()).collect();
    if !found.contains(&shared.owner) {
        found.push(shared.owner.clone());
    }
    found.sort();
    let mut alive = lock(&seen.alive);
    if *alive != found {
        *alive = found;
        lock(&seen.swept).own.clear();
        seen.number.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}
