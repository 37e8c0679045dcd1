//! A producer that sends whatever it is given, as any other client of a topic may.
use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use pulsar::{
    Payload,
    message::{Codec, Message},
    proto::{
        BaseCommand, CommandConnect, CommandPong, CommandProducer, CommandSend, MessageMetadata,
        base_command::Type,
    },
};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

pub(crate) struct RawProducer {
    frames: Framed<TcpStream, Codec>,
    sequence: u64,
}

impl RawProducer {
    pub(crate) async fn open(url: &str, topic: &str) -> Result<RawProducer> {
        let address = url.trim_start_matches("pulsar://");
        let frames = Framed::new(TcpStream::connect(address).await?, Codec);
        let mut producer = RawProducer { frames, sequence: 0 };
        let mut connect = command(Type::Connect);
        connect.connect = Some(CommandConnect {
            client_version: "test".to_owned(),
            protocol_version: Some(12),
            ..CommandConnect::default()
        });
        producer.ask(connect, None, |answer| answer.connected.is_some()).await?;
        let mut create = command(Type::Producer);
        create.producer = Some(CommandProducer {
            topic: format!("persistent://public/default/{topic}"),
            producer_id: 1,
            request_id: 1,
            ..CommandProducer::default()
        });
        producer.ask(create, None, |answer| answer.producer_success.is_some()).await?;
        Ok(producer)
    }

    /// Sends an entry.
    pub(crate) async fn send(&mut self, metadata: MessageMetadata, data: &[u8]) -> Result<()> {
        self.sequence += 1;
        let metadata = MessageMetadata {
            producer_name: "raw".to_owned(),
            sequence_id: self.sequence,
            publish_time: 1,
            ..metadata
        };
        let mut send = command(Type::Send);
        send.send = Some(CommandSend {
            producer_id: 1,
            sequence_id: self.sequence,
            num_messages: metadata.num_messages_in_batch,
            ..CommandSend::default()
        });
        let payload = Payload { metadata, data: data.to_vec() };
        self.ask(send, Some(payload), |answer| answer.send_receipt.is_some()).await
    }

    async fn ask(
        &mut self,
        command: BaseCommand,
        payload: Option<Payload>,
        is_answer: impl Fn(&BaseCommand) -> bool,
    ) -> Result<()> {
        self.frames.send(Message { command, payload }).await?;
        loop {
            let answer = self.frames.next().await.context("the broker hung up")??.command;
            if is_answer(&answer) {
                return Ok(());
            }
            if answer.ping.is_none() {
                bail!("an unexpected answer: {answer:?}");
            }
            let mut pong = self::command(Type::Pong);
            pong.pong = Some(CommandPong {});
            self.frames.send(Message { command: pong, payload: None }).await?;
        }
    }
}

fn command(kind: Type) -> BaseCommand {
    BaseCommand { r#type: kind.into(), ..BaseCommand::default() }
}
