//! Messages from topics of Pulsar: decoded, handed to the worker, and given back when they are durable.

use crate::api::Service;
use crate::clock::wall_time;
use crate::config::{ClockKind, milliseconds};
use crate::decode::{Decoded, Refusal, decode};
use crate::manager::Awaited;
use crate::store::UserKey;
use crate::worker::Unavailable;
use futures_util::FutureExt;
use muster_core::{Message, Origin, Place, Time};
use muster_pulsar::{Connection, PulsarError, Received, Source, SourceSettings, Status};
use prometheus::IntCounter;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

/// Messages that are handed over together, of those that have arrived.
const TOGETHER_MAX: usize = 512;
/// How often it is asked whether the worker is still there, while its queue is full.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A source that was opened.
pub struct PulsarSource {
    source: Source,
    /// Part of every partition's name: positions of another life of the topics do not count.
    generation: Arc<str>,
}

/// Messages that were taken from the source, and are not handed over yet.
#[derive(Default)]
struct Taken {
    messages: Vec<(UserKey, Message)>,
    /// What they came as, and why a part of one was refused: then it is put aside when the rest is durable.
    received: Vec<(Received, Option<String>)>,
}

impl PulsarSource {
    /// Connects.
    ///
    /// # Errors
    /// When Pulsar cannot be reached, refuses the token, or lacks a topic.
    pub async fn open(
        connection: Connection,
        settings: SourceSettings,
        generation: &str,
    ) -> Result<PulsarSource, PulsarError> {
        let source = Source::open(connection, settings).await?;
        Ok(PulsarSource { source, generation: generation.into() })
    }

    /// How it stands with Pulsar.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.source.status()
    }

    /// Takes messages until the service ends, or its worker does.
    pub async fn run(mut self, service: Arc<Service>) {
        let mut ending = service.ending.subscribe();
        let together = TOGETHER_MAX.min(service.config.ingest.queue_messages_max);
        let mut handed = JoinSet::new();
        let counting =
            tokio::spawn(count(self.source.dead_letters(), service.metrics.dead_letters.clone()));
        'taking: loop {
            let first = tokio::select! {
                received = self.source.receive() => received,
                Some(_) = handed.join_next() => continue,
                _ = ending.wait_for(|ending| *ending) => break,
            };
            let mut taken = Taken::default();
            let mut next = Some(first);
            while let Some(received) = next {
                let is_taken = tokio::select! {
                    is_taken = self.take(&service, received, &mut taken) => is_taken,
                    // It may wait for the dead letters' topic.
                    _ = ending.wait_for(|ending| *ending) => false,
                };
                if !is_taken {
                    // It comes again, and nothing that came with it or after it may be taken before it.
                    break 'taking;
                }
                next = match taken.messages.len() < together {
                    true => self.source.receive().now_or_never(),
                    false => None,
                };
            }
            if !taken.messages.is_empty() && !self.hand_over(&service, taken, &mut handed).await {
                break;
            }
        }
        // What was handed over is committed before the worker ends, and given back here.
        while handed.join_next().await.is_some() {}
        self.source.close().await;
        counting.abort();
    }

    /// Takes a message, unless the service ends before it is known what to do with it: then it is left to
    /// be delivered again.
    async fn take(&self, service: &Arc<Service>, received: Received, taken: &mut Taken) -> bool {
        let decoded = {
            let _timer = service.metrics.stages.decode.start_timer();
            decode(&received.payload, latest(service))
        };
        let known = match decoded {
            Ok(decoded) => known(service, decoded).await,
            Err(refusal) => Some(Err(refusal)),
        };
        let Some(known) = known else { return false };
        match known {
            Ok(decoded) => {
                service.metrics.unknown_keys.inc_by(decoded.unknown_keys);
                let key = UserKey { workspace: decoded.workspace, user: decoded.user };
                let reason = (!decoded.refused.is_empty()).then(|| reason(&decoded.refused));
                if reason.is_some() {
                    service.metrics.refused.inc();
                }
                let origin = self.origin(&received);
                let message = decoded.message.map(|m| Message { origin: Some(origin), ..m });
                match (message, reason) {
                    (Some(message), reason) => {
                        taken.messages.push((key, message));
                        taken.received.push((received, reason));
                    }
                    (None, Some(reason)) => self.source.dead_letter(received, &reason).await,
                    (None, None) => self.source.acknowledger().done(received.token),
                }
            }
            Err(refusal) => {
                service.metrics.refused.inc();
                self.source.dead_letter(received, &reason(&[refusal])).await;
            }
        }
        true
    }

    fn origin(&self, received: &Received) -> Origin {
        let place = received.place;
        let place = Place { ledger: place.ledger, entry: place.entry, index: place.batch };
        match self.generation.is_empty() {
            true => Origin::new(&received.partition, place),
            false => Origin::new(&format!("{}\0{}", self.generation, received.partition), place),
        }
    }

    /// Hands messages to the worker, and gives them back when they are durable. Says whether they were
    /// taken.
    async fn hand_over(
        &self,
        service: &Arc<Service>,
        taken: Taken,
        handed: &mut JoinSet<()>,
    ) -> bool {
        let Some(permit) = room(service, taken.messages.len()).await else { return false };
        let keys: Vec<UserKey> = taken.messages.iter().map(|(key, _)| key.clone()).collect();
        let told = service.worker.deliver(taken.messages, Vec::new(), permit);
        let (acknowledger, refused) = (self.source.acknowledger(), service.metrics.refused.clone());
        handed.spawn(async move {
            // What is not durable is left to be delivered again.
            let Ok(Ok(aside)) = told.await else { return };
            let mut letters = Vec::new();
            for (key, (received, in_part)) in keys.iter().zip(taken.received) {
                let damage = aside.get(key).map(|damage| {
                    refused.inc();
                    reason(&[Refusal::of_user(damage)])
                });
                match damage.or(in_part) {
                    None => acknowledger.done(received.token),
                    Some(reason) => letters.push((received, reason)),
                }
            }
            for (received, reason) in letters {
                acknowledger.dead_letter(received, &reason).await;
            }
            // Until here: before these letters are written, no later message of theirs may count.
            drop(aside);
        });
        true
    }
}

/// Room in the queue, as soon as there is; none when the service ends before or its store failed.
async fn room(service: &Service, messages: usize) -> Option<OwnedSemaphorePermit> {
    let mut ending = service.ending.subscribe();
    let mut room = pin!(service.worker.reserve_in_turn(messages));
    loop {
        if let Err(Unavailable::StoreFailed(_)) = service.worker.readiness() {
            return None;
        }
        tokio::select! {
            room = &mut room => return room.ok(),
            _ = ending.wait_for(|ending| *ending) => return None,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Counts dead letters, until there is nobody who writes any.
async fn count(mut written: watch::Receiver<u64>, counter: IntCounter) {
    let mut counted = 0;
    while written.changed().await.is_ok() {
        let count = *written.borrow_and_update();
        counter.inc_by(count - counted);
        counted = count;
    }
}

fn reason(refused: &[Refusal]) -> String {
    let reasons: Vec<String> = refused.iter().map(Refusal::to_string).collect();
    reasons.join("; ")
}

/// The latest time that an event may have.
fn latest(service: &Service) -> Option<Time> {
    match service.config.time.clock {
        ClockKind::Wall => {
            let skew = milliseconds(service.config.ingest.future_skew);
            Time::from_milliseconds(wall_time().milliseconds().saturating_add(skew))
        }
        ClockKind::Events => None,
    }
}

/// A message of a workspace that has rules, or why it is refused; nothing when the service ends before that
/// is known.
async fn known(service: &Arc<Service>, decoded: Decoded) -> Option<Result<Decoded, Refusal>> {
    match service.await_rules(&decoded.workspace).await {
        Awaited::InForce => Some(Ok(decoded)),
        Awaited::Missing(reason) => {
            Some(Err(Refusal { position: "workspace".to_string(), reason }))
        }
        Awaited::Ending => None,
    }
}
