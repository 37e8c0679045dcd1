//! Somebody between clients and a real broker, who passes on what is said, or doesn't.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use pulsar::{
    message::{Codec, Message},
    proto::{BaseCommand, CommandPong, base_command::Type},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Framed;

/// Whether to pass a command on, given what was said; the number is that of its connection.
pub(crate) type Passes = dyn Fn(usize, &BaseCommand) -> bool + Send + Sync;

/// Listens until the runtime ends, and gives the address. Clients that look topics up are sent here
/// again.
pub(crate) async fn between(url: &str, passes: Arc<Passes>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let own = format!("pulsar://{}", listener.local_addr()?);
    let (broker, here) = (url.trim_start_matches("pulsar://").to_owned(), own.clone());
    let number = AtomicUsize::new(0);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let (broker, here, passes) = (broker.clone(), here.clone(), Arc::clone(&passes));
            tokio::spawn(async move {
                let server = TcpStream::connect(broker).await?;
                relay(Framed::new(client, Codec), Framed::new(server, Codec), |command| {
                    if let Some(found) = &mut command.lookup_topic_response {
                        found.broker_service_url = Some(here.clone());
                    }
                    passes(number, command)
                })
                .await
            });
        }
    });
    Ok(own)
}

/// Ends both connections with either. It answers a broker's question whether anybody is there itself,
/// so that nothing is lost sight of because a client has forgotten it.
async fn relay(
    mut client: Framed<TcpStream, Codec>,
    mut server: Framed<TcpStream, Codec>,
    passes: impl Fn(&mut BaseCommand) -> bool,
) -> Result<()> {
    loop {
        let (message, is_clients) = tokio::select! {
            message = client.next() => (message, true),
            message = server.next() => (message, false),
        };
        let Some(message) = message else { return Ok(()) };
        let mut message = message?;
        if !is_clients && message.command.ping.is_some() {
            let command = BaseCommand {
                r#type: Type::Pong.into(),
                pong: Some(CommandPong {}),
                ..BaseCommand::default()
            };
            server.send(Message { command, payload: None }).await?;
        } else if passes(&mut message.command) {
            let onward = if is_clients { &mut server } else { &mut client };
            onward.send(message).await?;
        }
    }
}
