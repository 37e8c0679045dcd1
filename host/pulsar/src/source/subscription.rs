//! What is said to a broker about one consumer of a subscription.
use pulsar::proto::{
    BaseCommand, CommandAck, CommandCloseConsumer, CommandConsumerStats, CommandFlow,
    CommandGetLastMessageId, CommandRedeliverUnacknowledgedMessages, CommandSubscribe,
    MessageIdData,
    base_command::Type,
    command_ack::AckType,
    command_subscribe::{InitialPosition, SubType},
};

use crate::{
    SourceSettings,
    wire::{Frame, Session, WireError, command},
};

/// The only consumer of its connection.
const CONSUMER: u64 = 0;

/// Its requests are told apart by what they are, and none is made twice at once.
const SUBSCRIBING: u64 = 1;
const ASKING: u64 = 2;
const CLOSING: u64 = 3;
const LOOKING: u64 = 4;

/// Subscribes, and says whether the broker has made this the active consumer at once.
pub(super) async fn subscribe(
    session: &mut Session,
    partition: &str,
    settings: &SourceSettings,
) -> Result<bool, WireError> {
    let mut asked = command(Type::Subscribe);
    asked.subscribe = Some(CommandSubscribe {
        topic: partition.to_owned(),
        subscription: settings.subscription.clone(),
        sub_type: SubType::Failover.into(),
        consumer_id: CONSUMER,
        request_id: SUBSCRIBING,
        consumer_name: Some(settings.consumer.clone()),
        read_compacted: Some(false),
        initial_position: Some(InitialPosition::Earliest.into()),
        ..CommandSubscribe::default()
    });
    session.send(asked).await?;
    let mut is_active = false;
    loop {
        let Frame { command, .. } = session.next().await?;
        if let Some(change) = command.active_consumer_change {
            is_active = change.is_active();
        } else if is_success(&command, SUBSCRIBING) {
            return Ok(is_active);
        } else {
            session.answer(&command).await?;
        }
    }
}

/// Lets the broker send more messages.
pub(super) fn flow(message_permits: u32) -> BaseCommand {
    let mut flow = command(Type::Flow);
    flow.flow = Some(CommandFlow { consumer_id: CONSUMER, message_permits });
    flow
}

/// Acknowledges an entry, and all before it.
pub(super) fn acknowledge(up_to: MessageIdData) -> BaseCommand {
    let mut acknowledge = command(Type::Ack);
    acknowledge.ack = Some(CommandAck {
        consumer_id: CONSUMER,
        ack_type: AckType::Cumulative.into(),
        message_id: vec![up_to],
        ..CommandAck::default()
    });
    acknowledge
}

/// Asks, among others, up to where everything is acknowledged.
pub(super) fn ask_acknowledged() -> BaseCommand {
    let mut ask = command(Type::GetLastMessageId);
    ask.get_last_message_id =
        Some(CommandGetLastMessageId { consumer_id: CONSUMER, request_id: LOOKING });
    ask
}

/// Asks how the consumer stands.
pub(super) fn ask() -> BaseCommand {
    let mut ask = command(Type::ConsumerStats);
    ask.consumer_stats = Some(CommandConsumerStats { request_id: ASKING, consumer_id: CONSUMER });
    ask
}

/// Has the broker start over from the first entry that isn't acknowledged.
pub(super) fn start_over() -> BaseCommand {
    let mut again = command(Type::RedeliverUnacknowledgedMessages);
    again.redeliver_unacknowledged_messages = Some(CommandRedeliverUnacknowledgedMessages {
        consumer_id: CONSUMER,
        ..CommandRedeliverUnacknowledgedMessages::default()
    });
    again
}

/// Leaves. All that was said before is done when the broker has answered.
pub(super) async fn leave(session: &mut Session) -> Result<(), WireError> {
    let mut close = command(Type::CloseConsumer);
    close.close_consumer =
        Some(CommandCloseConsumer { consumer_id: CONSUMER, request_id: CLOSING });
    session.send(close).await?;
    loop {
        let Frame { command, .. } = session.next().await?;
        if is_success(&command, CLOSING) {
            return Ok(());
        }
        session.answer(&command).await?;
    }
}

fn is_success(command: &BaseCommand, request: u64) -> bool {
    command.success.as_ref().is_some_and(|success| success.request_id == request)
}
