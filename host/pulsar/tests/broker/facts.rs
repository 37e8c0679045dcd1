//! What the client and the broker do, on which the source and the sink rest. A new version of either
//! that does otherwise shows here.
use anyhow::{Context, Result};
use futures_util::StreamExt;
use pulsar::{
    Consumer, ProducerOptions, SubType, TokioExecutor, producer::Message,
    routing_policy::RoutingPolicy,
};
use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{Stage, client, consumer, consumer_of, first, lines, said, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledging_one_message_acknowledges_its_entry() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..5)).await;
    let mut consumer = consumer(&stage.url, &stage.topic, "muster").await?;
    let message = soon("a message", consumer.next()).await.context("the stream ended")??;
    assert_eq!(
        (message.message_id.id.batch_index, message.message_id.batch_size),
        (Some(0), Some(5))
    );
    assert_eq!(stage.admin.backlog(&stage.topic, "muster")?, 1);
    consumer.ack(&message).await?;
    until("all five are gone", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_tells_an_idle_consumer_what_it_may_be_sent() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..5)).await;
    let mut active = consumer(&stage.url, &stage.topic, "muster").await?;
    for _ in 0..5 {
        soon("a message", active.next()).await.context("the stream ended")??;
    }
    let mut standing_by = consumer(&stage.url, &stage.topic, "muster").await?;
    for consumer in [&mut active, &mut standing_by] {
        let stats = consumer.get_stats().await?.remove(0);
        assert_eq!(stats.error_code, None);
        assert_eq!(stats.msg_backlog, Some(1), "what was delivered and is still out counts");
        assert!(stats.available_permits.unwrap_or(0).cast_signed() > 0, "{stats:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_own_producer_scatters_keys_unless_told() -> Result<()> {
    let stage = Stage::shared(4)?;
    let client = client(&stage.url).await?;
    for (routing_policy, partitions) in [(None, 4), (Some(RoutingPolicy::RoundRobin), 1)] {
        let options = ProducerOptions { routing_policy, ..ProducerOptions::default() };
        let producer = client.producer().with_topic(&stage.topic).with_options(options);
        let mut producer = producer.build().await?;
        let mut used = BTreeSet::new();
        for _ in 0..8 {
            let partition_key = Some("ada".to_owned());
            let message = Message { partition_key, ..Message::default() };
            let receipt = producer.send_non_blocking(message).await?.await?;
            used.insert(receipt.producer_id);
        }
        assert_eq!(used.len(), partitions, "{used:?}");
    }
    assert_eq!(first(&stage.url, &stage.topic, 16).await?.len(), 16);
    Ok(())
}

/// Handing one message back brings all of them back under Failover: in order, but a whole backlog
/// for one message. The source hands nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn handing_one_message_back_rewinds_the_whole_subscription() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for number in 0..5 {
        sink.publish(lines("ada", number..number + 1)).await;
    }
    let mut consumer = consumer(&stage.url, &stage.topic, "muster").await?;
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let message = soon("a message", consumer.next()).await.context("the stream ended")??;
        numbers.push(said(&message.payload.data)?.1);
        if numbers.len() == 5 {
            let third = message.message_id.id.entry_id - 2;
            let mut id = message.message_id.id;
            id.entry_id = third;
            consumer.nack_with_id(&message.topic, id).await?;
        }
    }
    assert_eq!(numbers, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    Ok(())
}

type Lines = Consumer<Vec<u8>, TokioExecutor>;

/// The next message of either of two consumers, and which of them it came to.
async fn either(
    one: &mut Lines,
    two: &mut Lines,
) -> Result<(usize, pulsar::consumer::Message<Vec<u8>>)> {
    let next = async {
        tokio::select! {
            message = one.next() => (0, message),
            message = two.next() => (1, message),
        }
    };
    let (receiver, message) = soon("a message", next).await;
    Ok((receiver, message.context("the stream ended")??))
}

/// Under Key_Shared the broker looks at an entry's key and not at those of the messages in it: what is sent in
/// batches comes to whoever has nothing to do with most of its keys, beside whoever has.
#[tokio::test(flavor = "multi_thread")]
async fn under_key_shared_a_batch_goes_to_one_consumer_whatever_its_keys() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    let open = || consumer_of(SubType::KeyShared, &stage.url, &stage.topic, "muster");
    let (mut one, mut two) = (open().await?, open().await?);
    let keys: Vec<String> = (0..16).map(|number| format!("user-{number}")).collect();
    let mut owners = BTreeMap::new();
    for key in &keys {
        sink.publish(lines(key, 0..1)).await;
        let (owner, message) = either(&mut one, &mut two).await?;
        owners.insert(said(&message.payload.data)?.0, owner);
    }
    assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), 2, "{owners:?}");
    sink.publish(keys.iter().flat_map(|key| lines(key, 1..2)).collect()).await;
    let mut elsewhere = 0;
    let mut receivers = BTreeSet::new();
    for _ in &keys {
        let (receiver, message) = either(&mut one, &mut two).await?;
        elsewhere += u32::from(owners.get(&said(&message.payload.data)?.0) != Some(&receiver));
        receivers.insert(receiver);
    }
    assert_eq!(receivers.len(), 1, "the entry was divided");
    assert!(elsewhere > 0, "{owners:?}");
    Ok(())
}

/// Under Key_Shared a consumer is sent some of a partition's entries: that one was left out cannot be seen
/// from what comes after it, and "everything up to here" cannot be acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn under_key_shared_entries_of_a_partition_come_with_holes() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    let open = || consumer_of(SubType::KeyShared, &stage.url, &stage.topic, "muster");
    let (mut one, mut two) = (open().await?, open().await?);
    for number in 0..32 {
        sink.publish(lines(&format!("user-{number}"), 0..1)).await;
    }
    let mut entries = [Vec::new(), Vec::new()];
    let mut last = None;
    for _ in 0..32 {
        let (receiver, message) = either(&mut one, &mut two).await?;
        entries[receiver].push(message.message_id.id.entry_id);
        last = (receiver == 0).then_some(message).or(last);
    }
    for entries in &entries {
        assert!(entries.windows(2).any(|two| two[1] != two[0] + 1), "{entries:?}");
    }
    let last = last.context("one consumer got everything")?;
    // The client hands it to the broker, which does nothing of the kind.
    one.cumulative_ack(&last).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(stage.admin.backlog(&stage.topic, "muster")?, 32);
    Ok(())
}
