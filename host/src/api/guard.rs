//! Asks of every request who makes it, before anything else looks at it.

use super::failure::Failure;
use super::routes::{Need, ROUTES};
use super::{Service, Shared};
use crate::access::{ALL_WORKSPACES, Denied, Role};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Lets a request through that may be made, with the caller among its extensions.
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
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let workspace = match &params {
        Ok(params) => params.iter().find(|(name, _)| *name == "workspace").map(|(_, value)| value),
        Err(error) => return Failure::bad_request(&error.to_string()).into_response(),
    };
    match admit(&service, route.need, workspace.unwrap_or(ALL_WORKSPACES), &mut parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(denied) => {
            service.metrics.denied.with_label_values(&[denied.label()]).inc();
            tracing::info!(path = path.as_str(), %method, "denied: {denied}");
            Failure::from(&denied).into_response()
        }
    }
}

fn admit(service: &Service, need: Need, workspace: &str, parts: &mut Parts) -> Result<(), Denied> {
    let access = &service.config.access;
    if need == Need::Open || need == Need::Metrics && access.open_metrics {
        return Ok(());
    }
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(Denied::Malformed);
    }
    let caller = access.caller(header.map(|header| header.as_bytes()))?;
    match need {
        Need::Open => {}
        Need::Metrics => caller.require(Role::Viewer, ALL_WORKSPACES)?,
        Need::Ingest => caller.require_ingest()?,
        Need::Role(role) => caller.require(role, workspace)?,
    }
    parts.extensions.insert(caller);
    Ok(())
}
