//! What is known of a user.

use super::failure::Failure;
use super::{Service, Shared};
use crate::decode::{format_time, value_to_json};
use crate::lifecycle::Deployment;
use crate::store::UserKey;
use axum::Json;
use axum::extract::{Path, State};
use muster_core::Profile;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A user's profile and memberships.
#[derive(Debug, Serialize)]
pub(super) struct User {
    workspace: Arc<str>,
    user: Arc<str>,
    attributes: BTreeMap<Arc<str>, Box<RawValue>>,
    identities: BTreeMap<Arc<str>, Arc<str>>,
    audiences: Vec<Membership>,
}

#[derive(Debug, Serialize)]
pub(super) struct Membership {
    audience: Arc<str>,
    since: String,
}

pub(super) async fn user(
    State(service): Shared,
    Path((workspace, user)): Path<(String, String)>,
) -> Result<Json<User>, Failure> {
    let (key, rules, profile) = find(&service, &workspace, &user).await?;
    let audiences = memberships(&rules, &profile);
    let attributes =
        profile.attributes.iter().map(|(name, value)| (name.clone(), value_to_json(value)));
    Ok(Json(User {
        workspace: key.workspace,
        user: key.user,
        attributes: attributes.collect(),
        identities: profile.identities,
        audiences,
    }))
}

pub(super) async fn audiences(
    State(service): Shared,
    Path((workspace, user)): Path<(String, String)>,
) -> Result<Json<Vec<Membership>>, Failure> {
    let (_, rules, profile) = find(&service, &workspace, &user).await?;
    Ok(Json(memberships(&rules, &profile)))
}

async fn find(
    service: &Arc<Service>,
    workspace: &str,
    user: &str,
) -> Result<(UserKey, Arc<Deployment>, Profile), Failure> {
    let rules = service.deployment(workspace)?;
    let key = UserKey { workspace: workspace.into(), user: user.into() };
    let wanted = key.clone();
    let unknown = || Failure::not_found(&format!("no user `{user}` in workspace `{workspace}`"));
    if user.is_empty() || user.len() > crate::decode::ID_BYTES_MAX || user.contains('\0') {
        return Err(unknown());
    }
    let record = service.read(move |store| store.user(&wanted)).await?.ok_or_else(unknown)?;
    let profile = Profile::decode(&record.profile).map_err(|error| {
        Failure::internal(&format!("the profile of user `{user}` is damaged: {error}"))
    })?;
    Ok((key, rules, profile))
}

fn memberships(rules: &Deployment, profile: &Profile) -> Vec<Membership> {
    let named = profile.memberships.iter().filter_map(|(key, since)| {
        let audience = rules.audience_id(key)?.clone();
        Some(Membership { audience, since: format_time(since) })
    });
    let mut memberships: Vec<Membership> = named.collect();
    memberships.sort_by(|one, other| one.audience.cmp(&other.audience));
    memberships
}
