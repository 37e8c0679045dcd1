//! Timers that are due: who looks for them, and how many of them are fired in a turn.

mod pace;

use crate::store::{Store, StoreError, UserKey};
use pace::Pace;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_core::Time;

/// Timers fired in one turn: beside a full batch they must not hold up live messages.
pub(super) const TIMERS_MAX: usize = 512;
/// Timers that are looked for together where looking costs something, and how often that is done.
const FOUND_MAX: usize = 4_096;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is done where all that was found were timers of users who cannot be decided here.
const LOOK_PAST_EVERY: Duration = Duration::from_secs(5);
/// For how long after the last message others are expected.
const LIVE_FOR: Duration = Duration::from_secs(1);

type Due = (Time, UserKey);

/// What timers are of what a turn may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// There are none.
    Nothing,
    /// As many as it may have beside live messages: only such turns tell whether it may have more.
    Full,
    /// Fewer, or as many as are fired when no messages come.
    Other,
}

/// The timers of a store.
pub(super) struct Timers {
    store: Arc<dyn Store>,
    /// By the turn in which they were fired: they are still in the store while it is committed.
    fired: HashMap<Due, u64>,
    /// Those that were found, and are yet to be fired.
    due: VecDeque<Due>,
    /// Of a shared store.
    search: Option<Search>,
    pace: Pace,
    share: Share,
    /// When messages came last.
    live: Option<Instant>,
}

impl Timers {
    pub(super) fn start(store: Arc<dyn Store>) -> std::io::Result<Timers> {
        let search = store.is_shared().then(|| Search::start(store.clone())).transpose()?;
        let (fired, due, pace) = (HashMap::new(), VecDeque::new(), Pace::default());
        Ok(Timers { store, fired, due, search, pace, share: Share::Nothing, live: None })
    }

    /// Whether some are known that are yet to be fired.
    pub(super) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether they are fired beside live messages, in a store that these wait for.
    pub(super) fn are_paced(&self) -> bool {
        self.search.is_some() && self.live.is_some_and(|live| live.elapsed() < LIVE_FOR)
    }

    /// Those to be fired in a turn, of what is due before an instant; none whose turn is being committed,
    /// or whose users cannot be decided here. Between live messages there are none while what was committed
    /// is yet to be told: that is work for the database too.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn take(
        &mut self,
        turn: u64,
        until: Time,
        has_messages: bool,
        is_telling: bool,
        can_decide: impl Fn(&UserKey) -> bool,
    ) -> Result<Vec<Due>, StoreError> {
        if has_messages {
            self.live = Some(Instant::now());
        }
        // What was looked for during a turn may have been found before that was committed.
        let since = self.search.as_ref().and_then(|search| search.asked_in).unwrap_or(turn);
        self.fired.retain(|_, fired| *fired + 1 >= since);
        match &mut self.search {
            None => {
                let found = self.store.due(until, TIMERS_MAX + self.fired.len())?;
                self.due = yet_to_fire(found, &self.fired).collect();
            }
            Some(search) => {
                if let Some(found) = search.found()? {
                    let (fit, unfit): (Vec<Due>, Vec<Due>) =
                        found.into_iter().partition(|(_, key)| can_decide(key));
                    search.note(&fit, &unfit);
                    self.due.extend(yet_to_fire(fit, &self.fired));
                }
                if self.due.is_empty() {
                    search.ask(turn, until, FOUND_MAX + self.fired.len());
                }
            }
        }
        let is_paced = self.are_paced();
        let most = match is_paced {
            true if is_telling && !has_messages => 0,
            true => self.pace.most(has_messages),
            false => TIMERS_MAX,
        };
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(due) = self.due.pop_front()
        {
            // Of a shared store, a user may fall to another process since she was found.
            if self.store.is_mine(&due.1) && can_decide(&due.1) {
                self.fired.insert(due.clone(), turn);
                taken.push(due);
            }
        }
        self.share = match taken.len() {
            0 => Share::Nothing,
            full if is_paced && full == most => Share::Full,
            _ => Share::Other,
        };
        Ok(taken)
    }

    /// How late the earliest of those is that are known and yet to be fired, of what is due before an instant.
    pub(super) fn late(&self, until: Time) -> Duration {
        let late_ms =
            self.due.front().map_or(0, |(at, _)| until.milliseconds() - at.milliseconds());
        Duration::from_millis(u64::try_from(late_ms).unwrap_or(0))
    }

    /// What the timers that were taken last are of what a turn may have.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// A turn of which timers had that share was committed, in that time.
    pub(super) fn committed(&mut self, share: Share, took: Duration) {
        self.pace.note(share, took);
    }
}

/// Timers whose turn is not being committed.
fn yet_to_fire(found: Vec<Due>, fired: &HashMap<Due, u64>) -> impl Iterator<Item = Due> {
    found.into_iter().filter(|due| !fired.contains_key(due))
}

/// Looks for timers in a shared store, on a thread of its own: messages do not wait for that.
struct Search {
    orders: Option<SyncSender<(Time, usize)>>,
    answers: Receiver<Result<Vec<Due>, StoreError>>,
    /// The turn in which it was asked, while it looks.
    asked_in: Option<u64>,
    most: usize,
    /// How many timers of users who cannot be decided here come before others: those are looked for behind
    /// them.
    unfit: usize,
    /// When all that there were had been found, and for how long it rests since.
    rests: Option<(Instant, Duration)>,
    thread: Option<JoinHandle<()>>,
}

impl Search {
    fn start(store: Arc<dyn Store>) -> std::io::Result<Search> {
        let (orders, taken) = mpsc::sync_channel::<(Time, usize)>(1);
        let (told, answers) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("muster-timers".to_string());
        let thread = thread.spawn(move || {
            for (until, most) in taken {
                if told.send(store.due(until, most)).is_err() {
                    return;
                }
            }
        })?;
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Search { orders, answers, asked_in: None, most: 0, unfit: 0, rests: None, thread })
    }

    /// Has it look, unless it does, or did a moment ago.
    fn ask(&mut self, turn: u64, until: Time, most: usize) {
        let rests = self.rests.is_some_and(|(since, rest)| since.elapsed() < rest);
        let most = most.saturating_add(self.unfit.saturating_mul(2));
        let Some(orders) = self.orders.as_ref().filter(|_| self.asked_in.is_none() && !rests)
        else {
            return;
        };
        if orders.try_send((until, most)).is_ok() {
            (self.asked_in, self.most) = (Some(turn), most);
        }
    }

    /// What it found, once it did.
    fn found(&mut self) -> Result<Option<Vec<Due>>, StoreError> {
        match self.answers.try_recv() {
            Ok(found) => {
                self.asked_in = None;
                Ok(Some(found?))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => self.resume_panic(),
        }
    }

    /// Notes what there was of what it found. Where there is more, the next look does not wait.
    fn note(&mut self, fit: &[Due], unfit: &[Due]) {
        let is_all = fit.len() + unfit.len() < self.most;
        let rest = match (fit, unfit) {
            ([], [_, ..]) => Some(LOOK_PAST_EVERY),
            _ => is_all.then_some(LOOK_EVERY),
        };
        self.rests = rest.map(|rest| (Instant::now(), rest));
        self.unfit = unfit.len();
    }

    /// The thread ends before it is told to only by a panic, which becomes the worker's.
    fn resume_panic(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(())) | None => unreachable!("the search ended though nobody told it to"),
        }
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told to who asked it.
            drop(thread.join());
        }
    }
}
