//! All lanes, and the threads that they run on beside the worker's own.

use super::Shared;
use super::damaged::Aside;
use super::lane::{Lane, Task};
use crate::group::StepError;
use crate::store::{Commit, Store, UserKey};
use muster_core::Time;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

/// Steps that are taken where they are, since handing them over costs about as much.
const ALONE_MAX: usize = 16;

/// Lanes, each on a thread of its own while steps are taken; the first is on the worker's.
pub(super) struct Lanes {
    store: Arc<dyn Store>,
    lanes: Vec<Lane>,
    threads: Vec<Thread>,
}

type Handed = (Lane, Vec<Task>);
type Returned = (Lane, Result<(), StepError>);

struct Thread {
    work: Option<SyncSender<Handed>>,
    done: Receiver<Returned>,
    handle: Option<JoinHandle<()>>,
}

impl Lanes {
    /// That many lanes, each of which remembers that many users.
    pub(super) fn start(
        shared: &Arc<Shared>,
        lanes: NonZeroUsize,
        recent: NonZeroUsize,
    ) -> std::io::Result<Lanes> {
        let lane = |_| Lane::new(shared.clone(), recent);
        let threads = (1..lanes.get()).map(Thread::start);
        let threads = threads.collect::<std::io::Result<_>>()?;
        let (store, lanes) = (shared.store.clone(), (0..lanes.get()).map(lane).collect());
        Ok(Lanes { store, lanes, threads })
    }

    /// The lane for what is of no user.
    pub(super) fn first(&mut self) -> &mut Lane {
        &mut self.lanes[0]
    }

    /// The lane of a user.
    pub(super) fn of(&mut self, key: &UserKey) -> &mut Lane {
        let at = self.place(key);
        &mut self.lanes[at]
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut()
    }

    /// Takes steps, those of a user one after the other.
    ///
    /// # Errors
    /// When one fails; which of the others were taken is then open.
    pub(super) fn run(&mut self, tasks: Vec<Task>) -> Result<(), StepError> {
        if self.store.is_shared() {
            self.read_ahead(tasks.iter().map(|task| &task.key))?;
        }
        let is_alone = self.threads.is_empty() || tasks.len() <= ALONE_MAX;
        let mut parts: Vec<Vec<Task>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for task in tasks {
            let at = self.place(&task.key);
            parts[at].push(task);
        }
        if is_alone {
            return self.lanes.iter_mut().zip(parts).try_for_each(|(lane, part)| lane.run(&part));
        }
        let mut lanes = std::mem::take(&mut self.lanes).into_iter().zip(parts);
        let own = lanes.next();
        for (thread, handed) in self.threads.iter_mut().zip(lanes) {
            thread.hand(handed);
        }
        let mut result = Ok(());
        if let Some((mut lane, tasks)) = own {
            result = lane.run(&tasks);
            self.lanes.push(lane);
        }
        for thread in &mut self.threads {
            let (lane, stepped) = thread.back();
            self.lanes.push(lane);
            result = result.and(stepped);
        }
        result
    }

    /// Reads those of these users who are not remembered, all at once.
    ///
    /// # Errors
    /// When the store fails. A user of whom something is damaged is put aside.
    pub(super) fn read_ahead<'a>(
        &mut self,
        users: impl Iterator<Item = &'a UserKey>,
    ) -> Result<(), StepError> {
        let mut lacking: Vec<UserKey> = Vec::new();
        for key in users {
            if self.of(key).group.lacks(key) {
                lacking.push(key.clone());
            }
        }
        lacking.sort_unstable();
        lacking.dedup();
        let found = self.store.read(&lacking)?;
        for (key, found) in lacking.into_iter().zip(found) {
            let lane = self.of(&key);
            if let Err(error) = lane.group.learn(key, found) {
                lane.put_aside(error.into())?;
            }
        }
        Ok(())
    }

    /// What all of them changed, to be committed at that clock.
    pub(super) fn take(&mut self, clock: Time, made: Time) -> Commit {
        let mut lanes = self.lanes.iter_mut();
        let first = lanes.next().map(|lane| lane.group.take(clock, made));
        let mut commit = first.unwrap_or_else(|| unreachable!("there is a lane at least"));
        for lane in lanes {
            let more = lane.group.take(clock, made);
            commit.users.extend(more.users);
            commit.dead_letters.extend(more.dead_letters);
            commit.audiences.extend(more.audiences);
            commit.documents.extend(more.documents);
        }
        commit
    }

    /// Users of whom nothing counts in this turn, since something that is kept of them is damaged.
    pub(super) fn take_aside(&mut self) -> Aside {
        self.lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.aside)).collect()
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.group.is_empty())
    }

    fn place(&self, key: &UserKey) -> usize {
        let lanes = self.lanes.len() as u64;
        (xxhash_rust::xxh3::xxh3_64(key.user.as_bytes()) % lanes) as usize
    }
}

impl Thread {
    fn start(number: usize) -> std::io::Result<Thread> {
        let (work, handed) = mpsc::sync_channel::<Handed>(1);
        let (returning, done) = mpsc::sync_channel::<Returned>(1);
        let name = format!("muster-lane-{number}");
        let handle = std::thread::Builder::new().name(name).spawn(move || {
            for (mut lane, tasks) in handed {
                let result = lane.run(&tasks);
                if returning.send((lane, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Thread { work: Some(work), done, handle: Some(handle) })
    }

    fn hand(&mut self, handed: Handed) {
        if self.work.as_ref().is_none_or(|work| work.send(handed).is_err()) {
            self.resume_panic();
        }
    }

    fn back(&mut self) -> Returned {
        match self.done.recv() {
            Ok(returned) => returned,
            Err(_) => self.resume_panic(),
        }
    }

    /// A thread ends before it is told to only by a panic, which becomes the worker's.
    fn resume_panic(&mut self) -> ! {
        match self.handle.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(())) | None => unreachable!("a lane's thread ended though nobody told it to"),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.work = None;
        if let Some(handle) = self.handle.take() {
            // A panic of the thread was told to who waited for it.
            drop(handle.join());
        }
    }
}
