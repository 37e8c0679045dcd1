//! Brokers that speak TLS.
use std::{fs, path::Path};

use anyhow::{Context, Result};
use muster_pulsar::{Connection, PulsarError, Sink, Source};
use muster_rig::PulsarServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::stage::{Stage, lines, receive, soon};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate for this machine and its key, as PEM.
fn issue(authority: &Authority, folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
    let certificate = params.signed_by(&key, authority)?;
    let chain = format!("{}{}", certificate.pem(), authority.pem());
    fs::write(folder.join("certificates.pem"), chain)?;
    fs::write(folder.join("key.pem"), key.serialize_pem())?;
    fs::write(folder.join("authority.pem"), authority.pem())?;
    fs::write(folder.join("stranger.pem"), self::authority()?.pem())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_and_without() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("muster-tls-{:016x}", fastrand::u64(..)));
    fs::create_dir(&folder)?;
    issue(&authority()?, &folder)?;
    let server =
        PulsarServer::start_secured(&folder.join("certificates.pem"), &folder.join("key.pem"))?;
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
