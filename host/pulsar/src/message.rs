//! Messages as they come and lines as they go.
use std::{fmt, sync::Arc};

use pulsar::proto::MessageIdData;

use crate::Ack;

/// The property in which a published line carries its id.
pub const ID: &str = "id";

/// The property of a dead letter that says why it is one.
pub const REASON: &str = "reason";

/// The property of a dead letter that names the partition it was in.
pub const PARTITION: &str = "partition";

/// The property of a dead letter that says where in its partition it was, as `ledger:entry:batch`.
pub const PLACE: &str = "place";

/// The property of a dead letter that says how many bytes its message had, where it has only the
/// first of them.
pub const LENGTH: &str = "length";

/// Where a message was in its partition. Places of one partition are ordered as its messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The ledger, a stretch of the partition.
    pub ledger: u64,
    /// The entry in it: what the producer sent at once, and what is acknowledged.
    pub entry: u64,
    /// The message's number in a batched entry; 0 in one that holds a single message.
    pub batch: u32,
}

impl Place {
    pub(crate) fn of(id: &MessageIdData) -> Place {
        let batch = id.batch_index.and_then(|index| u32::try_from(index).ok());
        Place { ledger: id.ledger_id, entry: id.entry_id, batch: batch.unwrap_or(0) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.ledger, self.entry, self.batch)
    }
}

/// A message that a [`Source`](crate::Source) delivered.
#[derive(Debug)]
pub struct Received {
    /// Its partition, by the full name of its topic.
    pub partition: Arc<str>,
    /// Its place there.
    pub place: Place,
    /// The key it was published with.
    pub key: Option<String>,
    /// What it says.
    pub payload: Vec<u8>,
    /// Gives it back; see [`Acknowledger`](crate::Acknowledger).
    pub token: Ack,
}

/// A line to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Lines of one key keep their order; for Muster, the user.
    pub key: String,
    /// Carried in the property [`ID`]: the same in every repetition of the line.
    pub id: String,
    /// What it says.
    pub payload: Vec<u8>,
}
