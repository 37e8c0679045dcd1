//! Where a source keeps a message, by which one that is delivered again is recognised, however late.

use crate::codec::{Damaged, Reader, put_unsigned};

/// Partitions of which a user's positions are kept. A key stays in one partition of a topic, so more
/// than a few come about only by topics that were divided anew again and again.
const PARTITIONS_MAX: usize = 64;

/// A place in a partition: of two messages the later one has the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The part of the partition's log.
    pub ledger: u64,
    /// The entry in that part.
    pub entry: u64,
    /// The message in that entry.
    pub index: u32,
}

/// Where a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    partition: u64,
    place: Place,
}

impl Origin {
    /// A place in the partition of that name.
    pub fn new(partition: &str, place: Place) -> Origin {
        Origin { partition: xxhash_rust::xxh3::xxh3_64(partition.as_bytes()), place }
    }
}

/// How far a user's messages were taken, by partition; the one that moved last is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions(Vec<(u64, Place)>);

impl Positions {
    /// Whether a message was taken already.
    pub(crate) fn has(&self, origin: Origin) -> bool {
        let found = self.0.iter().find(|(partition, _)| *partition == origin.partition);
        found.is_some_and(|(_, place)| origin.place <= *place)
    }

    /// Takes a message that was not taken yet.
    pub(crate) fn advance(&mut self, origin: Origin) {
        self.0.retain(|(partition, _)| *partition != origin.partition);
        if self.0.len() == PARTITIONS_MAX {
            self.0.remove(0);
        }
        self.0.push((origin.partition, origin.place));
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_unsigned(out, self.0.len() as u64);
        for (partition, place) in &self.0 {
            out.extend_from_slice(&partition.to_le_bytes());
            put_unsigned(out, place.ledger);
            put_unsigned(out, place.entry);
            put_unsigned(out, u64::from(place.index));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Positions, Damaged> {
        let positions = (0..reader.length()?).map(|_| {
            let partition = reader.bytes(8)?.try_into().map_err(|_| Damaged)?;
            let (ledger, entry) = (reader.unsigned()?, reader.unsigned()?);
            let index = u32::try_from(reader.unsigned()?).map_err(|_| Damaged)?;
            Ok((u64::from_le_bytes(partition), Place { ledger, entry, index }))
        });
        Ok(Positions(positions.collect::<Result<_, Damaged>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(partition: &str, ledger: u64, entry: u64, index: u32) -> Origin {
        Origin::new(partition, Place { ledger, entry, index })
    }

    #[test]
    fn what_is_not_later_was_taken_by_partition() {
        let mut positions = Positions::default();
        assert!(!positions.has(origin("a", 0, 0, 0)));
        positions.advance(origin("a", 3, 7, 1));
        for taken in [(3, 7, 1), (3, 7, 0), (3, 6, 9), (2, 99, 0)] {
            assert!(positions.has(origin("a", taken.0, taken.1, taken.2)), "{taken:?}");
        }
        for new in [(3, 7, 2), (3, 8, 0), (4, 0, 0)] {
            assert!(!positions.has(origin("a", new.0, new.1, new.2)), "{new:?}");
        }
        assert!(!positions.has(origin("b", 3, 7, 1)));
    }

    #[test]
    fn they_are_kept_and_bounded() {
        let mut positions = Positions::default();
        for partition in 0..=PARTITIONS_MAX as u64 {
            positions.advance(origin(&partition.to_string(), 1, partition, 2));
        }
        let mut bytes = Vec::new();
        positions.encode(&mut bytes);
        assert_eq!(Positions::decode(&mut Reader::new(&bytes)).unwrap(), positions);
        assert!(!positions.has(origin("0", 1, 0, 0)));
        assert!(positions.has(origin("1", 1, 1, 2)));
        assert!(Positions::decode(&mut Reader::new(&bytes[..9])).is_err());
    }
}
