//! Brokers that die, stand still, or let go.
use std::time::Duration;

use anyhow::Result;
use muster_pulsar::{Connection, Sink, Source, Status};
use muster_rig::{PulsarOptions, PulsarServer};
use tokio::sync::watch;

use crate::stage::{Heard, Stage, lines, receive, soon};

fn impatient(stage: &Stage) -> Connection {
    Connection { request_time: Duration::from_secs(2), ..stage.connection() }
}

async fn reaches(status: &mut watch::Receiver<Status>, connected: bool) -> Result<()> {
    let what = if connected { "connected" } else { "waiting" };
    soon(what, status.wait_for(|status| (*status == Status::Connected) == connected)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_the_middle_loses_nothing() -> Result<()> {
    let mut server = PulsarServer::start(PulsarOptions::default())?;
    let stage = Stage::new(server.service_url().to_owned(), server.admin().clone(), 2)?;
    let mut source = Source::open(impatient(&stage), stage.settings("one")).await?;
    let sink = Sink::open(impatient(&stage), &stage.topic, "publisher").await?;
    let mut statuses = [source.status(), sink.status()];
    let (rounds, keys) = (300, 8);
    let publishing = tokio::spawn(async move {
        for round in 0..rounds {
            let each = (0..keys).flat_map(|key| lines(&format!("user{key}"), round..round + 1));
            sink.publish(each.collect()).await;
        }
    });
    let mut heard = Heard::default();
    let total = rounds * keys;
    let (acknowledger, mut held) = (source.acknowledger(), Vec::new());
    let mut killed = false;
    while heard.count() < total {
        let received = soon("everything", source.receive()).await;
        heard.hear(&received)?;
        held.push(received.token);
        // Always some are out.
        if held.len() > 40 {
            held.drain(..20).for_each(|token| acknowledger.done(token));
        }
        if heard.count() > total / 4 && !killed {
            killed = true;
            server.kill()?;
            for status in &mut statuses {
                reaches(status, false).await?;
            }
            server.restart()?;
        }
    }
    soon("the end of publishing", publishing).await?;
    for status in &mut statuses {
        reaches(status, true).await?;
    }
    assert!(heard.repetitions > 0, "the restart brought back nothing of what was out");
    for (key, numbers) in &heard.numbers {
        assert!(numbers.iter().copied().eq(0..rounds), "{key}: {numbers:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_is_waited_for() -> Result<()> {
    let server = PulsarServer::start(PulsarOptions::default())?;
    let stage = Stage::new(server.service_url().to_owned(), server.admin().clone(), 2)?;
    let mut source = Source::open(impatient(&stage), stage.settings("one")).await?;
    let sink = Sink::open(impatient(&stage), &stage.topic, "publisher").await?;
    sink.publish(lines("ada", 0..1)).await;
    let received = receive(&mut source, 1).await.remove(0);
    source.acknowledger().done(received.token);

    let (mut reading, mut writing) = (source.status(), sink.status());
    server.pause()?;
    let publishing = tokio::spawn(async move {
        sink.publish(lines("ada", 1..4)).await;
        sink.publish(lines("ada", 4..6)).await;
    });
    reaches(&mut reading, false).await?;
    reaches(&mut writing, false).await?;
    let Status::Waiting { reason, since } = reading.borrow().clone() else {
        anyhow::bail!("connected to a broker that stands still");
    };
    assert!(!reason.is_empty() && since.elapsed() < Duration::from_secs(90), "{reason}");
    server.resume()?;
    reaches(&mut reading, true).await?;
    soon("the end of publishing", publishing).await?;
    reaches(&mut writing, true).await?;
    let mut heard = Heard::default();
    while heard.count() < 5 {
        let received = soon("the rest", source.receive()).await;
        heard.hear(&received)?;
        source.acknowledger().done(received.token);
    }
    let numbers: Vec<usize> = heard.numbers["ada"].iter().copied().filter(|n| *n > 0).collect();
    assert!(numbers.is_sorted() && numbers.ends_with(&[5]), "{numbers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lets_go_of_topics_is_followed() -> Result<()> {
    let stage = Stage::shared(2)?;
    let mut source = Source::open(stage.connection(), stage.settings("one")).await?;
    let sink = stage.sink().await?;
    let mut heard = Heard::default();
    for round in 0..4 {
        sink.publish(
            (0..8).flat_map(|key| lines(&format!("user{key}"), round..round + 1)).collect(),
        )
        .await;
        while heard.count() < 8 * (round + 1) {
            let received = soon("a round", source.receive()).await;
            heard.hear(&received)?;
            source.acknowledger().done(received.token);
        }
        for partition in 0..2 {
            stage.admin.unload_topic(&format!("{}-partition-{partition}", stage.topic))?;
        }
    }
    for (key, numbers) in &heard.numbers {
        assert!(numbers.iter().copied().eq(0..4), "{key}: {numbers:?}");
    }
    Ok(())
}
