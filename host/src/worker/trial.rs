//! What a step shows of what is tried: differences from the shadow, and who changed on which side.

use super::rules::WorkspaceRules;
use super::{Shared, lock};
use crate::decode::format_time;
use crate::describe;
use crate::group::{Compared, Group, StepError};
use crate::lifecycle::{
    Answer, Arm, Class, Deployment, Difference, Ground, Observed, Sample, Subject, names,
};
use crate::store::{UserKey, UserRecord};
use muster_core::{AudienceKey, Cause, ExactFrom, Report, Time, Transition, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Differences of a workspace that are kept; the oldest go first. At their largest some 40 MB.
const DIFFERENCES_MAX: u64 = 10_000;
/// Differences recorded of one user in one step, so that a candidate that changes everything does not
/// hold up live messages. All are counted, and those that nothing explains are all recorded.
const RECORDED_MAX: usize = 4;

/// How many differences of a workspace were kept, and whether the store knows.
pub(crate) struct Kept {
    count: u64,
    is_stored: bool,
}

/// Two arms, and how a user's records compare by them.
pub(super) struct Trial<'a> {
    pub(super) key: &'a UserKey,
    pub(super) arms: [usize; 2],
    pub(super) compared: &'a Compared,
    /// What the step took by what counts.
    pub(super) report: &'a Report,
    pub(super) now: Time,
}

/// Notes who entered or left by what she or time did, on which side of what is rolled out.
pub(super) fn note(
    shared: &Shared,
    deployment: &Deployment,
    key: &UserKey,
    transitions: &[Transition],
) {
    for of in [Subject::Rules, Subject::Engine] {
        if !deployment.is_tried(of) || transitions.is_empty() {
            continue;
        }
        let is_new = deployment.is_new(of, &key.workspace, &key.user);
        let mut observed = lock(&shared.observed);
        let observed = observed.entry(key.workspace.clone()).or_default();
        for transition in transitions.iter().filter(|told| told.cause != Cause::Rules) {
            let cell = (of, transition.key, transition.change);
            let sample = observed.samples.entry(cell).or_insert_with(Sample::of_audience);
            sample.note(&key.workspace, &key.user, is_new);
            if of == Subject::Engine || !deployment.changed.contains(&transition.key) {
                let all = observed.all.entry(of).or_insert_with(Sample::of_all);
                all.note(&key.workspace, &key.user, is_new);
            }
        }
    }
}

/// Records the differences that appeared.
pub(super) fn record(
    shared: &Shared,
    group: &mut Group,
    rules: &mut WorkspaceRules,
    trial: &Trial<'_>,
) -> Result<(), StepError> {
    let workspace = &trial.key.workspace;
    let deployment = rules.deployment.clone();
    let mut recorded = 0;
    for audience in &trial.compared.appeared {
        let class = classify(shared, &deployment, trial, *audience)?;
        shared.metrics.differences.with_label_values(&[&**workspace, class.name()]).inc();
        count(shared, workspace, |observed| *observed.differences.entry(class).or_default() += 1);
        if recorded >= RECORDED_MAX && class != Class::Unexplained {
            continue;
        }
        recorded += 1;
        let difference = describe(shared, group, rules, trial, *audience, class)?;
        keep(shared, group, workspace, &difference)?;
    }
    count(shared, workspace, |observed| observed.shadowed += 1);
    Ok(())
}

fn count(shared: &Shared, workspace: &Arc<str>, count: impl FnOnce(&mut Observed)) {
    count(lock(&shared.observed).entry(workspace.clone()).or_default());
}

fn classify(
    shared: &Shared,
    deployment: &Deployment,
    trial: &Trial<'_>,
    audience: AudienceKey,
) -> Result<Class, StepError> {
    let arms = trial.arms.map(|arm| &deployment.arms[arm]);
    if arms[0].is_candidate != arms[1].is_candidate && deployment.changed.contains(&audience) {
        return Ok(Class::DefinitionChanged);
    }
    let id = deployment.audience_id(audience);
    let mut failures = trial.report.failures.iter().chain(&trial.compared.report.failures);
    if failures.any(|(failed, _)| Some(failed) == id) {
        return Ok(Class::Failed);
    }
    let forgotten = shared.store.forgotten(&trial.key.workspace)?;
    let forgotten: BTreeMap<Arc<str>, Time> = forgotten.into_iter().collect();
    let is_filling = |arm: &Arm| match arm.ruleset.plan.exact_from(audience, &forgotten) {
        ExactFrom::Always => false,
        ExactFrom::Instant(instant) => instant > trial.now,
        ExactFrom::Never => true,
    };
    Ok(match arms.into_iter().any(is_filling) {
        true => Class::Filling,
        false if trial.report.late > 0 => Class::LateEvent,
        false => Class::Unexplained,
    })
}

fn describe(
    shared: &Shared,
    group: &Group,
    rules: &mut WorkspaceRules,
    trial: &Trial<'_>,
    audience: AudienceKey,
    class: Class,
) -> Result<Difference, StepError> {
    let damaged = |source| StepError::Damaged {
        workspace: trial.key.workspace.clone(),
        user: trial.key.user.clone(),
        source,
    };
    let deployment = rules.deployment.clone();
    let (counts, shadow) = trial.compared.memberships(audience).map_err(damaged)?;
    let mut answer = |at: usize, member: bool, record: &UserRecord| {
        let arm = &deployment.arms[trial.arms[at]];
        let mut audiences = arm.ruleset.plan.audiences();
        let known = audiences.find(|known| known.key == audience);
        let rules_of = known.map(|known| known.version.clone());
        let evaluator = rules.evaluator(trial.arms[at]);
        let grounds = group.explain(&*shared.store, evaluator, trial.key, record, audience)?;
        Ok::<Answer, StepError>(Answer {
            member,
            version: arm.version_name().to_string(),
            engine: arm.engine.name().to_string(),
            rules: rules_of,
            grounds: grounds.into_iter().map(to_ground).collect(),
        })
    };
    let counts = answer(0, counts, &trial.compared.counts)?;
    let shadow = answer(1, shadow, &trial.compared.shadow)?;
    let of = deployment.state.shadow.as_ref().map_or(Subject::Rules, |shadow| shadow.of);
    Ok(Difference {
        at: format_time(trial.now),
        user: trial.key.user.clone(),
        audience: deployment.audience_id(audience).cloned().unwrap_or_default(),
        of,
        class,
        counts,
        shadow,
    })
}

fn to_ground(ground: muster_core::Ground) -> Ground {
    let muster_core::Ground { of, value, conditions } = ground;
    Ground { of: describe::looked(&of), value: value.as_ref().map(Value::to_string), conditions }
}

/// How many differences of workspaces were kept, to be put with them: once a turn, since lanes keep
/// theirs beside each other.
pub(super) fn uncounted(shared: &Shared) -> Vec<(Arc<str>, Option<Vec<u8>>)> {
    let mut kept = lock(&shared.differences_kept);
    let new = kept.iter_mut().filter(|(_, kept)| !kept.is_stored);
    new.map(|(workspace, kept)| {
        kept.is_stored = true;
        (names::differences_count(workspace), Some(kept.count.to_le_bytes().to_vec()))
    })
    .collect()
}

/// Keeps a difference among the newest of its workspace.
fn keep(
    shared: &Shared,
    group: &mut Group,
    workspace: &Arc<str>,
    difference: &Difference,
) -> Result<(), StepError> {
    let mut kept = lock(&shared.differences_kept);
    let count = match kept.get(workspace) {
        Some(kept) => kept.count,
        None => {
            let stored = shared.store.document(&names::differences_count(workspace))?;
            let stored = stored.and_then(|bytes| bytes.try_into().ok());
            stored.map_or(0, u64::from_le_bytes)
        }
    } + 1;
    kept.insert(workspace.clone(), Kept { count, is_stored: false });
    drop(kept);
    // Texts and numbers always serialise.
    let document = serde_json::to_vec(difference).unwrap_or_default();
    group.put([(names::difference(workspace, count), Some(document))]);
    if let Some(oldest) = count.checked_sub(DIFFERENCES_MAX) {
        group.put([(names::difference(workspace, oldest), None)]);
    }
    Ok(())
}
