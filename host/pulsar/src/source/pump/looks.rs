//! What a broker is asked, and what its answers mean.
use pulsar::proto::{CommandConsumerStatsResponse, CommandGetLastMessageIdResponse, MessageIdData};
use tokio::time::Instant;

use crate::wire::WireError;

use super::{
    super::{order::Verdict, subscription},
    Pump,
};

/// How many looks in a row may find messages that nobody acknowledges, while another consumer is
/// active: it may wait for something too.
const STANDING_LOOKS_MAX: u32 = 4;

impl Pump {
    /// Passes on the entry that is in doubt, or gives up on the broker's order.
    pub(super) fn settle(
        &mut self,
        answer: &CommandGetLastMessageIdResponse,
    ) -> Result<(), WireError> {
        self.lives();
        let acknowledged = answer.consumer_mark_delete_position.as_ref();
        let Some((place, verdict)) = self.order.answered(acknowledged, self.outbox.is_idle())
        else {
            return self.stand_by(acknowledged);
        };
        let partition = &*self.outbox.partition;
        tracing::debug!(partition, %place, ?verdict, ?acknowledged, "an entry out of its turn");
        match verdict {
            Verdict::Next => self.order.admit(place),
            Verdict::AskAgain => {}
            Verdict::OutOfOrder if self.outbox.came_early(place) => {
                return Err(WireError::Odd(format!("{place} before what comes before it")));
            }
            Verdict::OutOfOrder if place.entry == 0 => {
                tracing::info!(partition, %place, "a ledger begins");
                self.order.admit(place);
            }
            Verdict::OutOfOrder => {
                tracing::warn!(partition, %place, "the entries before it are not there");
                self.order.admit(place);
            }
        }
        Ok(())
    }

    /// Messages are there for whoever is active. Where nobody acknowledges any, that may be this
    /// consumer, and the broker has not said so.
    fn stand_by(&mut self, acknowledged: Option<&MessageIdData>) -> Result<(), WireError> {
        if self.standing_at.as_ref() != acknowledged {
            self.standing_at = acknowledged.cloned();
            self.idle_looks = 0;
        }
        self.idle_looks += 1;
        // Once where it is: whoever is active may be waiting for something too, however long.
        match self.idle_looks < STANDING_LOOKS_MAX || !self.outbox.stands_at(acknowledged) {
            true => Ok(()),
            false => Err(WireError::Odd("nobody any messages, though there are some".to_owned())),
        }
    }

    /// The broker said something about this consumer.
    pub(super) fn lives(&mut self) {
        self.heard = Instant::now();
        self.answered_by = None;
        self.shared.standing.works(&self.outbox.partition);
    }

    pub(super) async fn ask(&mut self) -> Result<(), WireError> {
        self.answered_by = Some(Instant::now() + self.request_time);
        self.session.send(subscription::ask()).await
    }

    /// Asks the broker, after a silence, whether it still knows this consumer.
    pub(super) async fn look(&mut self) -> Result<(), WireError> {
        match self.answered_by {
            Some(_) => Err(WireError::Silent(self.request_time)),
            None => self.ask().await,
        }
    }

    /// An active consumer that could be sent what is there, and isn't, has a broker that has forgotten
    /// to read on, as brokers do when a partition changes hands twice in a moment.
    pub(super) async fn judge(
        &mut self,
        stats: &CommandConsumerStatsResponse,
    ) -> Result<(), WireError> {
        if stats.error_code.is_some() {
            let said = stats.error_message.as_deref().unwrap_or_default();
            return Err(WireError::Odd(format!("word that it does not know the consumer: {said}")));
        }
        let is_idle = self.window.is_empty() && self.letter.is_none() && self.outbox.is_idle();
        if self.window.is_empty() {
            // The broker counts below zero, and the protocol has no sign.
            self.window.told(stats.available_permits.unwrap_or_default().cast_signed());
        }
        self.lives();
        if !(is_idle && stats.msg_backlog.unwrap_or(0) > 0) {
            self.idle_looks = 0;
            return Ok(());
        }
        let (partition, active) = (&*self.outbox.partition, self.is_active);
        tracing::debug!(partition, active, ?stats, "nothing came, and there are messages");
        if !active {
            return self.session.send(subscription::ask_acknowledged()).await;
        }
        self.idle_looks += 1;
        match self.idle_looks {
            // They may be on their way.
            1 => Ok(()),
            // Nothing is out, so nothing comes twice.
            2 => self.session.send(subscription::start_over()).await,
            _ => Err(WireError::Odd("no messages, though there are some".to_owned())),
        }
    }
}
