//! Reading about rules: how versions differ, what was done, what a trial showed.

use super::super::failure::Failure;
use super::super::{Page, Parameters, Shared, lines};
use crate::lifecycle::{Refused, Subject, Verification, Version, names};
use crate::manager::{ActError, Change, find_version, read_version};
use crate::store::Store;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How one version differs from another.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Diff {
    from: String,
    to: String,
    added: BTreeSet<Arc<str>>,
    changed: BTreeSet<Arc<str>>,
    removed: BTreeSet<Arc<str>>,
    same: usize,
}

/// Which versions are compared: names, or what they begin with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Between {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Of {
    of: Option<Subject>,
}

/// A version without its files.
#[derive(Debug, Serialize)]
struct Outline {
    version: String,
    created: String,
    by: String,
    definitions: Vec<String>,
    components: Vec<String>,
    audiences: BTreeMap<Arc<str>, Arc<str>>,
}

pub(in crate::api) async fn verify(
    State(service): Shared,
    Path(workspace): Path<String>,
    Parameters(of): Parameters<Of>,
) -> Result<Json<Verification>, Failure> {
    let of = of.of.unwrap_or(Subject::Rules);
    let share = service.states.of(&workspace)?.share(of);
    let looked = tokio::task::spawn_blocking(move || {
        let rules = service.seat(&workspace).in_force();
        service.worker.observe(&workspace, |observed| {
            observed.verify(of, share, |key| rules.as_ref()?.describe(key))
        })
    });
    Ok(Json(looked.await.map_err(|_| Failure::internal("verifying was broken off"))?))
}

pub(in crate::api) async fn diff_of(
    State(service): Shared,
    Path(workspace): Path<String>,
    Parameters(between): Parameters<Between>,
) -> Result<Json<Diff>, Failure> {
    let state = service.states.of(&workspace)?;
    let read = move |store: &dyn Store| {
        let candidate = state.candidate.as_ref().map(|candidate| &candidate.version);
        // What is tried against what counts, or what counts against what did.
        let (from, to) = match candidate {
            Some(candidate) => (state.active.as_ref(), Some(candidate)),
            None => (state.previous.as_ref(), state.active.as_ref()),
        };
        let find = |named: Option<&String>, or: Option<_>| match (named, or) {
            (Some(name), _) => find_version(store, &workspace, name).map(Some),
            (None, Some(id)) => read_version(store, &workspace, id).map(Some),
            (None, None) => Ok(None),
        };
        let (from, to) = (find(between.from.as_ref(), from)?, find(between.to.as_ref(), to)?);
        let to = to.ok_or(Refused::NothingActive)?;
        Ok::<_, ActError>(diff(from.as_ref(), &to))
    };
    Ok(Json(service.read(read).await?))
}

pub(super) fn diff(from: Option<&Version>, to: &Version) -> Diff {
    let nothing = BTreeMap::new();
    let before = from.map_or(&nothing, |from| &from.audiences);
    let mut diff = Diff {
        from: from.map(|from| from.id.to_string()).unwrap_or_default(),
        to: to.id.to_string(),
        added: BTreeSet::new(),
        changed: BTreeSet::new(),
        removed: before.keys().filter(|id| !to.audiences.contains_key(*id)).cloned().collect(),
        same: 0,
    };
    for (id, version) in &to.audiences {
        match before.get(id) {
            None => drop(diff.added.insert(id.clone())),
            Some(before) if before != version => drop(diff.changed.insert(id.clone())),
            Some(_) => diff.same += 1,
        }
    }
    diff
}

pub(in crate::api) async fn version(
    State(service): Shared,
    Path((workspace, name)): Path<(String, String)>,
) -> Result<Response, Failure> {
    service.states.of(&workspace)?;
    let version = service.read(move |store| find_version(store, &workspace, &name)).await?;
    let outline = Outline {
        version: version.id.as_str().to_string(),
        created: version.created,
        by: version.by,
        definitions: version.definitions.into_iter().map(|file| file.name).collect(),
        components: version.components.into_iter().map(|file| file.name).collect(),
        audiences: version.audiences,
    };
    Ok(Json(outline).into_response())
}

/// Changes of the rules, the latest first.
pub(in crate::api) async fn history(
    State(service): Shared,
    Path(workspace): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Vec<Change>>, Failure> {
    let limit = page.limit();
    let latest = service.states.of(&workspace)?.revision;
    let before = match &page.after {
        Some(after) => after.parse::<u64>().map_err(|_| {
            Failure::bad_request("`after` is not a number: write the last `revision` seen")
        })?,
        None => latest + 1,
    };
    let first = before.saturating_sub(limit as u64);
    let prefix = names::changes(&workspace);
    let after = names::change(&workspace, first.saturating_sub(1));
    let wanted = usize::try_from(before - first).unwrap_or(limit);
    let read = move |store: &dyn Store| store.documents(&prefix, Some(&after), wanted);
    let mut changes = Vec::new();
    for (_, document) in service.read(read).await? {
        let change: Change = serde_json::from_slice(&document)
            .map_err(|_| Failure::internal("a change in the store is damaged"))?;
        if change.revision < before {
            changes.push(change);
        }
    }
    changes.reverse();
    Ok(Json(changes))
}

/// Differences from the shadow, the oldest that is kept first.
pub(in crate::api) async fn differences(
    State(service): Shared,
    Path(workspace): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Result<Response, Failure> {
    let limit = page.limit();
    let after = match &page.after {
        Some(after) => after.parse::<u64>().map_err(|_| {
            Failure::bad_request("`after` is not a number: write the last `sequence` seen")
        })?,
        None => 0,
    };
    let prefix = names::differences(&workspace);
    let from = names::difference(&workspace, after);
    let found = service.read(move |store| store.documents(&prefix, Some(&from), limit)).await?;
    let mut body = Vec::new();
    for (name, document) in found {
        let sequence = name.rsplit('\0').next().and_then(|text| text.parse::<u64>().ok());
        let sequence = sequence.unwrap_or_default();
        body.extend_from_slice(format!("{{\"sequence\":{sequence},\"difference\":").as_bytes());
        body.extend_from_slice(&document);
        body.extend_from_slice(b"}\n");
    }
    Ok(lines(body))
}
