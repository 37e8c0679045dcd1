//! Publishing.
use anyhow::Result;
use muster_pulsar::ID;

use crate::stage::{Stage, first, lines, soon};

#[tokio::test(flavor = "multi_thread")]
async fn lines_carry_key_and_id() -> Result<()> {
    let stage = Stage::shared(0)?;
    stage.sink().await?.publish(lines("ada", 0..3)).await;
    for (number, line) in first(&stage.url, &stage.topic, 3).await?.iter().enumerate() {
        assert_eq!(line.key.as_deref(), Some("ada"));
        assert_eq!(line.properties.get(ID), Some(&format!("ada-{number}")));
        assert_eq!(line.payload, format!("ada {number}").into_bytes());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_batch_keeps_its_order() -> Result<()> {
    let stage = Stage::shared(0)?;
    let mut all = lines("ada", 0..2_500);
    // Large ones end a batch before its number of lines does.
    all[100].payload.resize(900_000, b' ');
    all[101].payload.resize(900_000, b' ');
    let sink = stage.sink().await?;
    soon("all of them", sink.publish(all)).await;
    let published = first(&stage.url, &stage.topic, 2_500).await?;
    let ids = published.iter().map(|line| line.properties[ID].clone());
    assert!(ids.eq((0..2_500).map(|number| format!("ada-{number}"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_goes_on_when_the_broker_lets_go_of_the_topic() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = stage.sink().await?;
    for round in 0..6 {
        if round % 2 == 1 {
            stage.admin.unload_topic(&stage.topic)?;
        }
        soon("a round", sink.publish(lines("ada", round * 10..(round + 1) * 10))).await;
    }
    let published = first(&stage.url, &stage.topic, 60).await?;
    let ids = published.iter().map(|line| line.properties[ID].clone());
    assert!(ids.eq((0..60).map(|number| format!("ada-{number}"))));
    Ok(())
}
