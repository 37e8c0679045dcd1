//! `GET …/transitions`: from a cursor, as lines or as server-sent events.

use super::failure::Failure;
use super::guard::Admission;
use super::{PAGE_DEFAULT, PAGE_MAX, Parameters, Service, Shared};
use crate::store::StoreError;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// The cursor after the last line of an answer.
const CURSOR_HEADER: &str = "muster-cursor";
/// How a client says which event it saw last (HTML standard, server-sent events).
const LAST_EVENT_ID: &str = "last-event-id";

/// Where to read from.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// The cursor of the last transition seen; 0 is the beginning, `end` what comes from now on.
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn read(
    State(service): Shared,
    Extension(admission): Extension<Admission>,
    Path(workspace): Path<String>,
    Parameters(from): Parameters<From>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    service.deployment(&workspace)?;
    let workspace: Arc<str> = workspace.into();
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_string);
    let after = cursor(&service, &workspace, seen.or(from.after)).await?;
    let limit = from.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let accepts = headers.get(header::ACCEPT).and_then(|kind| kind.to_str().ok());
    if accepts.is_some_and(|kind| kind.contains("text/event-stream")) {
        // An expired cursor is told before the stream begins.
        fetch(&service, &workspace, after, 1).await?;
        let events = events(service, admission, workspace, after);
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let found = fetch(&service, &workspace, after, limit).await?;
    let next = found.last().map_or(after, |(sequence, _)| *sequence);
    let mut body = Vec::new();
    for (_, line) in found {
        body.extend_from_slice(&line);
        body.push(b'\n');
    }
    let mut response = super::lines(body);
    response.headers_mut().insert(CURSOR_HEADER, HeaderValue::from(next));
    Ok(response)
}

async fn cursor(
    service: &Arc<Service>,
    workspace: &Arc<str>,
    after: Option<String>,
) -> Result<u64, Failure> {
    match after.as_deref() {
        None => Ok(0),
        Some("end") => {
            let workspace = workspace.clone();
            service.read(move |store| store.cursor(&workspace)).await
        }
        Some(number) => number
            .parse()
            .map_err(|_| Failure::bad_request("`after` is not a cursor: write a number, or `end`")),
    }
}

/// Transitions after a cursor. One that is expired gets 410 and the way to go on.
async fn fetch(
    service: &Arc<Service>,
    workspace: &Arc<str>,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
    let of = workspace.clone();
    let store = service.store.clone();
    let read = tokio::task::spawn_blocking(move || store.transitions(&of, after, limit));
    match read.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(StoreError::CursorExpired { oldest })) => {
            let reason = "this cursor has expired: read the snapshot, and go on from there";
            Err(gone(workspace, reason).with("oldest", json!(oldest)))
        }
        // Who waited for it to come would miss everything before it.
        Ok(Err(StoreError::CursorAhead { newest, .. })) => {
            let reason = "this cursor is of another store: read the snapshot, and go on from there";
            Err(gone(workspace, reason).with("newest", json!(newest)))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::internal("reading the store was broken off")),
    }
}

fn gone(workspace: &str, reason: &str) -> Failure {
    let snapshot = format!("/v1/workspaces/{workspace}/memberships");
    Failure::gone(reason).with("snapshot", json!(snapshot))
}

struct Following {
    service: Arc<Service>,
    admission: Admission,
    workspace: Arc<str>,
    after: u64,
    ready: VecDeque<(u64, Vec<u8>)>,
    commits: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
}

/// Transitions as they are committed, until the service ends, the cursor falls too far behind,
/// or whoever reads them may no more.
fn events(
    service: Arc<Service>,
    admission: Admission,
    workspace: Arc<str>,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let commits = service.worker.commits();
    let ending = service.ending.subscribe();
    let ready = VecDeque::new();
    let following = Following { service, admission, workspace, after, ready, commits, ending };
    stream::unfold(following, |mut following| async move {
        loop {
            following.admission.renew(&following.service).ok()?;
            if let Some((sequence, line)) = following.ready.pop_front() {
                let text = String::from_utf8_lossy(&line).into_owned();
                let event =
                    Event::default().event("transition").id(sequence.to_string()).data(text);
                return Some((Ok(event), following));
            }
            following.commits.mark_unchanged();
            let (service, workspace) = (&following.service, &following.workspace);
            let found = fetch(service, workspace, following.after, PAGE_DEFAULT).await.ok()?;
            if let Some((last, _)) = found.last() {
                following.after = *last;
                following.ready = found.into();
                continue;
            }
            tokio::select! {
                changed = following.commits.changed() => changed.ok()?,
                () = following.admission.changed() => {}
                _ = following.ending.wait_for(|ending| *ending) => return None,
            }
        }
    })
}
