//! Receiving and giving back.
use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use muster_pulsar::{PARTITION, PLACE, REASON, Source};

use crate::stage::{Heard, Stage, first, lines, receive, said, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_with_key_and_place() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..3)).await;
    let mut source = stage.source("one").await?;
    let received = receive(&mut source, 3).await;
    for (number, received) in received.iter().enumerate() {
        assert_eq!(received.key.as_deref(), Some("ada"));
        assert_eq!(said(&received.payload)?, ("ada".to_owned(), number));
        let full = format!("persistent://public/default/{}", stage.topic);
        assert_eq!(*received.partition, *full);
        assert_eq!(received.place.batch as usize, number, "one publication is one entry");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_keeps_its_order_over_partitions() -> Result<()> {
    let stage = Stage::shared(4)?;
    let sink = stage.sink().await?;
    let keys: Vec<String> = (0..20).map(|key| format!("user{key}")).collect();
    for round in 0..5 {
        let numbers = round * 10..(round + 1) * 10;
        // Keys alternate, as users do.
        let round = numbers.flat_map(|n| keys.iter().flat_map(move |key| lines(key, n..n + 1)));
        sink.publish(round.collect()).await;
    }
    let mut source = stage.source("one").await?;
    let mut heard = Heard::default();
    let mut partitions = BTreeSet::new();
    while heard.count() < 1_000 {
        let received = soon("all lines", source.receive()).await;
        heard.hear(&received)?;
        partitions.insert(received.partition);
        source.acknowledger().done(received.token);
    }
    assert_eq!((partitions.len(), heard.numbers.len()), (4, 20));
    for (key, numbers) in &heard.numbers {
        assert!(numbers.iter().copied().eq(0..50), "{key}: {numbers:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_acknowledged_only_when_all_of_it_was_given_back() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    sink.publish(lines("whole", 0..5)).await;
    sink.publish(lines("part", 0..5)).await;
    let mut source = stage.source("one").await?;
    let acknowledger = source.acknowledger();
    let mut received = receive(&mut source, 10).await;
    // In any order: it is the last one back that counts.
    let kept = received.remove(7);
    while let Some(received) = received.pop() {
        acknowledger.done(received.token);
    }
    source.close().await;
    assert_eq!(stage.admin.backlog(&stage.topic, "muster")?, 1);

    sink.publish(lines("after", 0..1)).await;
    let mut source = stage.source("two").await?;
    let again = receive(&mut source, 6).await;
    assert_eq!((again[2].place, &again[2].payload), (kept.place, &kept.payload));
    let said: Vec<_> = again.iter().map(|again| said(&again.payload)).collect::<Result<_>>()?;
    let part = (0..5).map(|number| ("part".to_owned(), number));
    assert_eq!(said, part.chain([("after".to_owned(), 0)]).collect::<Vec<_>>());
    again.into_iter().for_each(|again| source.acknowledger().done(again.token));
    until("nothing is left", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_before_a_restart_still_acknowledges() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..2)).await;
    let mut source = stage.source("one").await?;
    let early = receive(&mut source, 2).await;
    // The broker closes the consumer, and the entry comes again.
    stage.admin.unload_topic(&stage.topic)?;
    let late = receive(&mut source, 2).await;
    assert_eq!(early[0].place, late[0].place);
    early.into_iter().for_each(|early| source.acknowledger().done(early.token));
    until("nothing is left", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_takes_over_without_a_gap() -> Result<()> {
    let stage = Stage::shared(4)?;
    let sink = stage.sink().await?;
    let mut one = stage.source("one").await?;
    let mut two = stage.source("two").await?;
    let active = |partition| {
        stage.admin.active_consumer(&format!("{}-partition-{partition}", stage.topic), "muster")
    };
    until("both are active somewhere", || {
        let active = (0..4).map(active).collect::<Result<Vec<_>>>()?;
        Ok(["one", "two"].iter().all(|name| active.iter().flatten().any(|active| active == name)))
    })
    .await?;
    let keys: Vec<String> = (0..20).map(|key| format!("user{key}")).collect();
    sink.publish(keys.iter().flat_map(|key| lines(key, 0..10)).collect()).await;

    // The first gives back half of what it gets, and is gone.
    let mut all = BTreeSet::new();
    let theirs = receive(&mut one, 20).await;
    let acknowledger = one.acknowledger();
    for (number, received) in theirs.into_iter().enumerate() {
        if number < 10 {
            all.insert(said(&received.payload)?);
            acknowledger.done(received.token);
        }
    }
    drop(one);
    let mut heard = Heard::default();
    while all.len() < 200 {
        let received = soon("what the first left", two.receive()).await;
        heard.hear(&received)?;
        all.insert(said(&received.payload)?);
        two.acknowledger().done(received.token);
    }
    assert!(heard.numbers.values().all(|numbers| numbers.is_sorted()), "{:?}", heard.numbers);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_out_than_allowed() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..20)).await;
    let mut settings = stage.settings("one");
    settings.in_flight_max = 5;
    let mut source = Source::open(stage.connection(), settings).await?;
    let mut out = receive(&mut source, 5).await;
    let sixth = tokio::time::timeout(Duration::from_millis(500), source.receive()).await;
    assert!(sixth.is_err(), "a sixth message was delivered: {sixth:?}");
    source.acknowledger().done(out.remove(0).token);
    out.extend(receive(&mut source, 1).await);
    assert_eq!(said(&out[4].payload)?, ("ada".to_owned(), 5));
    // A token that is dropped makes room too.
    out.clear();
    assert_eq!(receive(&mut source, 5).await.len(), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_leave_while_nobody_receives() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for number in 0..300 {
        sink.publish(lines("ada", number..number + 1)).await;
    }
    let mut settings = stage.settings("one");
    // So few that the client's queues are full, and it stands still.
    settings.in_flight_max = 8;
    let mut source = Source::open(stage.connection(), settings).await?;
    let received = receive(&mut source, 8).await;
    let (mut sent, mut looks) = (0, 0);
    until("the client asks for no more", || {
        let now = stage.admin.sent(&stage.topic, "muster")?;
        looks = if now == sent { looks + 1 } else { 0 };
        sent = now;
        Ok(looks == 10)
    })
    .await?;
    assert!(sent < 300, "the client took everything in");
    received.into_iter().for_each(|received| source.acknowledger().done(received.token));
    until("eight are acknowledged", || Ok(stage.admin.backlog(&stage.topic, "muster")? == 292))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_say_why_and_from_where() -> Result<()> {
    let stage = Stage::shared(1)?;
    stage.sink().await?.publish(lines("ada", 0..1)).await;
    let mut source = stage.source("one").await?;
    let received = receive(&mut source, 1).await.remove(0);
    let (partition, place) = (received.partition.to_string(), received.place.to_string());
    let refused = vec![(received, "no JSON: `ada 0`".to_owned())];
    soon("the letter", source.acknowledger().dead_letters(refused)).await;
    let letter = first(&stage.url, &stage.dead_letters(), 1).await?.remove(0);
    assert_eq!((letter.key.as_deref(), &*letter.payload), (Some("ada"), &b"ada 0"[..]));
    let expected = [(REASON, "no JSON: `ada 0`"), (PARTITION, &partition), (PLACE, &place)];
    for (name, value) in expected {
        assert_eq!(letter.properties.get(name).map(String::as_str), Some(value), "{name}");
    }
    let partition = format!("{}-partition-0", stage.topic);
    until("it is given back", || Ok(stage.admin.backlog(&partition, "muster")? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_later_are_read_from_their_start() -> Result<()> {
    let stage = Stage::shared(1)?;
    let mut source = stage.source("one").await?;
    stage.admin.add_partitions(&stage.topic, 3)?;
    let sink = stage.sink().await?;
    sink.publish((0..30).flat_map(|key| lines(&format!("user{key}"), 0..1)).collect()).await;
    let (mut heard, mut partitions) = (Heard::default(), BTreeSet::new());
    while heard.count() < 30 {
        let received = soon("all lines", source.receive()).await;
        heard.hear(&received)?;
        partitions.insert(received.partition);
        source.acknowledger().done(received.token);
    }
    assert_eq!(partitions.len(), 3, "{partitions:?}");
    Ok(())
}
