//! Entries that can't be taken apart, and messages that are too long.
use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use muster_pulsar::{LENGTH, PARTITION, PLACE, REASON, Sink, Status};
use pulsar::proto::{CompressionType, EncryptionKeys, MessageMetadata};

use crate::{
    raw::RawProducer,
    stage::{Stage, first, lines, receive, said, soon, until},
};

fn zlib(data: &[u8]) -> Result<Vec<u8>> {
    let level = flate2::Compression::default();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

fn compressed(compression: CompressionType, size: usize) -> MessageMetadata {
    MessageMetadata {
        partition_key: Some("eve".to_owned()),
        compression: Some(compression.into()),
        uncompressed_size: u32::try_from(size).ok(),
        ..MessageMetadata::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_cannot_be_taken_apart_hold_nothing_up() -> Result<()> {
    let stage = Stage::shared(1)?;
    let partition = format!("{}-partition-0", stage.topic);
    let sink = stage.sink().await?;
    let mut raw = RawProducer::open(&stage.url, &partition).await?;
    let batch = MessageMetadata { num_messages_in_batch: Some(3), ..MessageMetadata::default() };
    let sealed =
        MessageMetadata { encryption_keys: vec![EncryptionKeys::default()], ..batch.clone() };
    let bomb = zstd::encode_all(std::io::repeat(0).take_bytes(1 << 30), 1)?;
    let bad: [(MessageMetadata, &[u8], &str); 5] = [
        (compressed(CompressionType::Zstd, 5), b"no zstd", "its payload cannot be decompressed"),
        (batch, b"no batch", "it is a batch of 3 messages, and no message 0 is in it"),
        (sealed, b"no plain text", "it is encrypted, which Muster cannot read"),
        (compressed(CompressionType::Zstd, 1 << 30), &bomb, "longer than 33554432 bytes"),
        (compressed(CompressionType::Lz4, 2 << 30), b"short", "longer than 33554432 bytes"),
    ];
    sink.publish(lines("ada", 0..1)).await;
    for (number, (metadata, data, _)) in bad.iter().enumerate() {
        raw.send(metadata.clone(), data).await?;
        sink.publish(lines("ada", number + 1..number + 2)).await;
    }

    let mut source = stage.source("one").await?;
    let received = receive(&mut source, 6).await;
    for (number, received) in received.into_iter().enumerate() {
        assert_eq!(said(&received.payload)?, ("ada".to_owned(), number));
        source.acknowledger().done(received.token);
    }
    let letters = first(&stage.url, &stage.dead_letters(), 5).await?;
    assert_eq!(*source.dead_letters().borrow(), 5);
    let mut places = Vec::new();
    for (letter, (metadata, data, reason)) in letters.iter().zip(&bad) {
        assert!(letter.properties[REASON].contains(reason), "{}", letter.properties[REASON]);
        assert!(letter.properties[PARTITION].ends_with(&partition));
        assert_eq!((&letter.key, &*letter.payload), (&metadata.partition_key, *data));
        places.push(letter.properties[PLACE].clone());
    }
    places.dedup();
    assert_eq!(places.len(), 5, "{places:?}");
    until("nothing is left", || Ok(stage.admin.backlog(&partition, "muster")? == 0)).await?;
    assert_eq!(*source.status().borrow(), Status::Connected);
    Ok(())
}

/// `Read::take` by its own name, which `Iterator` has too.
trait TakeBytes: std::io::Read + Sized {
    fn take_bytes(self, bytes: u64) -> std::io::Take<Self> {
        std::io::Read::take(self, bytes)
    }
}

impl<R: std::io::Read> TakeBytes for R {}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_has_the_beginning_of_a_message_that_is_too_long() -> Result<()> {
    let stage = Stage::shared(0)?;
    let mut raw = RawProducer::open(&stage.url, &stage.topic).await?;
    // Longer than the broker takes; it came here compressed.
    let long = vec![b' '; 8 << 20];
    raw.send(compressed(CompressionType::Zlib, long.len()), &zlib(&long)?).await?;
    let mut source = stage.source("one").await?;
    let received = receive(&mut source, 1).await.remove(0);
    assert_eq!(received.payload.len(), 8 << 20);
    let refused = vec![(received, "too many spaces".to_owned())];
    soon("the letter", source.acknowledger().dead_letters(refused)).await;
    let letter = first(&stage.url, &stage.dead_letters(), 1).await?.remove(0);
    assert_eq!(letter.payload.len(), 1 << 20);
    assert_eq!(letter.properties.get(LENGTH).map(String::as_str), Some("8388608"));
    until("it is given back", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_long_is_named_and_not_sent() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = Sink::open(stage.connection(), &stage.topic, "publisher").await?;
    let mut status = sink.status();
    let mut three = lines("ada", 0..3);
    three[1].payload.resize(6 << 20, b' ');
    {
        let publishing = sink.publish(three);
        let waiting = status.wait_for(|status| *status != Status::Connected);
        let reason = tokio::select! {
            () = publishing => anyhow::bail!("a line of 6 MiB was published"),
            waiting = soon("the status", waiting) => match &*waiting? {
                Status::Waiting { reason, .. } => reason.clone(),
                Status::Connected => String::new(),
            },
        };
        let expected = "the line `ada-1` has 6291469 bytes, and the broker takes 5242880: raise";
        assert!(reason.contains(expected), "{reason}");
    }
    // Whoever gives it up can go on, and what was before it is there.
    soon("another line", sink.publish(lines("ada", 3..4))).await;
    assert_eq!(*status.borrow_and_update(), Status::Connected);
    let published = first(&stage.url, &stage.topic, 2).await?;
    let said: Vec<_> = published.iter().map(|line| said(&line.payload)).collect::<Result<_>>()?;
    assert_eq!(said, [("ada".to_owned(), 0), ("ada".to_owned(), 3)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_are_not_all_held_at_once() -> Result<()> {
    let stage = Stage::shared(0)?;
    let mut raw = RawProducer::open(&stage.url, &stage.topic).await?;
    let data = vec![b' '; 3 << 20];
    for _ in 0..50 {
        raw.send(MessageMetadata::default(), &data).await?;
    }
    let mut source = stage.source("one").await?;
    let (mut sent, mut looks) = (0, 0);
    until("the client asks for no more", || {
        let now = stage.admin.sent(&stage.topic, "muster")?;
        looks = if now == sent { looks + 1 } else { 0 };
        sent = now;
        Ok(looks == 40)
    })
    .await?;
    assert!(sent <= 35, "{sent} messages of 3 MiB were taken in");
    for number in 0..50 {
        let received = tokio::time::timeout(Duration::from_secs(60), source.receive()).await;
        let received = received.with_context(|| format!("message {number}"))?;
        source.acknowledger().done(received.token);
    }
    until("nothing is left", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}
