//! Brokers that leave entries out, and consumers that leave entries.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use muster_pulsar::{Source, Status};
use pulsar::proto::BaseCommand;

use crate::{
    between::between,
    stage::{Stage, connection, consumer, lines, receive, said, soon, until},
};

/// A source that is not sent some entries, and how often it has subscribed.
struct Left {
    stage: Stage,
    source: Source,
    subscribed: Arc<AtomicUsize>,
}

/// The topic has `count` entries. `leaves_out` is asked with the number of the subscribing, from 1,
/// and that of the entry.
async fn left(
    count: usize,
    leaves_out: impl Fn(usize, u64) -> bool + Send + Sync + 'static,
) -> Result<Left> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for number in 0..count {
        sink.publish(lines("ada", number..number + 1)).await;
    }
    let subscribed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&subscribed);
    let passes = move |_, command: &BaseCommand| {
        if command.subscribe.is_some() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        let entry = command.message.as_ref().map(|message| message.message_id.entry_id);
        entry.is_none_or(|entry| !leaves_out(counted.load(Ordering::Relaxed), entry))
    };
    let url = between(&stage.url, Arc::new(passes)).await?;
    let source = Source::open(connection(&url), stage.settings("one")).await?;
    Ok(Left { stage, source, subscribed })
}

/// The numbers of the next messages, each given back before the next: until then nobody can say what
/// lies between.
async fn numbers(source: &mut Source, count: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for number in 0..count {
        let received = soon(&format!("message {number} of {count}"), source.receive()).await;
        numbers.push(said(&received.payload)?.1);
        source.acknowledger().done(received.token);
    }
    Ok(numbers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_begins_with_a_later_entry_is_not_believed() -> Result<()> {
    let mut left = left(8, |subscribing, entry| subscribing == 1 && entry < 3).await?;
    assert_eq!(numbers(&mut left.source, 8).await?, (0..8).collect::<Vec<_>>());
    assert_eq!(left.subscribed.load(Ordering::Relaxed), 2);
    until("nothing is left", || Ok(left.stage.admin.backlog(&left.stage.topic, "muster")? == 0))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_leaves_entries_out_is_not_believed() -> Result<()> {
    let mut left =
        left(8, |subscribing, entry| subscribing == 1 && (3..5).contains(&entry)).await?;
    let mut status = left.source.status();
    assert_eq!(numbers(&mut left.source, 3).await?, [0, 1, 2]);
    let waiting = status.wait_for(|status| *status != Status::Connected);
    let Status::Waiting { reason, .. } = soon("waiting", waiting).await?.clone() else {
        anyhow::bail!("it is connected");
    };
    assert!(reason.ends_with(":5:0 before what comes before it"), "{reason}");
    assert_eq!(numbers(&mut left.source, 5).await?, [3, 4, 5, 6, 7]);
    assert_eq!(left.subscribed.load(Ordering::Relaxed), 2);
    Ok(())
}

/// What is not there any more, though nobody has acknowledged it, is not waited for without end.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_never_sent_is_passed_by() -> Result<()> {
    let mut left = left(8, |_, entry| entry == 0 || entry == 4).await?;
    assert_eq!(numbers(&mut left.source, 6).await?, [1, 2, 3, 5, 6, 7]);
    assert_eq!(left.subscribed.load(Ordering::Relaxed), 3, "once for each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_acknowledged_one_by_one_before_are_not_missed() -> Result<()> {
    let mut left = left(8, |_, _| false).await?;
    let stage = &left.stage;
    drop(left.source);
    let mut other = consumer(&stage.url, &stage.topic, "muster").await?;
    for number in 0..8 {
        let message = soon("a message", other.next()).await.context("the stream ended")??;
        if number % 3 == 1 {
            other.ack(&message).await?;
        }
    }
    until("they are acknowledged", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 5))
        .await?;
    other.close().await?;
    drop(other);
    let url = between(&stage.url, {
        let subscribed = Arc::clone(&left.subscribed);
        Arc::new(move |_, command| {
            if command.subscribe.is_some() {
                subscribed.fetch_add(1, Ordering::Relaxed);
            }
            true
        })
    })
    .await?;
    left.source = Source::open(connection(&url), stage.settings("two")).await?;
    assert_eq!(numbers(&mut left.source, 5).await?, [0, 2, 3, 5, 6]);
    assert_eq!(left.subscribed.load(Ordering::Relaxed), 2, "each source once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_dropped_comes_again() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for number in 0..5 {
        sink.publish(lines("ada", number..number + 1)).await;
    }
    let mut source = stage.source("one").await?;
    let mut received = receive(&mut source, 5).await;
    drop(received.remove(2));
    received.into_iter().for_each(|received| source.acknowledger().done(received.token));
    assert_eq!(numbers(&mut source, 3).await?, [2, 3, 4]);
    until("nothing is left", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}

/// By an operator, while somebody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_set_back_begins_again_and_is_acknowledged_again() -> Result<()> {
    let mut left = left(5, |_, _| false).await?;
    assert_eq!(numbers(&mut left.source, 5).await?, [0, 1, 2, 3, 4]);
    let (admin, topic) = (&left.stage.admin, &left.stage.topic);
    until("nothing is left", || Ok(admin.backlog(topic, "muster")? == 0)).await?;
    admin.rewind(topic, "muster")?;
    assert_eq!(numbers(&mut left.source, 5).await?, [0, 1, 2, 3, 4]);
    until("nothing is left again", || Ok(admin.backlog(topic, "muster")? == 0)).await
}
