//! Whether what came is what comes next.
use std::time::Duration;

use pulsar::proto::MessageIdData;
use tokio::time::Instant;

use crate::{Place, wire::WireError};

/// When the broker is asked once more, while what is out may still be acknowledged.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often in all, where nothing is out, and how long it is waited for what is.
const QUESTIONS_MAX: u32 = 3;
const WAITS_MAX: u32 = 200;

/// The entries of one subscribing, one after the other.
///
/// It begins anew when another consumer is active meanwhile. A consumer is to be sent everything from the first entry on that isn't acknowledged. Brokers also
/// begin with a later one when they go on reading for a consumer that has just gone (Pulsar 4.0:
/// `PersistentDispatcherSingleActiveConsumer` reads on when the last write to it fails, before it
/// rewinds). So an entry that doesn't follow on the last one is passed on only when the broker has
/// said that all before it is acknowledged.
#[derive(Default)]
pub(crate) struct Order {
    last: Option<Place>,
    /// What may come next, whatever came before it.
    admitted: Option<Place>,
    doubt: Option<Doubt>,
}

/// Of the entry that is next to be passed on.
struct Doubt {
    place: Place,
    questions: u32,
    /// How many of the answers came while something was out.
    waits: u32,
    /// When to ask, or by when the answer must be there.
    due: Instant,
    is_asked: bool,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Next,
    AskAgain,
    /// Entries before it were not sent.
    OutOfOrder,
}

impl Order {
    /// Whether the entry is next, as far as those before it tell; it is doubted otherwise. The first
    /// entry of a ledger follows on any before it: where that one ends isn't said.
    pub(crate) fn is_next(&mut self, place: Place) -> bool {
        let is_next = self.last.is_some_and(|last| match place.ledger == last.ledger {
            true => place.entry == last.entry + 1,
            false => place.ledger > last.ledger && place.entry == 0,
        });
        let is_next = is_next || self.admitted == Some(place);
        if !is_next && self.doubt.is_none() {
            self.doubt =
                Some(Doubt { place, questions: 0, waits: 0, due: Instant::now(), is_asked: false });
        }
        is_next
    }

    /// The entry was passed on.
    pub(crate) fn passed(&mut self, place: Place) {
        *self = Order { last: Some(place), ..Order::default() };
    }

    /// The doubted entry is the next one.
    pub(crate) fn admit(&mut self, place: Place) {
        self.admitted = Some(place);
        self.doubt = None;
    }

    /// When to ask the broker what is acknowledged, where there is a doubt.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.doubt.as_ref().map(|doubt| doubt.due)
    }

    /// The broker is asked, unless it was and hasn't answered.
    pub(crate) fn ask(&mut self, request_time: Duration) -> Result<(), WireError> {
        match &mut self.doubt {
            Some(doubt) if doubt.is_asked => Err(WireError::Silent(request_time)),
            Some(doubt) => {
                doubt.is_asked = true;
                doubt.questions += 1;
                doubt.due = Instant::now() + request_time;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The broker says up to where all is acknowledged; older ones don't. `is_idle` when nothing that
    /// was passed on is still out.
    pub(crate) fn answered(
        &mut self,
        acknowledged: Option<&MessageIdData>,
        is_idle: bool,
    ) -> Option<(Place, Verdict)> {
        let doubt = self.doubt.as_mut()?;
        let place = doubt.place;
        doubt.is_asked = false;
        doubt.due = Instant::now() + AGAIN_AFTER;
        let verdict = if acknowledged.is_none_or(|up_to| reaches(up_to, place)) {
            Verdict::Next
        } else if self.last.is_some() && !is_idle && doubt.waits < WAITS_MAX {
            (doubt.questions, doubt.waits) = (0, doubt.waits + 1);
            Verdict::AskAgain
        } else if doubt.questions < QUESTIONS_MAX {
            Verdict::AskAgain
        } else {
            Verdict::OutOfOrder
        };
        Some((place, verdict))
    }
}

/// Whether all before an entry is acknowledged when all up to there is. The protocol has no sign, and
/// what lies before a ledger's first entry is its entry -1.
fn reaches(up_to: &MessageIdData, place: Place) -> bool {
    let (ledger, entry) = (up_to.ledger_id.cast_signed(), up_to.entry_id.cast_signed());
    let (of, before) = (place.ledger.cast_signed(), place.entry.cast_signed() - 1);
    ledger > of || (ledger == of && entry >= before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ledger: u64, entry: u64) -> Place {
        Place { ledger, entry, batch: 0 }
    }

    fn up_to(ledger: i64, entry: i64) -> MessageIdData {
        MessageIdData {
            ledger_id: ledger.cast_unsigned(),
            entry_id: entry.cast_unsigned(),
            ..MessageIdData::default()
        }
    }

    #[test]
    fn an_entry_follows_on_the_one_before_it() {
        let mut order = Order::default();
        order.passed(place(3, 7));
        let next = [(3, 8), (4, 0), (9, 0)];
        let others = [(3, 6), (3, 7), (3, 9), (4, 1), (2, 0), (2, 8)];
        for (ledger, entry) in next {
            assert!(order.is_next(place(ledger, entry)), "{ledger}:{entry}");
        }
        assert!(order.due().is_none());
        for (ledger, entry) in others {
            assert!(!order.is_next(place(ledger, entry)), "{ledger}:{entry}");
        }
        assert!(order.due().is_some());
    }

    #[test]
    fn everything_before_the_first_entry_is_acknowledged() {
        let known = [
            (up_to(3, 7), place(3, 8), true),
            (up_to(3, 9), place(3, 8), true),
            (up_to(3, 6), place(3, 8), false),
            (up_to(3, -1), place(3, 0), true),
            (up_to(3, -1), place(3, 1), false),
            (up_to(-1, -1), place(0, 0), false),
            (up_to(2, 9), place(3, 0), false),
            (up_to(4, -1), place(3, 8), true),
        ];
        for (up_to, place, expected) in known {
            assert_eq!(reaches(&up_to, place), expected, "{up_to:?} {place}");
        }
    }

    #[test]
    fn what_is_out_is_waited_for_before_an_entry_is_found_out_of_order() {
        let mut order = Order::default();
        let answers = |order: &mut Order, is_idle| {
            order.ask(AGAIN_AFTER).ok();
            order.answered(Some(&up_to(3, 4)), is_idle).map(|(_, verdict)| verdict)
        };
        assert_eq!(order.answered(None, true), None, "nothing is doubted");
        order.passed(place(3, 7));
        assert!(!order.is_next(place(3, 9)));
        for _ in 1..WAITS_MAX {
            assert_eq!(answers(&mut order, false), Some(Verdict::AskAgain));
        }
        for _ in 1..QUESTIONS_MAX {
            assert_eq!(answers(&mut order, true), Some(Verdict::AskAgain));
        }
        assert_eq!(answers(&mut order, true), Some(Verdict::OutOfOrder));
        assert!(order.ask(AGAIN_AFTER).is_ok());
        assert!(order.ask(AGAIN_AFTER).is_err(), "it was not answered");
        assert_eq!(order.answered(Some(&up_to(3, 8)), true), Some((place(3, 9), Verdict::Next)));
    }

    #[test]
    fn what_is_out_is_not_waited_for_without_end() {
        let mut order = Order::default();
        order.passed(place(3, 7));
        assert!(!order.is_next(place(3, 9)));
        let verdict = (0..WAITS_MAX + QUESTIONS_MAX).map(|_| {
            order.ask(AGAIN_AFTER).ok();
            order.answered(Some(&up_to(3, 4)), false)
        });
        assert_eq!(verdict.last(), Some(Some((place(3, 9), Verdict::OutOfOrder))));
    }

    /// At the beginning nothing of this subscribing is out that could be acknowledged yet.
    #[test]
    fn a_first_entry_that_is_not_the_first_is_not_waited_for() {
        let mut order = Order::default();
        assert!(!order.is_next(place(3, 9)));
        let mut verdicts = Vec::new();
        for _ in 0..QUESTIONS_MAX {
            order.ask(AGAIN_AFTER).ok();
            verdicts.extend(order.answered(Some(&up_to(3, 4)), false));
        }
        assert_eq!(verdicts.last(), Some(&(place(3, 9), Verdict::OutOfOrder)));
    }
}
