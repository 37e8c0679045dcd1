//! A connection to one broker, for one consumer alone.
//!
//! The client of the `pulsar` crate shares a connection among consumers, takes entries apart before
//! it hands them out, and gives nothing of one that it can't. Here an entry comes as the broker
//! keeps it; what is sent is not held up by what comes; and when the connection is dropped, nothing
//! of its consumer is left at the broker.
mod frame;
pub(crate) mod tls;

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use pulsar::proto::{
    self, AuthData, BaseCommand, CommandAuthResponse, CommandConnect, CommandPing, CommandPong,
    FeatureFlags, ServerError, base_command::Type,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use url::Url;

use crate::Connection;

pub(crate) use frame::Frame;

/// The first version in which either side may ask for credentials again; all that is asked of a
/// broker here is older.
const PROTOCOL: i32 = 14;
const TOKEN_METHOD: &str = "token";

/// What a broker takes that doesn't say.
const MESSAGE_BYTES_USUAL: usize = 5 << 20;

/// The longest frame that is taken in. A topic may hold what is longer than the broker takes today.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Why there is nothing more to be had of a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("cannot agree on TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("the connection ended")]
    Ended,
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    #[error("nothing within {0:?}")]
    Silent(Duration),
    #[error("the broker refuses: {said}")]
    Refused { kind: Option<ServerError>, said: String },
    #[error("a message was dropped that has to come again")]
    Dropped,
    #[error("the broker sent {0}")]
    Odd(String),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection whose broker has greeted.
pub(crate) struct Session {
    frames: Framed<Box<dyn Stream>, LengthDelimitedCodec>,
    token: Option<String>,
    request_time: Duration,
    /// The longest message that the broker takes.
    pub(crate) message_bytes_max: usize,
}

impl Session {
    /// Connects to the broker at `url`, through a proxy where `behind` names it to one.
    pub(crate) async fn open(
        connection: &Connection,
        url: &Url,
        behind: Option<String>,
    ) -> Result<Session, WireError> {
        let limit = connection.request_time;
        let opening = async {
            let stream = connect(connection, url).await?;
            let codec = LengthDelimitedCodec::builder()
                .length_field_length(4)
                .max_frame_length(FRAME_BYTES_MAX)
                .new_codec();
            let mut session = Session {
                frames: Framed::new(stream, codec),
                token: connection.token.clone(),
                request_time: limit,
                message_bytes_max: MESSAGE_BYTES_USUAL,
            };
            session.greet(behind).await?;
            Ok(session)
        };
        timeout(limit, opening).await.unwrap_or(Err(WireError::Silent(limit)))
    }

    async fn greet(&mut self, behind: Option<String>) -> Result<(), WireError> {
        let mut greeting = command(Type::Connect);
        greeting.connect = Some(CommandConnect {
            client_version: proto::client_version(),
            protocol_version: Some(PROTOCOL),
            auth_method_name: self.token.as_ref().map(|_| TOKEN_METHOD.to_owned()),
            auth_data: self.token.clone().map(String::into_bytes),
            proxy_to_broker_url: behind,
            feature_flags: Some(FeatureFlags {
                supports_auth_refresh: Some(true),
                ..FeatureFlags::default()
            }),
            ..CommandConnect::default()
        });
        self.send(greeting).await?;
        let Frame { command, .. } = self.next().await?;
        let Some(connected) = command.connected else {
            return Err(refusal(&command).unwrap_or_else(|| {
                WireError::Odd(format!("no greeting: {:?}", command.r#type()))
            }));
        };
        let most = connected.max_message_size.and_then(|most| usize::try_from(most).ok());
        self.message_bytes_max = most.filter(|most| *most > 0).unwrap_or(MESSAGE_BYTES_USUAL);
        let longest = FRAME_BYTES_MAX.max(self.message_bytes_max.saturating_mul(2));
        self.frames.codec_mut().set_max_frame_length(longest);
        Ok(())
    }

    pub(crate) async fn send(&mut self, command: BaseCommand) -> Result<(), WireError> {
        let sending = self.frames.send(frame::frame(&command));
        let sent = timeout(self.request_time, sending).await;
        sent.map_err(|_| WireError::Silent(self.request_time))?.map_err(WireError::Io)
    }

    /// The next frame. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Frame, WireError> {
        let frame = self.frames.next().await.ok_or(WireError::Ended)?.map_err(WireError::Io)?;
        frame::parse(Bytes::from(frame))
    }

    /// Tells the broker that the client is there, while nothing is taken in.
    pub(crate) async fn ping(&mut self) -> Result<(), WireError> {
        let mut ping = command(Type::Ping);
        ping.ping = Some(CommandPing {});
        self.send(ping).await
    }

    /// Answers what a broker asks of any client, and fails where it refuses something.
    pub(crate) async fn answer(&mut self, asked: &BaseCommand) -> Result<(), WireError> {
        if let Some(error) = refusal(asked) {
            return Err(error);
        }
        if asked.ping.is_some() {
            let mut pong = command(Type::Pong);
            pong.pong = Some(CommandPong {});
            self.send(pong).await?;
        }
        if asked.auth_challenge.is_some() {
            let mut answer = command(Type::AuthResponse);
            answer.auth_response = Some(CommandAuthResponse {
                client_version: Some(proto::client_version()),
                response: Some(AuthData {
                    auth_method_name: Some(TOKEN_METHOD.to_owned()),
                    auth_data: self.token.clone().map(String::into_bytes),
                }),
                protocol_version: Some(PROTOCOL),
            });
            self.send(answer).await?;
        }
        Ok(())
    }
}

pub(crate) fn command(kind: Type) -> BaseCommand {
    BaseCommand { r#type: kind.into(), ..BaseCommand::default() }
}

fn refusal(command: &BaseCommand) -> Option<WireError> {
    let error = command.error.as_ref()?;
    let kind = ServerError::try_from(error.error).ok();
    // Brokers add where in their code it happened.
    let said = error.message.lines().next().unwrap_or_default().to_owned();
    Some(WireError::Refused { kind, said })
}

async fn connect(connection: &Connection, url: &Url) -> Result<Box<dyn Stream>, WireError> {
    let is_secure = url.scheme() == "pulsar+ssl";
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(if is_secure { 6651 } else { 6650 });
    let stream = TcpStream::connect(format!("{host}:{port}")).await.map_err(WireError::Connect)?;
    stream.set_nodelay(true).map_err(WireError::Connect)?;
    if !is_secure {
        return Ok(Box::new(stream));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secured = tls::secure(stream, host, connection.authority.as_deref()).await;
    Ok(Box::new(secured.map_err(WireError::Tls)?))
}
