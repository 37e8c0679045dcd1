//! Audiences, their members, and all memberships at once.

use super::failure::Failure;
use super::{PAGE_MAX, Page, Parameters, Service, Shared, check_user, lines};
use crate::decode::format_time;
use crate::lifecycle::Sweep;
use crate::store::{Store, StoreError, UserKey};
use crate::transitions::membership_line;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::Response;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use muster_core::{AudienceKey, ExactFrom, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cursor from which transitions go on after a snapshot.
const CURSOR_HEADER: &str = "muster-cursor";
/// Where the next page of a snapshot begins; absent on the last.
const NEXT_HEADER: &str = "muster-next";

#[derive(Debug, Serialize)]
pub(super) struct Audience {
    id: Arc<str>,
    name: Arc<str>,
    version: Arc<str>,
    module: Arc<str>,
    /// Whether it is not decided for now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    /// Its version in the candidate, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<Arc<str>>,
    /// Whether its answers are exact now: they are not while users have yet to go over to its rules,
    /// nor while a window reaches back to events that were deleted before they were deployed.
    exact: bool,
    /// When they will be; absent when they are, and when they never will.
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_from: Option<String>,
    /// How many users have gone over to its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    filling: Option<Sweep>,
}

#[derive(Debug, Serialize)]
pub(super) struct Members {
    members: Vec<Member>,
    /// What to write as `after` for the next page; nothing on the last.
    next: Option<Arc<str>>,
}

#[derive(Debug, Serialize)]
struct Member {
    user: Arc<str>,
    since: String,
}

pub(super) async fn list(
    State(service): Shared,
    Path(workspace): Path<String>,
) -> Result<Json<Vec<Audience>>, Failure> {
    let rules = service.deployment(&workspace)?;
    let sweep = service.worker.observe(&workspace, |observed| observed.sweep);
    let read =
        move |store: &dyn Store| Ok::<_, StoreError>((store.forgotten(&workspace)?, store.clock()));
    let (forgotten, clock) = service.read(read).await?;
    let forgotten: BTreeMap<Arc<str>, Time> = forgotten.into_iter().collect();
    let mut audiences: BTreeMap<Arc<str>, Audience> = BTreeMap::new();
    for arm in &rules.arms {
        let plan = &arm.ruleset.plan;
        for audience in plan.audiences() {
            // The arms of the active version come first.
            let candidate = arm.is_candidate.then(|| audience.version.clone());
            if let Some(shown) = audiences.get_mut(audience.id) {
                let other = candidate.filter(|candidate| *candidate != shown.version);
                shown.candidate = shown.candidate.take().or(other);
                continue;
            }
            let exact_from = match plan.exact_from(audience.key, &forgotten) {
                ExactFrom::Always => Some(Time::MIN),
                ExactFrom::Instant(instant) => Some(instant),
                ExactFrom::Never => None,
            };
            let exact = exact_from.is_some_and(|instant| instant <= clock);
            let filling = sweep.filter(|_| rules.filling.contains(&audience.key));
            let shown = Audience {
                id: audience.id.clone(),
                name: audience.name.clone(),
                version: audience.version.clone(),
                module: audience.module.clone(),
                paused: plan.is_paused(audience.key),
                candidate,
                exact: exact && filling.is_none(),
                exact_from: exact_from.filter(|_| !exact).map(format_time),
                filling,
            };
            audiences.insert(audience.id.clone(), shown);
        }
    }
    Ok(Json(audiences.into_values().collect()))
}

pub(super) async fn members(
    State(service): Shared,
    Path((workspace, audience)): Path<(String, String)>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Members>, Failure> {
    let rules = service.deployment(&workspace)?;
    let key = AudienceKey::of(&audience);
    if rules.audience_id(key).is_none() {
        let reason = format!("no audience `{audience}` in workspace `{workspace}`");
        return Err(Failure::not_found(&reason));
    }
    let limit = page.limit();
    let after = page.user_after()?.map(str::to_string);
    let found =
        service.read(move |store| store.members(&workspace, key, after.as_deref(), limit)).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|(user, _)| user.clone());
    let members =
        found.into_iter().map(|(user, since)| Member { user, since: format_time(since) }).collect();
    Ok(Json(Members { members, next }))
}

/// All memberships of a workspace in pages, with the cursor from which transitions go on. The
/// cursor is older than what the page shows, so that nothing is missed: what is read twice changes
/// nothing.
pub(super) async fn snapshot(
    State(service): Shared,
    Path(workspace): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Result<Response, Failure> {
    let rules = service.deployment(&workspace)?;
    let of_workspace = workspace.clone();
    // Where transitions go to a topic, that has its own places.
    let cursor = service.read(move |store| match store.cursor(&of_workspace) {
        Err(StoreError::ToldElsewhere) => Ok(None),
        cursor => cursor.map(Some),
    });
    let cursor = cursor.await?;
    let plans = rules.arms.iter().map(|arm| &arm.ruleset.plan);
    let all = plans.flat_map(|plan| plan.audiences());
    let audiences: BTreeMap<Arc<str>, AudienceKey> =
        all.map(|audience| (audience.id.clone(), audience.key)).collect();
    let (audience_after, mut user_after) = match page.after.as_deref() {
        Some(after) => split_cursor(after)?,
        None => (None, None),
    };
    let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut body = Vec::new();
    let (mut left, mut next) = (limit, None);
    for (id, key) in audiences
        .iter()
        .filter(|(id, _)| audience_after.as_deref().is_none_or(|after: &str| after <= id.as_ref()))
    {
        let found = page_of(&service, &workspace, *key, user_after.take(), left).await?;
        left -= found.len();
        for (user, since) in &found {
            let key = UserKey { workspace: workspace.as_str().into(), user: user.clone() };
            body.extend_from_slice(membership_line(&key, id, *since).as_bytes());
            body.push(b'\n');
        }
        if left == 0 {
            next = found.last().map(|(user, _)| format!("{id}/{user}"));
            break;
        }
    }
    let mut response = lines(body);
    if let Some(cursor) = cursor {
        response.headers_mut().insert(CURSOR_HEADER, HeaderValue::from(cursor));
    }
    if let Some(next) = next {
        // Letters and digits are all that an encoded place holds.
        let next = HeaderValue::from_str(&BASE64_URL_SAFE_NO_PAD.encode(next))
            .map_err(|_| Failure::internal("a place does not fit a header"))?;
        response.headers_mut().insert(NEXT_HEADER, next);
    }
    Ok(response)
}

/// `audience/user`, encoded since a user's id may hold anything; an audience's id has no slash.
fn split_cursor(after: &str) -> Result<(Option<String>, Option<String>), Failure> {
    let place =
        BASE64_URL_SAFE_NO_PAD.decode(after).ok().and_then(|text| String::from_utf8(text).ok());
    let place = place.as_deref().and_then(|place| place.split_once('/'));
    let (audience, user) = place.ok_or_else(|| {
        Failure::bad_request("`after` is not a place: write what `muster-next` said")
    })?;
    let user = check_user(Some(user))?.map(str::to_string);
    Ok((Some(audience.to_string()), user))
}

async fn page_of(
    service: &Arc<Service>,
    workspace: &str,
    audience: AudienceKey,
    after: Option<String>,
    limit: usize,
) -> Result<Vec<(Arc<str>, muster_core::Time)>, Failure> {
    let workspace = workspace.to_string();
    service.read(move |store| store.members(&workspace, audience, after.as_deref(), limit)).await
}
