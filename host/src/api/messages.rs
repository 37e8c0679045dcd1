//! `POST /v1/messages`: answered when everything that was accepted is durable.

use super::failure::Failure;
use super::guard::Admission;
use super::items::{Items, Rest};
use super::{Service, Shared};
use crate::access::Denied;
use crate::clock::wall_time;
use crate::config::{ClockKind, milliseconds};
use crate::decode::{Refusal, decode};
use crate::store::UserKey;
use crate::worker::Unavailable;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http_body_util::BodyExt;
use muster_core::{Message, Time};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Messages that are queued together; more are taken piece by piece.
const PIECE_MESSAGES_MAX: usize = 1_000;
/// How long a request that has begun waits for room, before it is told to go on later.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const STREAM_RETRY: Duration = Duration::from_millis(10);
/// Refused items that an answer lists; all are counted, and kept as dead letters.
const REFUSED_LISTED_MAX: usize = 1_000;
/// Bytes of a refused item that its dead letter keeps.
const DEAD_LETTER_BYTES_MAX: usize = 4_096;

/// What became of the items of a request.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// Messages that were accepted, whole or in part.
    accepted: u64,
    /// Items that were refused, and messages of which an event was.
    refused_count: u64,
    refused: Vec<RefusedItem>,
}

#[derive(Clone, Debug, Serialize)]
struct RefusedItem {
    /// The item's place in the request, from 0.
    item: u64,
    #[serde(flatten)]
    refusal: Refusal,
}

/// A refused item as it is kept.
#[derive(Serialize)]
struct DeadLetter<'a> {
    #[serde(flatten)]
    refused: &'a RefusedItem,
    /// The item, or its beginning.
    text: &'a str,
}

/// An item that made a message.
struct Taken {
    item: u64,
    text: Box<[u8]>,
}

/// Messages gathered from a request, and not yet queued.
struct Piece<'a> {
    service: &'a Arc<Service>,
    admission: Admission,
    latest: Option<Time>,
    messages: Vec<(UserKey, Message)>,
    /// What they were, in case that their users' are put aside.
    taken: Vec<Taken>,
    dead_letters: Vec<Vec<u8>>,
    items: u64,
    answer: Answer,
    begun: bool,
}

pub(super) async fn post(
    State(service): Shared,
    Extension(admission): Extension<Admission>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_document = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let _timer = service.metrics.stages.request.start_timer();
    let mut piece = Piece::new(&service, admission);
    piece.body(body, is_document).await?;
    piece.queue().await?;
    let answer = piece.answer;
    let status = match (answer.accepted, answer.refused_count) {
        (0, 1..) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

impl<'a> Piece<'a> {
    fn new(service: &'a Arc<Service>, admission: Admission) -> Piece<'a> {
        let skew = milliseconds(service.config.ingest.future_skew);
        let latest = match service.config.time.clock {
            ClockKind::Wall => {
                Time::from_milliseconds(wall_time().milliseconds().saturating_add(skew))
            }
            ClockKind::Events => None,
        };
        Piece {
            service,
            admission,
            latest,
            messages: Vec::new(),
            taken: Vec::new(),
            dead_letters: Vec::new(),
            items: 0,
            answer: Answer::default(),
            begun: false,
        }
    }

    async fn body(&mut self, mut body: Body, is_document: bool) -> Result<(), Failure> {
        let mut items = Items::new(is_document);
        while let Some(bytes) = self.next(&mut body).await? {
            let mut bytes: &[u8] = &bytes;
            while let Some(item) = items.next(&mut bytes) {
                self.item(&item).await?;
            }
        }
        match items.end() {
            Rest::Nothing => Ok(()),
            Rest::Item(item) => self.item(&item).await,
            Rest::Wrong(item, reason) => {
                let (position, reason) = (String::new(), reason.to_string());
                self.refuse(&item, Refusal { position, reason });
                Ok(())
            }
        }
    }

    /// The next bytes of a body; none at its end.
    async fn next(&self, body: &mut Body) -> Result<Option<Bytes>, Failure> {
        let wait = self.service.config.http.body_wait;
        loop {
            let Ok(frame) = tokio::time::timeout(wait, body.frame()).await else {
                let reason = format!("nothing came for {wait:?}: send the rest sooner");
                return Err(self.broken_off(Failure::timeout(&reason)));
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                let reason = format!("the body ended early: {error}");
                self.broken_off(Failure::bad_request(&reason))
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// A failure in the middle of a body: what was accepted before it stays so.
    fn broken_off(&self, failure: Failure) -> Failure {
        failure.with("accepted", self.answer.accepted.into())
    }

    /// Takes an item, and queues those that were gathered when they fill a piece.
    async fn item(&mut self, json: &[u8]) -> Result<(), Failure> {
        if let Err(denied) = self.admission.renew(self.service) {
            return Err(self.broken_off(Failure::from(&denied)));
        }
        self.take(json);
        let piece_max = PIECE_MESSAGES_MAX.min(self.service.config.ingest.queue_messages_max);
        match self.messages.len() + self.dead_letters.len() >= piece_max {
            true => self.queue().await,
            false => Ok(()),
        }
    }

    fn take(&mut self, json: &[u8]) {
        let decoded = {
            let _timer = self.service.metrics.stages.decode.start_timer();
            decode(json, self.latest)
        };
        match decoded {
            Err(refusal) => self.refuse(json, refusal),
            // Before asking whether it exists, which is none of the key's business.
            Ok(decoded) if !self.admission.caller.covers(&decoded.workspace) => {
                let denied = Denied::Workspace {
                    name: self.admission.caller.name().to_string(),
                    workspace: decoded.workspace.to_string(),
                };
                self.service.metrics.denied.with_label_values(&[denied.label()]).inc();
                let (position, reason) = ("workspace".to_string(), denied.to_string());
                self.refuse(json, Refusal { position, reason });
            }
            Ok(decoded) if !self.service.has_workspace(&decoded.workspace) => {
                let workspace = &decoded.workspace;
                let reason = format!("no rules for `{workspace}`: add it to [workspaces]");
                self.refuse(json, Refusal { position: "workspace".to_string(), reason });
            }
            Ok(decoded) => {
                self.service.metrics.unknown_keys.inc_by(decoded.unknown_keys);
                for refusal in decoded.refused {
                    self.refuse(json, refusal);
                }
                if let Some(message) = decoded.message {
                    let key = UserKey { workspace: decoded.workspace, user: decoded.user };
                    self.taken.push(Taken { item: self.items, text: beginning(json).into() });
                    self.messages.push((key, message));
                }
            }
        }
        self.items += 1;
    }

    /// Refuses the item that is being taken, or a part of it.
    fn refuse(&mut self, json: &[u8], refusal: Refusal) {
        self.refuse_item(self.items, json, refusal);
    }

    fn refuse_item(&mut self, item: u64, json: &[u8], refusal: Refusal) {
        self.service.metrics.refused.inc();
        let refused = RefusedItem { item, refusal };
        let text = String::from_utf8_lossy(beginning(json));
        let letter = DeadLetter { refused: &refused, text: &text };
        // Texts and numbers always serialise.
        self.dead_letters.push(serde_json::to_vec(&letter).unwrap_or_default());
        self.answer.refused_count += 1;
        if self.answer.refused.len() < REFUSED_LISTED_MAX {
            self.answer.refused.push(refused);
        }
    }

    /// Queues what was gathered, and waits until it is durable; so for what was put aside of it.
    async fn queue(&mut self) -> Result<(), Failure> {
        while !(self.messages.is_empty() && self.dead_letters.is_empty()) {
            let messages = std::mem::take(&mut self.messages);
            let taken = std::mem::take(&mut self.taken);
            let dead_letters = std::mem::take(&mut self.dead_letters);
            let keys: Vec<UserKey> = messages.iter().map(|(key, _)| key.clone()).collect();
            let accepted = self.answer.accepted;
            let failed = |error| Failure::unavailable(&error).with("accepted", accepted.into());
            let permit = self.room(messages.len().max(1)).await.map_err(failed)?;
            let answer = self.service.worker.deliver(messages, dead_letters, permit);
            let aside = answer.await.unwrap_or(Err(Unavailable::ShuttingDown)).map_err(failed)?;
            for (key, Taken { item, text }) in keys.iter().zip(taken) {
                match aside.get(key) {
                    None => self.answer.accepted += 1,
                    Some(reason) => self.refuse_item(item, &text, Refusal::of_user(reason)),
                }
            }
            self.begun = true;
        }
        Ok(())
    }

    /// Room in the queue: at once for the first piece, with some patience for those that follow.
    async fn room(&self, messages: usize) -> Result<OwnedSemaphorePermit, Unavailable> {
        let mut waited = Duration::ZERO;
        loop {
            match self.service.worker.reserve(messages) {
                Err(Unavailable::Overloaded) if self.begun && waited < STREAM_PATIENCE => {
                    tokio::time::sleep(STREAM_RETRY).await;
                    waited += STREAM_RETRY;
                }
                result => return result,
            }
        }
    }
}

/// As much of an item as its dead letter keeps.
fn beginning(json: &[u8]) -> &[u8] {
    &json[..json.len().min(DEAD_LETTER_BYTES_MAX)]
}
