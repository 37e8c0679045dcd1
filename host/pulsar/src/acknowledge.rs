//! Giving messages back.
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use pulsar::proto::MessageIdData;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::{Received, dead_letter::letter, publisher::Publisher};

/// Stands for one delivered message: to be handed to [`Acknowledger::done`] once the message is
/// durable elsewhere.
///
/// Dropping it frees its place among those in flight without acknowledging anything: the message
/// comes again, here or at another instance, after a silence or when the client is next built.
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

/// One delivery of an entry. An entry that is delivered again is another `Entry`, and is
/// acknowledged when all messages of either delivery were given back.
pub(crate) struct Entry {
    pub(crate) id: MessageIdData,
    pub(crate) outbox: Arc<Outbox>,
    left: AtomicUsize,
}

impl Entry {
    pub(crate) fn new(mut id: MessageIdData, messages: usize, outbox: Arc<Outbox>) -> Entry {
        // The broker acknowledges entries, and would take one message's number for its entry's.
        id.batch_index = None;
        outbox.out.fetch_add(1, Ordering::AcqRel);
        Entry { id, outbox, left: AtomicUsize::new(messages) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.outbox.out.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The entries of a partition that are to be acknowledged. It outlives the partition's clients: what
/// was given back during an outage is acknowledged after it.
///
/// It holds no more than what is in flight.
pub(crate) struct Outbox {
    pub(crate) partition: Arc<str>,
    entries: Mutex<Vec<MessageIdData>>,
    filled: Notify,
    /// How many entries were delivered whose messages somebody still has.
    out: AtomicUsize,
}

impl Outbox {
    pub(crate) fn new(partition: Arc<str>) -> Outbox {
        Outbox {
            partition,
            entries: Mutex::default(),
            filled: Notify::new(),
            out: AtomicUsize::new(0),
        }
    }

    /// Whether nothing of the partition is with anybody.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.load(Ordering::Acquire) == 0 && self.is_empty()
    }

    pub(crate) fn put(&self, id: MessageIdData) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.filled.notify_one();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Everything in it, as soon as there is something. Dropping the future takes nothing.
    pub(crate) async fn take(&self) -> Vec<MessageIdData> {
        loop {
            let entries = {
                let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *entries)
            };
            if !entries.is_empty() {
                return entries;
            }
            self.filled.notified().await;
        }
    }
}

/// Gives messages back, from any thread.
#[derive(Clone)]
pub struct Acknowledger {
    pub(crate) dead_letters: Arc<Publisher>,
}

impl fmt::Debug for Acknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledger")
    }
}

impl Acknowledger {
    /// The message is durable elsewhere. Its entry is acknowledged when all of its messages are.
    ///
    /// Nothing is waited for and nothing fails: an acknowledgement that is lost on its way leaves
    /// the entry to be delivered once more.
    pub fn done(&self, ack: Ack) {
        let Ack { entry, _slot } = ack;
        if entry.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            entry.outbox.put(entry.id.clone());
        }
    }

    /// Puts a message that can't be used into the dead-letter topic, with its key and the properties
    /// [`REASON`](crate::REASON), [`PARTITION`](crate::PARTITION) and [`PLACE`](crate::PLACE), and
    /// then gives it back. Of a payload beyond 1 MiB the letter has the beginning, and the property
    /// [`LENGTH`](crate::LENGTH).
    ///
    /// It returns when the broker has confirmed the letter, however long that takes.
    pub async fn dead_letter(&self, received: Received, reason: &str) {
        let Received { partition, place, key, payload, token } = received;
        let letter = letter(&partition, place, key, payload, reason);
        self.dead_letters.publish(vec![letter]).await;
        self.done(token);
    }
}
