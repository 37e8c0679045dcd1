//! All routes, each with who may use it. What is not listed is refused.

use super::{
    Service, audiences, dead_letters, messages, metrics, ready, rules, transitions, users,
};
use crate::access::Role;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

/// A request that is answered.
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// The path, with `{name}` for what varies.
    pub path: &'static str,
    /// Who may ask.
    pub need: Need,
    pub(super) handler: fn() -> MethodRouter<Arc<Service>>,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everybody.
    Open,
    /// Viewers of all workspaces, or everybody when the settings say so.
    Metrics,
    /// Keys for sending messages.
    Ingest,
    /// A role in the workspace of the path, or in all when it names none.
    Role(Role),
}

const VIEWER: Need = Need::Role(Role::Viewer);
const AUTHOR: Need = Need::Role(Role::Author);
const OPERATOR: Need = Need::Role(Role::Operator);

/// All of them.
pub const ROUTES: &[Route] = &[
    Route::new(Method::POST, "/v1/messages", Need::Ingest, || post(messages::post)),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/users/{user}", VIEWER, || get(users::user)),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/users/{user}/audiences", VIEWER, || {
        get(users::audiences)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/audiences", VIEWER, || {
        get(audiences::list)
    }),
    Route::new(
        Method::GET,
        "/v1/workspaces/{workspace}/audiences/{audience}/members",
        VIEWER,
        || get(audiences::members),
    ),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/memberships", VIEWER, || {
        get(audiences::snapshot)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/transitions", VIEWER, || {
        get(transitions::read)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules", VIEWER, || get(rules::status)),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules/history", VIEWER, || {
        get(rules::history)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules/differences", VIEWER, || {
        get(rules::differences)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules/diff", VIEWER, || {
        get(rules::diff_of)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules/verify", VIEWER, || {
        get(rules::verify)
    }),
    Route::new(Method::GET, "/v1/workspaces/{workspace}/rules/versions/{version}", VIEWER, || {
        get(rules::version)
    }),
    Route::new(Method::POST, "/v1/workspaces/{workspace}/rules/versions", AUTHOR, || {
        post(rules::deploy)
    }),
    Route::new(Method::POST, "/v1/workspaces/{workspace}/rules/actions/{action}", OPERATOR, || {
        post(rules::act)
    }),
    Route::new(Method::GET, "/v1/dead-letters", VIEWER, || get(dead_letters)),
    Route::new(Method::GET, "/healthz", Need::Open, || get(|| async { "ok\n" })),
    Route::new(Method::GET, "/readyz", Need::Open, || get(ready)),
    Route::new(Method::GET, "/metrics", Need::Metrics, || get(metrics)),
];

impl Route {
    const fn new(
        method: Method,
        path: &'static str,
        need: Need,
        handler: fn() -> MethodRouter<Arc<Service>>,
    ) -> Route {
        Route { method, path, need, handler }
    }
}
