//! Entries as a broker keeps them: what a producer sent at once, sealed, compressed, one message or
//! many.
mod inflate;

use bytes::{Buf, Bytes};
use crc::{CRC_32_ISCSI, Crc};
use prost::Message as _;
use pulsar::proto::{CompressionType, MessageIdData, MessageMetadata, SingleMessageMetadata};

const CHECKED: [u8; 2] = [0x0e, 0x01];
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// An entry that came and was not taken apart yet: compressed, it needs the least memory.
pub(crate) struct Sealed {
    pub(crate) id: MessageIdData,
    /// Damaged where the entry doesn't say what it is.
    metadata: Result<MessageMetadata, Damage>,
    payload: Bytes,
}

/// One message of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: Option<String>,
    pub(crate) payload: Vec<u8>,
}

/// Why an entry can't be taken apart, in words for whoever reads its dead letter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damage(pub(crate) String);

/// An entry that can't be taken apart, with what is known of it.
pub(crate) struct Damaged {
    pub(crate) key: Option<String>,
    pub(crate) payload: Bytes,
    pub(crate) damage: Damage,
}

impl Sealed {
    /// What lies behind a message's command.
    pub(crate) fn new(id: MessageIdData, rest: Bytes) -> Sealed {
        match unseal(rest.clone()) {
            Ok((metadata, payload)) => Sealed { id, metadata: Ok(metadata), payload },
            Err(damage) => Sealed { id, metadata: Err(damage), payload: rest },
        }
    }

    /// How many messages the broker counts it for.
    pub(crate) fn messages(&self) -> usize {
        let count = self.metadata.as_ref().ok().and_then(|known| known.num_messages_in_batch);
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Its messages, of `bytes_max` together at most.
    pub(crate) fn open(self, bytes_max: usize) -> Result<Vec<Message>, Damaged> {
        let Sealed { metadata, payload, .. } = self;
        let metadata =
            metadata.map_err(|damage| Damaged { key: None, payload: payload.clone(), damage })?;
        messages(&metadata, &payload, bytes_max).map_err(|damage| Damaged {
            key: metadata.partition_key,
            payload,
            damage,
        })
    }
}

fn unseal(mut rest: Bytes) -> Result<(MessageMetadata, Bytes), Damage> {
    if rest.starts_with(&CHECKED) {
        rest.advance(CHECKED.len());
        let told = rest.try_get_u32().map_err(|_| cut_short())?;
        if CHECKSUM.checksum(&rest) != told {
            return Err(Damage("its checksum is not that of what it holds".to_owned()));
        }
    }
    let length = rest.try_get_u32().map_err(|_| cut_short())? as usize;
    if length > rest.len() {
        return Err(cut_short());
    }
    let metadata = MessageMetadata::decode(rest.split_to(length));
    let metadata = metadata.map_err(|error| Damage(format!("its metadata is none: {error}")))?;
    Ok((metadata, rest))
}

fn messages(
    metadata: &MessageMetadata,
    payload: &[u8],
    bytes_max: usize,
) -> Result<Vec<Message>, Damage> {
    if !metadata.encryption_keys.is_empty() {
        return Err(Damage("it is encrypted, which Muster cannot read".to_owned()));
    }
    let compression = metadata.compression.unwrap_or_default();
    let Ok(compression) = CompressionType::try_from(compression) else {
        return Err(Damage(format!("its compression, number {compression}, is not known")));
    };
    let size = metadata.uncompressed_size.unwrap_or_default() as usize;
    let payload = inflate::inflate(compression, payload, size, bytes_max)?;
    match metadata.num_messages_in_batch {
        Some(count) => batched(Bytes::from(payload), count),
        None => Ok(vec![Message { key: metadata.partition_key.clone(), payload }]),
    }
}

fn batched(mut payload: Bytes, count: i32) -> Result<Vec<Message>, Damage> {
    if count < 1 {
        return Err(Damage(format!("it is a batch of {count} messages")));
    }
    // Not reserved: the number may be anything.
    let mut messages = Vec::new();
    for number in 0..count {
        let message = next(&mut payload);
        let message = message.ok_or_else(|| {
            Damage(format!("it is a batch of {count} messages, and no message {number} is in it"))
        })?;
        messages.push(message);
    }
    Ok(messages)
}

fn next(payload: &mut Bytes) -> Option<Message> {
    let length = payload.try_get_u32().ok()? as usize;
    if length > payload.len() {
        return None;
    }
    let metadata = SingleMessageMetadata::decode(payload.split_to(length)).ok()?;
    let size = usize::try_from(metadata.payload_size).ok()?;
    if size > payload.len() {
        return None;
    }
    Some(Message { key: metadata.partition_key, payload: payload.split_to(size).to_vec() })
}

fn cut_short() -> Damage {
    Damage("it ends before its metadata do".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(metadata: &MessageMetadata, payload: &[u8]) -> Vec<u8> {
        let metadata = metadata.encode_to_vec();
        let mut rest = (metadata.len() as u32).to_be_bytes().to_vec();
        rest.extend_from_slice(&metadata);
        rest.extend_from_slice(payload);
        let mut checked = CHECKED.to_vec();
        checked.extend_from_slice(&CHECKSUM.checksum(&rest).to_be_bytes());
        checked.extend_from_slice(&rest);
        checked
    }

    fn open(rest: &[u8]) -> Result<Vec<Message>, String> {
        let sealed = Sealed::new(MessageIdData::default(), Bytes::copy_from_slice(rest));
        sealed.open(1_000).map_err(|damaged| damaged.damage.0)
    }

    #[test]
    fn no_bytes_whatever_are_more_than_damaged() {
        let metadata = MessageMetadata {
            num_messages_in_batch: Some(2),
            partition_key: Some("ada".to_owned()),
            ..MessageMetadata::default()
        };
        let single = SingleMessageMetadata { payload_size: 3, ..Default::default() };
        let single = single.encode_to_vec();
        let mut batch = Vec::new();
        for payload in [b"one", b"two"] {
            batch.extend_from_slice(&(single.len() as u32).to_be_bytes());
            batch.extend_from_slice(&single);
            batch.extend_from_slice(payload);
        }
        let whole = sealed(&metadata, &batch);
        assert_eq!(open(&whole).map(|messages| messages.len()), Ok(2));
        for length in 0..whole.len() {
            assert!(open(&whole[..length]).is_err(), "cut to {length} bytes");
            let mut other = whole.clone();
            other[length] ^= 0x40;
            assert!(open(&other).is_err(), "another byte {length}");
        }
        // Without a checksum a byte may go unnoticed, but nothing panics.
        let unchecked = &whole[6..];
        for length in 0..unchecked.len() {
            for bit in 0..8 {
                let mut other = unchecked.to_vec();
                other[length] ^= 1 << bit;
                open(&other).ok();
            }
        }
    }

    #[test]
    fn what_is_encrypted_is_not_taken_for_a_message() {
        let keys = vec![pulsar::proto::EncryptionKeys::default()];
        let metadata = MessageMetadata { encryption_keys: keys, ..MessageMetadata::default() };
        let refused = open(&sealed(&metadata, b"secret"));
        assert_eq!(refused, Err("it is encrypted, which Muster cannot read".to_owned()));
    }
}
