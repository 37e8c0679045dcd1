//! What is refused, and what the refusal says.
use anyhow::Result;
use muster_pulsar::{Connection, PulsarError, Sink, Source};
use muster_rig::{PulsarOptions, PulsarServer};

use crate::stage::{Stage, connection, lines, soon};

async fn refusal(connection: Connection, topic: &str) -> String {
    match soon("an answer", Sink::open(connection, topic, "publisher")).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_broker_does_not_believe() -> Result<()> {
    let server = PulsarServer::start(PulsarOptions { tokens: true })?;
    let stage = Stage::new(server.service_url().to_owned(), server.admin().clone(), 2)?;
    let mut connection = stage.connection();
    let none = refusal(connection.clone(), &stage.topic).await;
    assert!(none.contains("does not let this client in: give a token"), "{none}");
    let token = server.token("administrator").unwrap_or_default();
    let (signed, _) = token.rsplit_once('.').unwrap_or_default();
    connection.token = Some(format!("{signed}.AAAA"));
    let wrong = refusal(connection.clone(), &stage.topic).await;
    assert!(wrong.contains("does not let this client in: give a token"), "{wrong}");
    assert!(!format!("{connection:?}{wrong}").contains(signed), "the token is shown");
    let source = Source::open(connection.clone(), stage.settings("one")).await;
    assert!(matches!(source, Err(PulsarError::Credentials { .. })), "{source:?}");

    connection.token = Some(token);
    let sink = Sink::open(connection.clone(), &stage.topic, "publisher").await?;
    sink.publish(lines("ada", 0..1)).await;
    let mut source = Source::open(connection, stage.settings("one")).await?;
    assert_eq!(soon("a message", source.receive()).await.payload, b"ada 0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_there() -> Result<()> {
    let stage = Stage::shared(0)?;
    let sink = refusal(stage.connection(), "nowhere").await;
    let expected = "there is no topic `persistent://public/default/nowhere`: create it";
    assert!(sink.starts_with(expected), "{sink}");

    let mut settings = stage.settings("one");
    settings.topics.push("nowhere".to_owned());
    let source = Source::open(stage.connection(), settings).await;
    let source = source.map_err(|error| error.to_string());
    assert!(source.as_ref().is_err_and(|error| error.starts_with(expected)), "{source:?}");

    let mut settings = stage.settings("one");
    settings.dead_letters = "nowhere".to_owned();
    let letters = Source::open(stage.connection(), settings).await;
    let letters = letters.map_err(|error| error.to_string());
    assert!(letters.as_ref().is_err_and(|error| error.starts_with(expected)), "{letters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_where_nobody_is() -> Result<()> {
    let nobody = refusal(connection("pulsar://127.0.0.1:1"), "in").await;
    assert!(nobody.starts_with("no answer from `pulsar://127.0.0.1:1`: check that"), "{nobody}");
    for url in ["http://127.0.0.1:6650", "pulsar://", "pulsar://:6650"] {
        let odd = refusal(connection(url), "in").await;
        assert!(odd.contains("is no address of a Pulsar service: write `pulsar://"), "{odd}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_only_starting_is_not_said_to_want_a_token() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("pulsar://{}", listener.local_addr()?);
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let ended = refusal(connection(&url), "in").await;
    assert!(ended.contains("ends them: a broker that is starting does so"), "{ended}");
    assert!(!ended.contains("token"), "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_producer_has() -> Result<()> {
    let stage = Stage::shared(0)?;
    let _first = stage.sink().await?;
    let second = refusal(stage.connection(), &stage.topic).await;
    assert!(second.starts_with("`publisher` is in use on the topic"), "{second}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work() -> Result<()> {
    let stage = Stage::shared(0)?;
    let mut settings = stage.settings("one");
    settings.in_flight_max = 0;
    let refused = Source::open(stage.connection(), settings).await;
    let refused = refused.map_err(|error| error.to_string());
    let expected = "the setting `in_flight_max` is out of range: give a number from 1";
    assert_eq!(refused.err().as_deref(), Some(expected));
    Ok(())
}
