//! Asks of every request who makes it, before anything else looks at it.

use super::failure::Failure;
use super::routes::{Need, ROUTES};
use super::{Service, Shared};
use crate::access::{ALL_WORKSPACES, AccessSettings, Caller, Denied, Role};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::sync::watch;

/// Somebody who was let in, for requests that outlast a change of who may.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) caller: Caller,
    need: Need,
    workspace: String,
    access: watch::Receiver<Arc<AccessSettings>>,
}

/// Lets a request through that may be made, with its caller and its admission among its extensions.
pub(super) async fn guard(State(service): Shared, request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    // A route that answers GET answers HEAD.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let route = ROUTES.iter().find(|r| r.path == path.as_str() && r.method == method);
    let Some(route) = route else {
        let reason = format!("`{}` does not answer `{}`: see the README", path.as_str(), method);
        return Failure::no_such_method(&reason).into_response();
    };
    if let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let reason = format!("a body in `{encoding}` is not read: send it as it is, or in `gzip`");
        return Failure::unsupported(&reason).into_response();
    }
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let workspace = match &params {
        Ok(params) => params.iter().find(|(name, _)| *name == "workspace").map(|(_, value)| value),
        Err(error) => return Failure::bad_request(&error.to_string()).into_response(),
    };
    match admit(&service, route.need, workspace.unwrap_or(ALL_WORKSPACES), &mut parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(denied) => {
            count(&service, &denied);
            tracing::info!(path = path.as_str(), %method, "denied: {denied}");
            Failure::from(&denied).into_response()
        }
    }
}

fn count(service: &Service, denied: &Denied) {
    service.metrics.denied.with_label_values(&[denied.label()]).inc();
}

impl Admission {
    /// Lets go on who still may.
    ///
    /// # Errors
    /// When the settings have changed so that they may not.
    pub(super) fn renew(&mut self, service: &Service) -> Result<(), Denied> {
        // The sender lives as long as the service, which the caller holds.
        if !self.access.has_changed().unwrap_or(false) {
            return Ok(());
        }
        let access = self.access.borrow_and_update().clone();
        let renewed = access
            .recognise(&self.caller)
            .and_then(|caller| allow(caller, self.need, &self.workspace));
        self.caller = renewed.inspect_err(|denied| {
            count(service, denied);
            tracing::info!(name = self.caller.name(), "denied from now on: {denied}");
        })?;
        Ok(())
    }

    /// Ends when the settings have changed.
    pub(super) async fn changed(&mut self) {
        if self.access.changed().await.is_ok() {
            self.access.mark_changed();
        }
    }
}

fn admit(service: &Service, need: Need, workspace: &str, parts: &mut Parts) -> Result<(), Denied> {
    let receiver = service.access.subscribe();
    let access = receiver.borrow().clone();
    if need == Need::Open || need == Need::Metrics && access.open_metrics {
        return Ok(());
    }
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(Denied::Malformed);
    }
    let caller = allow(access.caller(header.map(|header| header.as_bytes()))?, need, workspace)?;
    let workspace = workspace.to_string();
    parts.extensions.insert(caller.clone());
    parts.extensions.insert(Admission { caller, need, workspace, access: receiver });
    Ok(())
}

fn allow(caller: Caller, need: Need, workspace: &str) -> Result<Caller, Denied> {
    match need {
        Need::Open => {}
        Need::Metrics => caller.require(Role::Viewer, ALL_WORKSPACES)?,
        Need::Ingest => caller.require_ingest()?,
        Need::Role(role) => caller.require(role, workspace)?,
    }
    Ok(caller)
}
