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
use std::collections::{HashMap, VecDeque};
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
    /// Those that were refused as a whole, and why.
    letters: Vec<(Received, String)>,
}

/// Messages of workspaces that have no rules here, while it is looked whether they have some elsewhere:
/// other workspaces' do not wait for that.
#[derive(Default)]
struct Parked {
    by_workspace: HashMap<Arc<str>, Vec<(Received, Decoded)>>,
    looking: JoinSet<(Arc<str>, Awaited)>,
    /// Those whose rules came.
    ready: VecDeque<(Received, Decoded)>,
}

impl Taken {
    fn len(&self) -> usize {
        self.messages.len() + self.letters.len()
    }
}

impl Parked {
    /// Parks a message until it is known whether its workspace has rules.
    fn park(&mut self, service: &Arc<Service>, received: Received, decoded: Decoded) {
        let workspace = decoded.workspace.clone();
        let parked = self.by_workspace.entry(workspace.clone()).or_insert_with(|| {
            let service = service.clone();
            self.looking.spawn(async move {
                let awaited = service.await_rules(&workspace).await;
                (workspace, awaited)
            });
            Vec::new()
        });
        parked.push((received, decoded));
    }

    /// Goes on with the messages of a workspace, as it was found to have rules or not. Says whether the
    /// service goes on.
    fn settle(
        &mut self,
        workspace: &str,
        awaited: Awaited,
        service: &Service,
        taken: &mut Taken,
    ) -> bool {
        let parked = self.by_workspace.remove(workspace).unwrap_or_default();
        match awaited {
            Awaited::InForce => self.ready.extend(parked),
            Awaited::Missing(reason) => {
                service.metrics.refused.inc_by(parked.len() as u64);
                let reason = Refusal { position: "workspace".to_string(), reason }.to_string();
                taken
                    .letters
                    .extend(parked.into_iter().map(|(received, _)| (received, reason.clone())));
            }
            Awaited::Ending => return false,
        }
        true
    }
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
        let mut parked = Parked::default();
        let counting =
            tokio::spawn(count(self.source.dead_letters(), service.metrics.dead_letters.clone()));
        loop {
            let mut taken = Taken::default();
            if parked.ready.is_empty() {
                tokio::select! {
                    received = self.source.receive() => self.take(&service, received, &mut taken, &mut parked),
                    Some(_) = handed.join_next() => continue,
                    Some(Ok((workspace, awaited))) = parked.looking.join_next() => {
                        if !parked.settle(&workspace, awaited, &service, &mut taken) {
                            break;
                        }
                    }
                    _ = ending.wait_for(|ending| *ending) => break,
                }
            }
            while taken.len() < together {
                if let Some((received, decoded)) = parked.ready.pop_front() {
                    self.admit(&service, received, decoded, &mut taken);
                } else if let Some(received) = self.source.receive().now_or_never() {
                    self.take(&service, received, &mut taken, &mut parked);
                } else {
                    break;
                }
            }
            let letters = std::mem::take(&mut taken.letters);
            if !letters.is_empty() {
                let acknowledger = self.source.acknowledger();
                handed.spawn(async move { acknowledger.dead_letters(letters).await });
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

    /// Takes a message apart: it is admitted, refused, or parked.
    fn take(
        &self,
        service: &Arc<Service>,
        received: Received,
        taken: &mut Taken,
        parked: &mut Parked,
    ) {
        let decoded = {
            let _timer = service.metrics.stages.decode.start_timer();
            decode(&received.payload, latest(service))
        };
        match decoded {
            Ok(decoded) => {
                let is_parked = parked.by_workspace.contains_key(&decoded.workspace);
                match service.has_workspace(&decoded.workspace) && !is_parked {
                    true => self.admit(service, received, decoded, taken),
                    false => parked.park(service, received, decoded),
                }
            }
            Err(refusal) => {
                service.metrics.refused.inc();
                taken.letters.push((received, refusal.to_string()));
            }
        }
    }

    /// Takes a message of a workspace that has rules.
    fn admit(&self, service: &Service, received: Received, decoded: Decoded, taken: &mut Taken) {
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
            (None, Some(reason)) => taken.letters.push((received, reason)),
            (None, None) => self.source.acknowledger().done(received.token),
        }
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
            acknowledger.dead_letters(letters).await;
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
