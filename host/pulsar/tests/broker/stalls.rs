//! Brokers that answer some of what they are asked, and partitions that fail while others don't.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use muster_pulsar::{Connection, Outgoing, Sink, Source, SourceSettings, Status};
use pulsar::proto::BaseCommand;
use tokio::sync::watch;

use crate::{
    between::between,
    stage::{Heard, Stage, connection, first, lines, receive, said, soon, until},
};

fn impatient(url: &str) -> Connection {
    Connection { request_time: Duration::from_secs(1), ..connection(url) }
}

/// Why it waits, as soon as it does.
async fn waits(status: &mut watch::Receiver<Status>) -> Result<String> {
    let waiting = status.wait_for(|status| *status != Status::Connected);
    match &*soon("waiting", waiting).await? {
        Status::Waiting { reason, .. } => Ok(reason.clone()),
        Status::Connected => Ok(String::new()),
    }
}

/// A consumer that the broker has made, and whose maker was not told of it, would have the partition
/// and read nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_not_confirmed_leaves_no_consumer_behind() -> Result<()> {
    let stage = Stage::shared(0)?;
    let (subscribing, swallowed) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
    let url = between(
        &stage.url,
        Arc::new(move |number, command| {
            if command.subscribe.is_some() {
                subscribing.store(number, Ordering::Relaxed);
            }
            // Only the first two connections that subscribe are not answered.
            let is_answer = command.success.is_some() || command.error.is_some();
            let swallows = is_answer
                && subscribing.load(Ordering::Relaxed) == number
                && swallowed.fetch_add(1, Ordering::Relaxed) < 2;
            !swallows
        }),
    )
    .await?;
    stage.sink().await?.publish(lines("ada", 0..3)).await;
    for _ in 0..2 {
        let refused = Source::open(impatient(&url), stage.settings("one")).await;
        let refused = refused.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(refused.contains("nothing within 1s"), "{refused}");
    }
    let mut source = Source::open(impatient(&url), stage.settings("one")).await?;
    assert_eq!(said(&receive(&mut source, 1).await[0].payload)?.1, 0);
    until("one consumer is left", || Ok(stage.admin.consumers(&stage.topic, "muster")? == ["one"]))
        .await
}

/// A source whose first consumer is sent nothing of what `withholds`, while three messages are there: they
/// come after it gave the reason.
async fn asks_anew(withholds: fn(&BaseCommand) -> bool, expected: &str) -> Result<()> {
    let stage = Stage::shared(0)?;
    let opened = Arc::new(AtomicBool::new(false));
    let (is_open, first_consumer) = (Arc::clone(&opened), AtomicUsize::new(usize::MAX));
    let url = between(
        &stage.url,
        Arc::new(move |number, command| {
            if command.subscribe.is_some() && !is_open.load(Ordering::Relaxed) {
                first_consumer.store(number, Ordering::Relaxed);
            }
            !withholds(command) || first_consumer.load(Ordering::Relaxed) != number
        }),
    )
    .await?;
    let mut source = Source::open(impatient(&url), stage.settings("one")).await?;
    opened.store(true, Ordering::Relaxed);
    let mut status = source.status();
    stage.sink().await?.publish(lines("ada", 0..3)).await;
    let reason = waits(&mut status).await?;
    assert!(reason.ends_with(expected), "{reason}");
    for (number, received) in receive(&mut source, 3).await.into_iter().enumerate() {
        assert_eq!(said(&received.payload)?, ("ada".to_owned(), number));
        source.acknowledger().done(received.token);
    }
    soon("connected", status.wait_for(|status| *status == Status::Connected)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_there_and_do_not_come_are_asked_for_anew() -> Result<()> {
    let withholds = |command: &BaseCommand| command.message.is_some();
    asks_anew(withholds, "the broker sent no messages, though there are some").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_told_to_be_active_and_sees_nobody_else_read_asks_anew() -> Result<()> {
    let withholds = |command: &BaseCommand| {
        command.message.is_some() || command.active_consumer_change.is_some()
    };
    asks_anew(withholds, "the broker sent nobody any messages, though there are some").await
}

/// What was built and has done nothing yet does not count as connected, time and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_refusal_is_not_taken_for_a_connection_in_between() -> Result<()> {
    let stage = Stage::shared(0)?;
    let refuses = Arc::new(AtomicBool::new(false));
    let refusing = Arc::clone(&refuses);
    let url = between(
        &stage.url,
        Arc::new(move |_, command| {
            let works = command.send.is_some()
                || command.message.is_some()
                || command.consumer_stats.is_some();
            !(works && refusing.load(Ordering::Relaxed))
        }),
    )
    .await?;
    let source = Source::open(impatient(&url), stage.settings("one")).await?;
    let sink = Sink::open(impatient(&url), &stage.topic, "publisher").await?;
    let mut statuses = [source.status(), sink.status()];
    refuses.store(true, Ordering::Relaxed);
    let publishing = tokio::spawn(async move { sink.publish(lines("ada", 0..1)).await });
    for status in &mut statuses {
        waits(status).await?;
        // Several attempts of a second each.
        let again = status.wait_for(|status| *status == Status::Connected);
        let again = tokio::time::timeout(Duration::from_secs(8), again).await;
        assert!(again.is_err(), "connected while nothing worked");
    }
    refuses.store(false, Ordering::Relaxed);
    soon("the line", publishing).await?;
    for status in &mut statuses {
        soon("connected", status.wait_for(|status| *status == Status::Connected)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_waits_for_its_dead_letters_topic_too() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..1)).await;
    let mut source = stage.source("one").await?;
    let mut status = source.status();
    let received = receive(&mut source, 1).await.remove(0);
    stage.admin.delete_topic(&stage.dead_letters())?;
    let acknowledger = source.acknowledger();
    let writing = tokio::spawn(async move {
        acknowledger.dead_letters(vec![(received, "not wanted".to_owned())]).await
    });
    let reason = waits(&mut status).await?;
    let expected = format!("`persistent://public/default/{}`: ", stage.dead_letters());
    assert!(reason.starts_with(&expected), "{reason}");
    soon("whoever has none", source.acknowledger().dead_letters(Vec::new())).await;
    stage.admin.create_topic(&stage.dead_letters(), 0)?;
    soon("the letter", writing).await?;
    assert_eq!(*status.borrow_and_update(), Status::Connected);
    assert_eq!(first(&stage.url, &stage.dead_letters(), 1).await?[0].payload, b"ada 0");
    Ok(())
}

fn line(number: usize) -> Vec<Outgoing> {
    lines("ada", number..number + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_gone_or_ended_does_not_disturb_the_others() -> Result<()> {
    let (stage, gone, ended) = (Stage::shared(0)?, Stage::shared(0)?, Stage::shared(0)?);
    let topics = [&stage, &gone, &ended].map(|stage| stage.topic.clone()).to_vec();
    let settings = SourceSettings { topics, ..stage.settings("one") };
    let mut source = Source::open(stage.connection(), settings).await?;
    let (sink, acknowledger) = (stage.sink().await?, source.acknowledger());
    sink.publish(line(0)).await;
    ended.sink().await?.publish(lines("eve", 0..1)).await;
    let (mut kept, done) = receive(&mut source, 2)
        .await
        .into_iter()
        .partition::<Vec<_>, _>(|received| received.key.as_deref() == Some("ada"));
    done.into_iter().for_each(|received| acknowledger.done(received.token));
    ended.admin.terminate_topic(&ended.topic)?;
    gone.admin.delete_topic(&gone.topic)?;
    let mut status = source.status();
    let reason = waits(&mut status).await?;
    assert!(reason.contains(&gone.topic), "{reason}");
    // What is out would come again if anything of the others began anew.
    let mut heard = Heard::default();
    for received in &kept {
        heard.hear(received)?;
    }
    for number in 1..30 {
        sink.publish(line(number)).await;
        let received = soon("a line", source.receive()).await;
        heard.hear(&received)?;
        kept.push(received);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((heard.repetitions, heard.numbers["ada"].len()), (0, 30));
    let reason = waits(&mut status).await?;
    // The topic, and its partition; the one that ended waits for nothing.
    assert!(reason.contains(&gone.topic) && reason.contains("(and 1 more)"), "{reason}");
    kept.into_iter().for_each(|received| acknowledger.done(received.token));
    source.close().await;
    assert_eq!(stage.admin.backlog(&stage.topic, "muster")?, 0);
    assert_eq!(ended.admin.backlog(&ended.topic, "muster")?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_held_than_allowed_while_acknowledgements_go() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for number in 0..400 {
        sink.publish(line(number)).await;
    }
    let settings = SourceSettings { in_flight_max: 8, ..stage.settings("one") };
    let mut source = Source::open(stage.connection(), settings).await?;
    for received in receive(&mut source, 8).await {
        source.acknowledger().done(received.token);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // 8 received, 64 ready, 8 held or on their way.
    let sent = stage.admin.sent(&stage.topic, "muster")?;
    assert!((72..=88).contains(&sent), "{sent} messages were taken in");
    until("eight are acknowledged", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 392))
        .await
}

/// The answer that an entry is the next one comes behind the entry, which is more than a partition may
/// hold by its share.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_longer_than_its_share_comes() -> Result<()> {
    let stage = Stage::shared(64)?;
    let payload = vec![b'x'; 3 << 20];
    let long = Outgoing { key: "ada".to_owned(), id: "1".to_owned(), payload: payload.clone() };
    stage.sink().await?.publish(vec![long]).await;
    let mut source = stage.source("one").await?;
    let received = receive(&mut source, 1).await.remove(0);
    assert_eq!(received.payload, payload);
    source.acknowledger().done(received.token);
    Ok(())
}
