//! What callers are told when something is wrong: a status, and JSON with one sentence.

use crate::access::Denied;
use crate::manager::ActError;
use crate::ruleset::RulesetError;
use crate::store::StoreError;
use crate::worker::Unavailable;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Seconds after which an overloaded service should be tried again.
const RETRY_AFTER_SECONDS: &str = "1";

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Value,
    retry: bool,
    /// Whether a token would help.
    challenge: bool,
}

impl Failure {
    fn new(status: StatusCode, reason: &str) -> Failure {
        Failure { status, body: json!({ "error": reason }), retry: false, challenge: false }
    }

    pub(super) fn bad_request(reason: &str) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn not_found(reason: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, reason)
    }

    pub(super) fn no_such_method(reason: &str) -> Failure {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, reason)
    }

    pub(super) fn gone(reason: &str) -> Failure {
        Failure::new(StatusCode::GONE, reason)
    }

    pub(super) fn unsupported(reason: &str) -> Failure {
        Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)
    }

    pub(super) fn timeout(reason: &str) -> Failure {
        Failure::new(StatusCode::REQUEST_TIMEOUT, reason)
    }

    pub(super) fn internal(reason: &str) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
    }

    pub(super) fn unknown_workspace(workspace: &str) -> Failure {
        let reason = format!("no rules for workspace `{workspace}`: add it to [workspaces]");
        Failure::not_found(&reason)
    }

    pub(super) fn unavailable(error: &Unavailable) -> Failure {
        let status = match error {
            Unavailable::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Unavailable::ShuttingDown | Unavailable::Waiting(_) | Unavailable::StoreFailed(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let retry = !matches!(error, Unavailable::StoreFailed(_));
        Failure { retry, ..Failure::new(status, &error.to_string()) }
    }

    /// What the service depends on does not answer.
    pub(super) fn waiting(what: &str) -> Failure {
        Failure::unavailable(&Unavailable::Waiting(what.into()))
    }

    /// The same, telling what became of the part that went before.
    pub(super) fn with(mut self, key: &str, value: Value) -> Failure {
        self.body[key] = value;
        self
    }
}

impl From<&Denied> for Failure {
    fn from(denied: &Denied) -> Failure {
        let challenge = denied.is_unauthenticated();
        let status = if challenge { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        Failure { challenge, ..Failure::new(status, &denied.to_string()) }
    }
}

impl From<ActError> for Failure {
    fn from(error: ActError) -> Failure {
        let reason = error.to_string();
        match error {
            ActError::Refused(_) | ActError::Overtaken(_) | ActError::Busy { .. } => {
                Failure::new(StatusCode::CONFLICT, &reason)
            }
            ActError::UnknownVersion(_)
            | ActError::UnknownAudience(_)
            | ActError::UnknownWorkspace(_) => Failure::not_found(&reason),
            ActError::AmbiguousVersion(_) | ActError::BadWorkspace(_) => {
                Failure::bad_request(&reason)
            }
            ActError::Rules(RulesetError::Invalid(diagnostics)) => {
                let diagnostics = serde_json::to_value(&diagnostics).unwrap_or_default();
                Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &reason)
                    .with("diagnostics", diagnostics)
            }
            ActError::Emptied { .. } => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &reason),
            ActError::Rules(error) => {
                let reason = format!("{:#}", anyhow::Error::from(error));
                Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &reason)
            }
            ActError::Store(error) => Failure::from(error),
            ActError::Unavailable(error) => Failure::unavailable(&error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let status = match error {
            StoreError::ToldElsewhere => StatusCode::NOT_IMPLEMENTED,
            StoreError::Locked { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, &error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (self.status, headers, Json(self.body)).into_response()
    }
}
