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
use crate::manager::{ActError, Deployments, Manager, Seat};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
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
use tokio::sync::watch;
use tower_http::decompression::RequestDecompressionLayer;

/// Entries of a page when none are asked for, and at the most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;

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
    /// Who changes them.
    pub manager: Mutex<Manager>,
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

    /// Does something with a workspace's rules, one after the other. It waits for what is done to be
    /// durable: not to be called where waiting is not allowed.
    pub fn manage<T>(&self, workspace: &str, act: impl FnOnce(&mut Manager, &Seat<'_>) -> T) -> T {
        let seat = Seat { workspace, worker: &self.worker, deployments: &self.deployments };
        // A change is made in one go, after everything that could panic.
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut manager, &seat)
    }

    /// Takes over the rules of all workspaces, as other instances that share the store left them.
    ///
    /// # Errors
    /// When the store fails, or one of them does not load.
    pub fn follow_rules(&self) -> Result<(), ActError> {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        for workspace in manager.changed_elsewhere()? {
            let (worker, deployments) = (&self.worker, &self.deployments);
            manager.follow(&Seat { workspace: &workspace, worker, deployments })?;
        }
        Ok(())
    }

    /// Reads from the store on a thread that may wait.
    async fn read<T: Send + 'static>(
        self: &Arc<Service>,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || read(&*store)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Failure::internal("reading the store was broken off")),
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
    match service.worker.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(error) => Failure::unavailable(&error).into_response(),
    }
}

async fn metrics(State(service): Shared) -> Result<Response, Failure> {
    service.metrics.queue.set(service.worker.waiting());
    let text = service.metrics.text().map_err(|error| Failure::internal(&error.to_string()))?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// JSON objects, one a line.
fn lines(body: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/x-ndjson");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
