//! What becomes of a message that can't be used.
use std::fmt;

use tokio::sync::watch;

use crate::{
    Place,
    message::{LENGTH, PARTITION, PLACE, REASON},
    publisher::{Line, Publisher},
};

/// What a letter carries of its message's payload, and of its key and reason: all together far below
/// what brokers take, however long the message was.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
const KEY_BYTES_MAX: usize = 16 << 10;
const REASON_BYTES_MAX: usize = 16 << 10;

/// The topic of dead letters.
pub(crate) struct DeadLetters {
    publisher: Publisher,
    /// How many were put there.
    count: watch::Sender<u64>,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetters({})", *self.count.borrow())
    }
}

impl DeadLetters {
    pub(crate) fn new(publisher: Publisher) -> DeadLetters {
        DeadLetters { publisher, count: watch::Sender::new(0) }
    }

    /// Puts some there, however long that takes.
    pub(crate) async fn put(&self, letters: Vec<Line>) {
        let put = letters.len() as u64;
        self.publisher.publish(letters).await;
        self.count.send_modify(|count| *count += put);
    }

    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

/// The dead letter of what was at `place`. What is too long for a letter is cut, but for a key: half
/// of one would be another's.
pub(crate) fn letter(
    partition: &str,
    place: Place,
    key: Option<String>,
    mut payload: Vec<u8>,
    reason: &str,
) -> Line {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut properties = vec![
        (REASON, reason.to_owned()),
        (PARTITION, partition.to_owned()),
        (PLACE, place.to_string()),
    ];
    if payload.len() > PAYLOAD_BYTES_MAX {
        properties.push((LENGTH, payload.len().to_string()));
        payload.truncate(PAYLOAD_BYTES_MAX);
    }
    let key = key.filter(|key| key.len() <= KEY_BYTES_MAX);
    Line { key, properties, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_makes_a_letter_that_is_too_long() {
        let long = "é".repeat(3 << 20);
        let place = Place { ledger: 1, entry: 2, batch: 0 };
        let letter = letter("in", place, Some(long.clone()), long.clone().into_bytes(), &long);
        assert_eq!((letter.key, letter.payload.len()), (None, PAYLOAD_BYTES_MAX));
        assert_eq!(letter.properties[0].1.len(), REASON_BYTES_MAX);
        assert_eq!(letter.properties[3], (LENGTH, "6291456".to_owned()));
    }
}
