//! A broker as the rig starts it.
use anyhow::Result;
use muster_rig::{PulsarAdmin, PulsarOptions, PulsarServer};

#[test]
fn a_killed_broker_comes_back_with_its_topics() -> Result<()> {
    let mut server = PulsarServer::start(PulsarOptions::default())?;
    server.admin().create_topic("kept", 2)?;
    let url = server.service_url().to_owned();
    server.kill()?;
    let gone = server.admin().create_topic("other", 0);
    assert!(gone.is_err(), "a killed broker answered");
    server.restart()?;
    assert_eq!(server.service_url(), url);
    let again = server.admin().create_topic("kept", 2).map_err(|error| format!("{error:#}"));
    assert!(again.as_ref().is_err_and(|error| error.contains("409")), "{again:?}");
    server.admin().unload_namespace()
}

#[test]
fn a_broker_with_tokens_refuses_who_has_none() -> Result<()> {
    let server = PulsarServer::start(PulsarOptions { tokens: true })?;
    server.admin().create_topic("mine", 0)?;
    let stranger = PulsarAdmin::new(server.admin_url().to_owned(), None);
    let refused = stranger.create_topic("theirs", 0).map_err(|error| format!("{error:#}"));
    assert!(refused.as_ref().is_err_and(|error| error.contains("401")), "{refused:?}");
    Ok(())
}
