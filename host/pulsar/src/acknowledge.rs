//! Giving messages back.
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use pulsar::proto::MessageIdData;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::{
    Place, Received,
    dead_letter::{DeadLetters, letter},
    publisher::Line,
};

/// How many entries of a partition may be delivered from the first on that isn't done: those behind it
/// come again when it does, and each needs some 100 bytes meanwhile.
const UNDONE_MAX: usize = 1 << 14;

/// Stands for one delivered message: to be handed to [`Acknowledger::done`] once the message is
/// durable elsewhere.
///
/// Dropping it frees its place among those in flight without acknowledging anything: its partition is
/// subscribed to anew, and the message comes again, and all after it, here or at another instance.
#[must_use = "a message that is never given back comes again"]
pub struct Ack {
    pub(crate) entry: Arc<Entry>,
    pub(crate) _slot: OwnedSemaphorePermit,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageIdData { ledger_id, entry_id, .. } = self.entry.id;
        write!(f, "Ack({ledger_id}:{entry_id})")
    }
}

/// One delivery of an entry. An entry that is delivered again is another `Entry`.
pub(crate) struct Entry {
    pub(crate) id: MessageIdData,
    pub(crate) sequence: Arc<Sequence>,
    /// Its number in the sequence.
    number: u64,
    left: AtomicUsize,
}

impl Entry {
    /// Its message that was left last is done.
    fn done_one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.sequence.done(self.number);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sequence.outbox.out.fetch_sub(1, Ordering::AcqRel);
        if *self.left.get_mut() > 0 {
            self.sequence.dropped.notify_one();
        }
    }
}

/// The entries that one consumer of a partition delivered, in order.
///
/// They are acknowledged up to the first that isn't done, so that the broker always holds one place
/// behind which everything is still to come: what comes next can be checked against it.
pub(crate) struct Sequence {
    pub(crate) outbox: Arc<Outbox>,
    entries: Mutex<Undone>,
    dropped: Notify,
}

/// The entries from the first on that isn't done.
#[derive(Default)]
struct Undone {
    /// The number of the first.
    first: u64,
    entries: VecDeque<(MessageIdData, bool)>,
}

impl Sequence {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Arc<Sequence> {
        Arc::new(Sequence { outbox, entries: Mutex::default(), dropped: Notify::new() })
    }

    /// An entry is delivered, as so many messages.
    pub(crate) fn deliver(self: &Arc<Sequence>, mut id: MessageIdData, messages: usize) -> Entry {
        // The broker acknowledges entries, and would take one message's number for its entry's.
        id.batch_index = None;
        self.outbox.out.fetch_add(1, Ordering::AcqRel);
        let number = self.push(id.clone());
        Entry { id, sequence: Arc::clone(self), number, left: AtomicUsize::new(messages) }
    }

    /// Notes an entry, and gives its number.
    pub(crate) fn push(&self, id: MessageIdData) -> u64 {
        let mut undone = self.lock();
        undone.entries.push_back((id, false));
        undone.first + undone.entries.len() as u64 - 1
    }

    pub(crate) fn done(&self, number: u64) {
        let mut undone = self.lock();
        let place = usize::try_from(number - undone.first).unwrap_or(usize::MAX);
        if let Some((_, is_done)) = undone.entries.get_mut(place) {
            *is_done = true;
        }
        let mut last = None;
        while let Some((id, _)) = undone.entries.pop_front_if(|(_, is_done)| *is_done) {
            undone.first += 1;
            last = Some(id);
        }
        drop(undone);
        if let Some(last) = last {
            self.outbox.put(last);
        }
    }

    /// Whether no more should be delivered until the first that isn't done is.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().entries.len() >= UNDONE_MAX
    }

    /// Waits until somebody drops an entry that isn't done: what comes after it can't be acknowledged
    /// before it has come again.
    pub(crate) async fn is_dropped(&self) {
        self.dropped.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Undone> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be acknowledged of a partition. It outlives the partition's clients: what was given back
/// during an outage is acknowledged after it.
pub(crate) struct Outbox {
    pub(crate) partition: Arc<str>,
    /// The last entry of which, and of all before it, everything is done.
    up_to: Mutex<UpTo>,
    filled: Notify,
    /// How many entries were delivered whose messages somebody still has.
    out: AtomicUsize,
    /// The entry for which the last client was given up: it came before others.
    early: Mutex<Option<Place>>,
    /// Up to where all was acknowledged when a client was given up because nobody seemed to read.
    stood_at: Mutex<Option<MessageIdData>>,
}

#[derive(Default)]
struct UpTo {
    id: Option<MessageIdData>,
    is_taken: bool,
}

impl Outbox {
    pub(crate) fn new(partition: Arc<str>) -> Outbox {
        Outbox {
            partition,
            up_to: Mutex::default(),
            filled: Notify::new(),
            out: AtomicUsize::new(0),
            early: Mutex::default(),
            stood_at: Mutex::default(),
        }
    }

    /// Whether nothing of the partition is with anybody.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.load(Ordering::Acquire) == 0 && self.is_empty()
    }

    fn put(&self, id: MessageIdData) {
        let mut up_to = self.lock();
        // Clients follow on each other, and the entries of an earlier one may be done later. What was sent
        // already doesn't count: somebody may have set the subscription back since.
        let waits = up_to.id.as_ref().filter(|_| !up_to.is_taken);
        if waits.is_none_or(|waits| Place::of(waits) < Place::of(&id)) {
            *up_to = UpTo { id: Some(id), is_taken: false };
            self.filled.notify_one();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let up_to = self.lock();
        up_to.is_taken || up_to.id.is_none()
    }

    /// Up to where to acknowledge, as soon as there is something new. Dropping the future takes
    /// nothing.
    pub(crate) async fn take(&self) -> MessageIdData {
        loop {
            {
                let mut up_to = self.lock();
                if let UpTo { id: Some(id), is_taken: is_taken @ false } = &mut *up_to {
                    *is_taken = true;
                    return id.clone();
                }
            }
            self.filled.notified().await;
        }
    }

    /// The entry came before others, and its client is given up for it; unless the last one was too.
    /// That one's reading had passed the entry, so that whoever sends it again has gone back, as far
    /// as there is anything to go back to.
    pub(crate) fn came_early(&self, place: Place) -> bool {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        match *early == Some(place) {
            true => {
                *early = None;
                false
            }
            false => {
                *early = Some(place);
                true
            }
        }
    }

    /// An entry was passed on; when it is the one that came early, or one behind that, all is well again.
    pub(crate) fn came_in_order(&self, place: Place) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        *early = early.filter(|early| *early > place);
    }

    /// Nobody acknowledges anything beyond there. Says whether that is new.
    pub(crate) fn stands_at(&self, acknowledged: Option<&MessageIdData>) -> bool {
        let mut stood = self.stood_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = stood.as_ref() != acknowledged;
        *stood = acknowledged.cloned();
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, UpTo> {
        self.up_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives messages back, from any thread.
#[derive(Clone)]
pub struct Acknowledger {
    pub(crate) dead_letters: Arc<DeadLetters>,
}

impl fmt::Debug for Acknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledger")
    }
}

impl Acknowledger {
    /// The message is durable elsewhere. It is acknowledged when all of its entry and of those before
    /// it in its partition are.
    ///
    /// Nothing is waited for and nothing fails: an acknowledgement that is lost on its way leaves
    /// the entry to be delivered once more.
    pub fn done(&self, ack: Ack) {
        let Ack { entry, _slot } = ack;
        entry.done_one();
    }

    /// Puts messages that can't be used into the dead-letter topic, together, each with its reason,
    /// and then gives them back. A letter has its message's key, and the properties
    /// [`REASON`](crate::REASON), [`PARTITION`](crate::PARTITION) and [`PLACE`](crate::PLACE). Of a
    /// payload beyond 1 MiB it has the beginning, and the property [`LENGTH`](crate::LENGTH).
    ///
    /// It returns when the broker has confirmed all of them, however long that takes.
    pub async fn dead_letters(&self, refused: Vec<(Received, String)>) {
        // Whoever has none does not wait for those who are writing theirs.
        if refused.is_empty() {
            return;
        }
        let (letters, tokens): (Vec<Line>, Vec<Ack>) = refused
            .into_iter()
            .map(|(received, reason)| {
                let Received { partition, place, key, payload, token } = received;
                (letter(&partition, place, key, payload, &reason), token)
            })
            .unzip();
        self.dead_letters.put(letters).await;
        tokens.into_iter().for_each(|token| self.done(token));
    }
}
