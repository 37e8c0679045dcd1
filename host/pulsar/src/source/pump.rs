//! One partition: what comes in is passed on, what is done is acknowledged, silence is looked into.
mod looks;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use pulsar::proto::{BaseCommand, MessageIdData};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    Place, SourceSettings,
    acknowledge::{Entry, Outbox, Sequence},
    dead_letter::{DeadLetters, letter},
    status::Standing,
    wire::{Frame, Session, WireError},
};

use super::{
    READY_BYTES_MAX, closes,
    entry::{Damaged, Sealed},
    order::Order,
    subscription,
    window::Window,
};

/// What an entry may hold when its payload is decompressed. A few bytes can be made to stand for any
/// number, which would end the process, and that of whoever has the partition next.
const ENTRY_BYTES_MAX: usize = 32 << 20;

/// How often a broker is told that the client is there while nothing is taken in from it, not even
/// its questions. Brokers wait for at least 5 s, and usually 30.
const PING_EVERY: Duration = Duration::from_secs(1);

/// A message on its way to whoever receives it.
pub(crate) struct Delivery {
    pub(crate) entry: Arc<Entry>,
    pub(crate) place: Place,
    pub(crate) key: Option<String>,
    pub(crate) payload: Vec<u8>,
    /// Room among what is ready, once it is.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

/// What the pumps of a source share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) standing: Arc<Standing>,
    pub(crate) letters: Arc<DeadLetters>,
    pub(crate) ready: mpsc::Sender<Delivery>,
    /// As many bytes as may be ready, of all partitions together.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) closing: watch::Receiver<bool>,
}

/// A partition's consumer, on a connection of its own.
///
/// It writes acknowledgements and reads what comes as it is able to, the one never waiting for the
/// other. Nor does the broker: it sends what it was asked for and no more.
pub(crate) struct Pump {
    session: Session,
    outbox: Arc<Outbox>,
    sequence: Arc<Sequence>,
    shared: Shared,
    request_time: Duration,
    stalled_after: Duration,
    window: Window,
    order: Order,
    held: VecDeque<Sealed>,
    /// What is left of the entry that was taken apart last.
    opened: VecDeque<Delivery>,
    /// The letter of an entry that can't be taken apart; it gives the entry's number then.
    letter: Option<BoxFuture<'static, u64>>,
    is_active: bool,
    heard: Instant,
    /// Until when the broker's answer about this consumer must be there.
    answered_by: Option<Instant>,
    /// How many looks in a row found messages that don't come.
    idle_looks: u32,
    /// Up to where all was acknowledged at the last look, while another consumer is active.
    standing_at: Option<MessageIdData>,
}

impl Pump {
    /// Subscribes. When it fails the connection is gone, and with it all that the broker may have
    /// made of a request that it hasn't answered.
    pub(crate) async fn open(
        mut session: Session,
        request_time: Duration,
        settings: &SourceSettings,
        outbox: Arc<Outbox>,
        window: Window,
        shared: Shared,
    ) -> Result<Pump, WireError> {
        let subscribing = subscription::subscribe(&mut session, &outbox.partition, settings);
        let is_active = timeout(request_time, subscribing.boxed())
            .await
            .unwrap_or(Err(WireError::Silent(request_time)))?;
        Ok(Pump {
            session,
            sequence: Sequence::new(Arc::clone(&outbox)),
            outbox,
            shared,
            request_time,
            stalled_after: settings.stalled_after,
            window,
            order: Order::default(),
            held: VecDeque::new(),
            opened: VecDeque::new(),
            letter: None,
            is_active,
            heard: Instant::now(),
            answered_by: None,
            idle_looks: 0,
            standing_at: None,
        })
    }

    /// Runs until the connection fails, and says how; or, when the source closes, until what was
    /// given back is acknowledged.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let ended = self.pump().await;
        match ended {
            Ok(()) => self.close().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn pump(&mut self) -> Result<(), WireError> {
        let Shared { mut closing, ready, room, .. } = self.shared.clone();
        // A broker that answers nothing must not pass for one that works.
        self.ask().await?;
        loop {
            if let Some(permits) = self.window.ask() {
                self.session.send(subscription::flow(permits)).await?;
            }
            self.open_next();
            // What resolves a doubt comes behind all that the broker was asked for.
            let listens = self.window.is_open() || self.order.due().is_some();
            let is_idle = self.window.is_empty() && self.letter.is_none();
            let look_at = self.answered_by.unwrap_or(self.heard + self.stalled_after);
            tokio::select! {
                biased;
                () = closes(&mut closing) => return Ok(()),
                () = self.sequence.is_dropped() => return Err(WireError::Dropped),
                up_to = self.outbox.take() => {
                    self.session.send(subscription::acknowledge(up_to)).await?;
                }
                number = published(&mut self.letter) => {
                    self.letter = None;
                    self.sequence.done(number);
                }
                // Receivers gone means that the source closes, which the first branch sees.
                Ok((place, room)) = space(&ready, &room, self.opened.front()), if !self.opened.is_empty() => {
                    if let Some(delivery) = self.opened.pop_front() {
                        self.window.passed();
                        place.send(Delivery { _room: room, ..delivery });
                    }
                }
                frame = self.session.next(), if listens => self.hear(frame?).await?,
                () = sleep(PING_EVERY), if !listens => self.session.ping().await?,
                () = sleep_until(look_at), if is_idle => self.look().await?,
                () = due(self.order.due()) => {
                    self.order.ask(self.request_time)?;
                    self.session.send(subscription::ask_acknowledged()).await?;
                }
            }
        }
    }

    async fn hear(&mut self, frame: Frame) -> Result<(), WireError> {
        let Frame { command, rest } = frame;
        let BaseCommand {
            message,
            active_consumer_change,
            consumer_stats_response,
            get_last_message_id_response,
            ..
        } = command;
        if let Some(message) = message {
            let entry = Sealed::new(message.message_id, rest);
            self.window.came(entry.messages(), entry.bytes());
            self.held.push_back(entry);
            self.lives();
            self.idle_looks = 0;
        } else if let Some(stats) = consumer_stats_response {
            self.judge(&stats).await?;
        } else if let Some(answer) = get_last_message_id_response {
            self.settle(&answer)?;
        } else if let Some(change) = active_consumer_change {
            self.is_active = change.is_active();
            let (partition, active) = (&*self.outbox.partition, self.is_active);
            tracing::debug!(partition, active, "the broker chose");
            if !active {
                self.give_up();
            }
        } else if command.close_consumer.is_some() {
            return Err(WireError::Odd(
                "the partition away: another broker takes it over".to_owned(),
            ));
        } else {
            let command = BaseCommand {
                message,
                active_consumer_change,
                consumer_stats_response,
                get_last_message_id_response,
                ..command
            };
            self.session.answer(&command).await?;
        }
        Ok(())
    }

    /// Another consumer gets what was sent here and not passed on, and whatever comes next after all is
    /// no continuation of what was.
    fn give_up(&mut self) {
        for sealed in self.held.drain(..) {
            self.window.opened(sealed.messages(), sealed.bytes(), 0);
        }
        self.order = Order::default();
    }

    /// Takes the next entry apart when the last one was passed on, and writes a dead letter of it
    /// where it can't. The letter holds up this partition, and its acknowledgements.
    fn open_next(&mut self) {
        if !self.opened.is_empty() || self.letter.is_some() || self.sequence.is_full() {
            return;
        }
        let Some(sealed) = self.held.front() else { return };
        let place = Place::of(&sealed.id);
        if !self.order.is_next(place) {
            return;
        }
        let Some(sealed) = self.held.pop_front() else { return };
        self.order.passed(place);
        self.outbox.came_in_order(place);
        let (id, counted, bytes) = (sealed.id.clone(), sealed.messages(), sealed.bytes());
        match sealed.open(ENTRY_BYTES_MAX) {
            Ok(messages) => {
                self.window.opened(counted, bytes, messages.len());
                let entry = Arc::new(self.sequence.deliver(id, messages.len()));
                self.opened.extend((0..).zip(messages).map(|(batch, message)| Delivery {
                    entry: Arc::clone(&entry),
                    place: Place { batch, ..place },
                    key: message.key,
                    payload: message.payload,
                    _room: None,
                }));
            }
            Err(Damaged { key, payload, damage }) => {
                self.window.opened(counted, bytes, 0);
                let partition = &self.outbox.partition;
                let name = &**partition;
                tracing::warn!(partition = name, %place, %damage, "to the dead letters");
                let line = letter(partition, place, key, payload.to_vec(), &damage.to_string());
                let letters = Arc::clone(&self.shared.letters);
                let number = self.sequence.push(id);
                let publishing = async move {
                    letters.put(vec![line]).await;
                    number
                };
                self.letter = Some(publishing.boxed());
            }
        }
    }

    /// Acknowledges what was given back, and leaves.
    async fn close(&mut self) -> Result<(), WireError> {
        // What is held goes to another instance, and isn't waited for.
        self.held.clear();
        self.opened.clear();
        if !self.outbox.is_empty() {
            let up_to = self.outbox.take().await;
            self.session.send(subscription::acknowledge(up_to)).await?;
        }
        let leaving = timeout(self.request_time, subscription::leave(&mut self.session)).await;
        leaving.unwrap_or(Err(WireError::Silent(self.request_time)))
    }
}

/// A place among what is ready, and room for the delivery's bytes there.
async fn space<'a>(
    ready: &'a mpsc::Sender<Delivery>,
    room: &Arc<Semaphore>,
    delivery: Option<&Delivery>,
) -> Result<(mpsc::Permit<'a, Delivery>, Option<OwnedSemaphorePermit>), mpsc::error::SendError<()>>
{
    let bytes = delivery.map_or(0, |delivery| delivery.payload.len()).min(READY_BYTES_MAX);
    // One that is longer than all the room takes all of it.
    let room = Arc::clone(room).acquire_many_owned(bytes as u32).await;
    Ok((ready.reserve().await?, room.ok()))
}

/// At that time, where there is one.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The number of the letter's entry when it is published, where there is one.
async fn published(letter: &mut Option<BoxFuture<'static, u64>>) -> u64 {
    match letter {
        Some(letter) => letter.await,
        None => std::future::pending().await,
    }
}
