//! The thread that publishes what turns brought about, one after the other, while the next are committed.

use super::committer::answer;
use super::{Delivery, Shared, Unavailable, lock};
use crate::store::{Commit, Committed, Line, Untold, UserKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// A turn that was committed, and who waits until it is told.
pub(super) struct Telling {
    pub(super) committed: Committed,
    pub(super) deliveries: Vec<Delivery>,
}

/// The thread; it ends when this is dropped, with everything told.
pub(super) struct Teller {
    tellings: Option<SyncSender<Telling>>,
    thread: Option<JoinHandle<()>>,
    unsettled: Arc<Unsettled>,
    open: Tellings,
}

/// What was committed by this process, and is on its way.
#[derive(Default)]
struct Unsettled(Mutex<HashMap<UserKey, Vec<Line>>>);

/// What was on its way when a commit began, by number: it comes before whatever that brings about.
#[derive(Default)]
pub(super) struct Carried(HashMap<UserKey, Vec<u64>>);

/// How many turns are yet to be told.
#[derive(Clone, Default)]
pub(super) struct Tellings(Arc<AtomicUsize>);

impl Tellings {
    /// Whether there are any.
    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Teller {
    pub(super) fn start(shared: Arc<Shared>, open: Tellings) -> std::io::Result<Teller> {
        // While one is told and one waits, a third is committed at the most.
        let (tellings, taken) = mpsc::sync_channel::<Telling>(1);
        let unsettled = Arc::new(Unsettled::default());
        let (settling, settled) = (unsettled.clone(), open.clone());
        let thread = std::thread::Builder::new().name("muster-tell".to_string());
        let thread = thread.spawn(move || {
            for Telling { committed, deliveries } in taken {
                let told = tell(&shared, &committed);
                // What was not told stays with its users' rows.
                if told.is_ok() {
                    settling.remove(&committed);
                }
                settled.0.fetch_sub(1, Ordering::AcqRel);
                finish(&shared, deliveries, &told);
            }
        })?;
        Ok(Teller { tellings: Some(tellings), thread: Some(thread), unsettled, open })
    }

    /// Has a commit keep, of its users, what is on its way: until that is settled, a crash must not find
    /// their rows without it. Gives what that is.
    pub(super) fn carry(&self, commit: &mut Commit) -> Carried {
        let unsettled = lock(&self.unsettled.0);
        let mut carried = Carried::default();
        for user in &mut commit.users {
            let Some(lines) = unsettled.get(&user.key) else { continue };
            let numbers = lines.iter().map(|line| line.number).collect();
            carried.0.insert(user.key.clone(), numbers);
            let before = user.stamp.untold.as_deref().cloned().unwrap_or_default();
            let all = before.lines.into_iter().chain(lines.iter().cloned());
            let lines: BTreeMap<u64, Line> = all.map(|line| (line.number, line)).collect();
            let untold = Untold { lines: lines.into_values().collect(), members: before.members };
            user.stamp.untold = Some(Arc::new(untold));
        }
        carried
    }

    /// Tells what was committed, but for what was on its way already.
    pub(super) fn tell(&self, shared: &Shared, mut telling: Telling, carried: &Carried) {
        self.unsettled.add(&mut telling.committed, carried);
        self.open.0.fetch_add(1, Ordering::AcqRel);
        let refused = match &self.tellings {
            Some(tellings) => tellings.send(telling).err().map(|error| error.0),
            None => Some(telling),
        };
        if let Some(telling) = refused {
            shared.fail("publishing ended unexpectedly");
            let error = shared.ended().unwrap_or(Unavailable::ShuttingDown);
            answer(telling.deliveries, &Err(error));
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tellings = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told to whoever handed something over.
            drop(thread.join());
        }
    }
}

impl Unsettled {
    /// Notes what is to be told, and leaves of it what was not carried.
    fn add(&self, committed: &mut Committed, carried: &Carried) {
        let is_carried = |key: &UserKey, line: &Line| {
            carried.0.get(key).is_some_and(|numbers| numbers.contains(&line.number))
        };
        committed.told.retain(|(key, line)| !is_carried(key, line));
        let mut unsettled = lock(&self.0);
        for (key, line) in &committed.told {
            unsettled.entry(key.clone()).or_default().push(line.clone());
        }
    }

    fn remove(&self, committed: &Committed) {
        let mut unsettled = lock(&self.0);
        for (key, line) in &committed.told {
            let Some(lines) = unsettled.get_mut(key) else { continue };
            lines.retain(|known| known.number != line.number);
            if lines.is_empty() {
                unsettled.remove(key);
            }
        }
    }
}

fn tell(shared: &Shared, committed: &Committed) -> Result<(), Unavailable> {
    if !committed.told.is_empty() {
        let started = Instant::now();
        shared.sink.tell(&committed.told).map_err(|_| Unavailable::ShuttingDown)?;
        shared.metrics.stages.publish.observe(started.elapsed().as_secs_f64());
    }
    shared.store.settle(committed).map_err(|error| shared.give_up(&error))
}

/// Answers those who waited for a turn that counts.
pub(super) fn finish(shared: &Shared, deliveries: Vec<Delivery>, result: &Result<(), Unavailable>) {
    if result.is_ok() {
        shared.committed.send_modify(|commits| *commits += 1);
    }
    answer(deliveries, result);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(numbers: &[u64]) -> Committed {
        let key = UserKey { workspace: "w".into(), user: "u".into() };
        let line = |number: &u64| (key.clone(), Line { number: *number, json: Vec::new() });
        Committed { told: numbers.iter().map(line).collect(), ..Committed::default() }
    }

    fn numbers(committed: &Committed) -> Vec<u64> {
        committed.told.iter().map(|(_, line)| line.number).collect()
    }

    #[test]
    fn what_was_on_its_way_when_a_commit_began_is_not_told_again() {
        let unsettled = Unsettled::default();
        let mut first = told(&[1, 2]);
        unsettled.add(&mut first, &Carried::default());
        assert_eq!(numbers(&first), [1, 2]);
        let carried = Carried([(first.told[0].0.clone(), vec![1, 2])].into());
        // It may be settled before the commit that carries it is made.
        unsettled.remove(&first);
        let mut second = told(&[1, 2, 3]);
        unsettled.add(&mut second, &carried);
        assert_eq!(numbers(&second), [3]);
        unsettled.remove(&second);
        assert!(lock(&unsettled.0).is_empty());
    }
}
