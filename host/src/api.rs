//! The HTTP interface.

mod audiences;
mod failure;
mod guard;
mod items;
mod messages;
mod routes;
mod rules;
mod transitions;
mod users;

use crate::access::AccessSettings;
use crate::config::Config;
use crate::lifecycle::Deployment;
use crate::manager::{Deployments, Lagging, Manager, Seat, States};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::worker::Worker;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use failure::Failure;
pub use routes::{Need, ROUTES, Route};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tower_http::decompression::RequestDecompressionLayer;

/// Entries of a page when none are asked for, and at the most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;

/// How long a request waits for a store that instances share: it waits itself where the database does not
/// answer.
const READ_WAIT_MAX: Duration = Duration::from_secs(10);

/// What handlers share.
pub struct Service {
    /// The store, read only.
    pub store: Arc<dyn Store>,
    /// Who takes messages.
    pub worker: Worker,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The settings that the service began with.
    pub config: Config,
    /// Who may ask for what, as it is now.
    pub access: watch::Sender<Arc<AccessSettings>>,
    /// The rules in force, by workspace.
    pub deployments: Deployments,
    /// Their states.
    pub states: Arc<States>,
    /// Who changes them.
    pub manager: Mutex<Manager>,
    /// Those that other instances changed, and that could not be taken over.
    pub lagging: Lagging,
    /// True when the service is ending, so that streams end too.
    pub ending: watch::Sender<bool>,
}

type Shared = State<Arc<Service>>;

impl Service {
    /// The rules of a workspace.
    fn deployment(&self, workspace: &str) -> Result<Arc<Deployment>, Failure> {
        let deployments = self.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.get(workspace).cloned().ok_or_else(|| Failure::unknown_workspace(workspace))
    }

    /// Whether a workspace has rules in force.
    pub fn has_workspace(&self, workspace: &str) -> bool {
        let deployments = self.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.contains_key(workspace)
    }

    /// The workspaces that have rules in force.
    pub fn workspaces(&self) -> Vec<Arc<str>> {
        let deployments = self.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.keys().cloned().collect()
    }

    /// A workspace, for whoever does something with its rules.
    pub fn seat<'a>(&'a self, workspace: &'a str) -> Seat<'a> {
        Seat { workspace, worker: &self.worker, deployments: &self.deployments }
    }

    /// Does something with a workspace's rules, one after the other. It waits for what is done to be
    /// durable: not to be called where waiting is not allowed.
    pub fn manage<T>(&self, workspace: &str, act: impl FnOnce(&mut Manager, &Seat<'_>) -> T) -> T {
        // A change is made in one go, after everything that could panic.
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut manager, &self.seat(workspace))
    }

    /// Refuses what would wait for a store that does not answer.
    fn check_store(&self) -> Result<(), Failure> {
        match self.store.outage() {
            Some(reason) => Err(Failure::waiting(&format!("the store: {reason}"))),
            None => Ok(()),
        }
    }

    /// Reads from the store on a thread that may wait.
    async fn read<T: Send + 'static, E: Send + 'static>(
        self: &Arc<Service>,
        read: impl FnOnce(&dyn Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        self.check_store()?;
        let store = self.store.clone();
        // One that nobody else writes is waited for as long as it takes.
        let wait = if store.is_shared() { READ_WAIT_MAX } else { Duration::MAX };
        let reading = tokio::task::spawn_blocking(move || read(&*store));
        match tokio::time::timeout(wait, reading).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(Failure::internal("reading the store was broken off")),
            Err(_) => {
                let waited = READ_WAIT_MAX.as_secs();
                Err(Failure::waiting(&format!("the store, which did not answer for {waited} s")))
            }
        }
    }
}

/// All routes.
pub fn router(service: Arc<Service>) -> Router {
    let body_bytes_max = service.config.http.body_bytes_max;
    let routes = ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    routes
        .fallback(|| async { Failure::not_found("no such path: see the README for all of them") })
        .layer(middleware::from_fn_with_state(service.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        // What it does not know is passed on, and refused by the guard.
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .with_state(service)
}

/// What follows the question mark of a request, refused as everything else is.
struct Parameters<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Parameters(parameters)),
            Err(error) => {
                let reason = error.body_text();
                let reason = reason.split_once(": ").map_or(reason.as_str(), |(_, reason)| reason);
                Err(Failure::bad_request(&format!("a parameter is wrong: {reason}")))
            }
        }
    }
}

/// A page of a list.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The last entry of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

impl Page {
    /// The user that the page before ended with.
    fn user_after(&self) -> Result<Option<&str>, Failure> {
        check_user(self.after.as_deref())
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }
}

/// A user's id as part of a cursor: whatever could be one.
fn check_user(user: Option<&str>) -> Result<Option<&str>, Failure> {
    match user {
        Some(user) if user.contains('\0') => {
            Err(Failure::bad_request("`after` holds a NUL, which no user's id does"))
        }
        user => Ok(user),
    }
}

/// What was refused, the oldest first.
async fn dead_letters(
    State(service): Shared,
    Parameters(page): Parameters<Page>,
) -> Result<Response, Failure> {
    let after = match &page.after {
        Some(after) => after.parse().map_err(|_| {
            Failure::bad_request("`after` is not a number: write the last `sequence` seen")
        })?,
        None => 0,
    };
    let limit = page.limit();
    let letters = service.read(move |store| store.dead_letters(after, limit)).await?;
    let mut body = Vec::new();
    for (sequence, letter) in letters {
        body.extend_from_slice(format!("{{\"sequence\":{sequence},\"letter\":").as_bytes());
        body.extend_from_slice(&letter);
        body.extend_from_slice(b"}\n");
    }
    Ok(lines(body))
}

async fn ready(State(service): Shared) -> Response {
    match service.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(error) => Failure::unavailable(&error).into_response(),
    }
}

async fn metrics(State(service): Shared) -> Result<Response, Failure> {
    service.metrics.queue.set(service.worker.waiting());
    service.metrics.damaged_users.set(service.worker.damaged_users());
    let text = service.metrics.text().map_err(|error| Failure::internal(&error.to_string()))?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// JSON objects, one a line.
fn lines(body: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/x-ndjson");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
