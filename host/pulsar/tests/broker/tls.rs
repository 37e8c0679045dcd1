//! Brokers that speak TLS.
use std::fs;

use anyhow::{Context, Result};
use muster_pulsar::{Connection, PulsarError, Sink, Source};
use muster_rig::{Identity, PulsarServer};

use crate::stage::{Stage, lines, receive, soon};

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_and_without() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("muster-tls-{:016x}", fastrand::u64(..)));
    fs::create_dir(&folder)?;
    let server = PulsarServer::start_secured(&Identity::issue(&folder)?)?;
    let url = server.secure_url().context("no port for TLS")?.to_owned();
    let stage = Stage::new(url, server.admin().clone(), 2)?;
    let with = |file: &str| Connection { authority: Some(folder.join(file)), ..stage.connection() };

    let sink = Sink::open(with("authority.pem"), &stage.topic, "publisher").await?;
    sink.publish(lines("ada", 0..3)).await;
    let mut source = Source::open(with("authority.pem"), stage.settings("one")).await?;
    let received = receive(&mut source, 3).await;
    assert_eq!(received[2].payload, b"ada 2");
    received.into_iter().for_each(|received| source.acknowledger().done(received.token));
    source.close().await;

    for connection in [stage.connection(), with("stranger.pem")] {
        let refused = soon("a refusal", Source::open(connection, stage.settings("one"))).await;
        assert!(matches!(refused, Err(PulsarError::Untrusted { .. })), "{refused:?}");
        let refused = refused.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(refused.contains("name the authority that signed its certificate"), "{refused}");
    }
    let missing = Sink::open(with("nowhere.pem"), &stage.topic, "other").await;
    assert!(matches!(missing, Err(PulsarError::Authority { .. })), "{missing:?}");

    // Either protocol where the other is spoken.
    let plain = stage.url.replace("pulsar+ssl://", "pulsar://");
    let refused = Sink::open(crate::stage::connection(&plain), &stage.topic, "other").await;
    assert!(matches!(refused, Err(PulsarError::Unready { .. })), "{refused:?}");
    let secure = server.service_url().replace("pulsar://", "pulsar+ssl://");
    let connection = Connection { url: secure, ..with("authority.pem") };
    let refused = soon("a refusal", Sink::open(connection, &stage.topic, "other")).await;
    assert!(matches!(refused, Err(PulsarError::Untrusted { .. })), "{refused:?}");
    fs::remove_dir_all(&folder)?;
    Ok(())
}
