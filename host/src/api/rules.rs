//! Rules under traffic: versions, shadows, rollouts, and what was seen of them.

mod read;

use read::diff;
pub(super) use read::{diff_of, differences, history, verify, version};

use super::failure::Failure;
use super::{Service, Shared};
use crate::access::Caller;
use crate::lifecycle::{Action, Class, Failures, RulesState, Share, Step, Subject, Sweep};
use crate::manager::{ActError, Asker, Manager, Seat, read_version, waits_for};
use crate::ruleset::{ComponentFile, RuleFiles};
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_rules::Source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is deployed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deploy {
    #[serde(default)]
    definitions: Vec<Definitions>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definitions {
    name: String,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    name: String,
    base64: String,
}

/// What is done by name alone, or to a share of users, or to audiences.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// Rules or engine.
    of: Option<Subject>,
    share: Option<Share>,
    /// Shares one after the other.
    steps: Option<Vec<Step>>,
    audiences: Option<Vec<String>>,
    audience: Option<String>,
    /// The revision that the caller has seen.
    revision: Option<u64>,
}

/// Where a workspace's rules stand.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    workspace: Arc<str>,
    #[serde(flatten)]
    state: RulesState,
    /// Audiences of the active version and of the candidate, and how many the candidate changes.
    audiences: usize,
    changed: usize,
    /// How far users have gone over to this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    filling: Option<Sweep>,
    /// What the next step of the schedule waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    /// Evaluations by a shadow since the last change, and how it differed, by class.
    shadowed: u64,
    differences: BTreeMap<Class, u64>,
    /// Modules that failed since.
    failures: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    module: Arc<str>,
    is_candidate: bool,
    #[serde(flatten)]
    calls: Failures,
}

pub(super) async fn status(
    State(service): Shared,
    Path(workspace): Path<String>,
) -> Result<Response, Failure> {
    let state = service.states.of(&workspace)?;
    let looked = tokio::task::spawn_blocking(move || describe(&service.seat(&workspace), state));
    let status = looked.await.map_err(|_| Failure::internal("looking at rules was broken off"))?;
    Ok(Json(status).into_response())
}

fn describe(seat: &Seat<'_>, state: RulesState) -> Status {
    let in_force = seat.in_force();
    let waits_for = waits_for(seat, &state).flatten();
    seat.worker.observe(seat.workspace, |observed| Status {
        workspace: seat.workspace.into(),
        audiences: in_force.as_ref().map_or(0, |rules| rules.ruleset().plan.sizes().audiences),
        changed: in_force.as_ref().map_or(0, |rules| rules.changed.len()),
        filling: observed.sweep,
        waits_for,
        shadowed: observed.shadowed,
        differences: observed.differences.clone(),
        failures: observed
            .failures
            .iter()
            .map(|((is_candidate, module), calls)| Failed {
                module: module.clone(),
                is_candidate: *is_candidate,
                calls: calls.clone(),
            })
            .collect(),
        state,
    })
}

pub(super) async fn deploy(
    State(service): Shared,
    Path(workspace): Path<String>,
    caller: Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let deploy: Deploy = parse(&body)?;
    let files = files(deploy)?;
    let (asker, store) = (asker(&caller, None), service.store.clone());
    manage(&service, workspace, move |manager, seat| {
        let (version, state) = manager.deploy(seat, &files, &asker)?;
        let active = state.active.as_ref();
        let active = active.map(|active| read_version(&*store, seat.workspace, active));
        let active = active.transpose()?;
        let diff = diff(active.as_ref(), &version);
        let body = serde_json::json!({
            "version": version.id, "revision": state.revision, "diff": diff,
        });
        Ok((StatusCode::CREATED, Json(body)).into_response())
    })
    .await
}

fn files(deploy: Deploy) -> Result<RuleFiles, Failure> {
    let definitions = deploy.definitions.into_iter();
    let definitions =
        definitions.map(|file| Source { name: file.name.into(), text: file.text }).collect();
    let components = deploy.components.into_iter().map(|file| {
        let reason = |_| Failure::bad_request(&format!("`{}`: `base64` is none", file.name));
        let bytes = STANDARD.decode(&file.base64).map_err(reason)?;
        Ok(ComponentFile { name: file.name.as_str().into(), bytes })
    });
    let components = components.collect::<Result<_, Failure>>()?;
    Ok(RuleFiles { definitions, components, ..RuleFiles::default() })
}

pub(super) async fn act(
    State(service): Shared,
    Path((workspace, action)): Path<(String, String)>,
    caller: Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let order: Order = if body.is_empty() { Order::default() } else { parse(&body)? };
    let asker = asker(&caller, order.revision);
    if action == "remove" {
        let audience = needed(order.audience, "audience")?;
        return manage(&service, workspace, move |manager, seat| {
            let state = manager.remove(seat, &audience, &asker)?;
            Ok(Json(describe(seat, state)).into_response())
        })
        .await;
    }
    let of = order.of.unwrap_or(Subject::Rules);
    let action = match action.as_str() {
        "shadow" => Action::Shadow { of, share: needed(order.share, "share")? },
        "rollout" => {
            let one = order.share.map(|share| vec![Step { share, hold_ms: 0 }]);
            Action::Rollout { of, steps: needed(one.or(order.steps), "share` or `steps")? }
        }
        "advance" => Action::Advance,
        "promote" => Action::Promote,
        "rollback" => Action::Rollback,
        "pause" => Action::Pause { audiences: needed(order.audiences, "audiences")? },
        "resume" => Action::Resume { audiences: needed(order.audiences, "audiences")? },
        other => {
            let reason = format!(
                "`{other}` is nothing to do with rules: write shadow, rollout, advance, promote, \
                 rollback, pause, resume or remove"
            );
            return Err(Failure::not_found(&reason));
        }
    };
    manage(&service, workspace, move |manager, seat| {
        let state = manager.act(seat, action, &asker)?;
        Ok(Json(describe(seat, state)).into_response())
    })
    .await
}

/// Does something on a thread that may wait.
async fn manage<T: Send + 'static>(
    service: &Arc<Service>,
    workspace: String,
    act: impl FnOnce(&mut Manager, &Seat<'_>) -> Result<T, ActError> + Send + 'static,
) -> Result<T, Failure> {
    service.check_store()?;
    let service = service.clone();
    let done = tokio::task::spawn_blocking(move || service.manage(&workspace, act)).await;
    match done {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::internal("changing the rules was broken off")),
    }
}

fn asker(caller: &Caller, revision: Option<u64>) -> Asker {
    Asker { by: caller.name().to_string(), reason: None, revision }
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::bad_request(&format!("`{name}` is missing")))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::bad_request(&error.to_string()))
}
