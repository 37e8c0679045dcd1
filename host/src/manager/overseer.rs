//! Looks after what is tried: goes on with schedules, goes back where something speaks against it, and
//! puts the version before in the place of modules that keep failing.

use super::{ActError, Asker, Documents, Manager, Seat};
use crate::api::Service;
use crate::clock::wall_time;
use crate::lifecycle::{Action, Class, Failures, RulesState, Share, Step, Subject};
use crate::ruleset::RuleFiles;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Failed calls in the time that a module is watched for, so that one that is hardly called is not
/// judged by a single call.
const FAILED_LEAST: u64 = 3;

/// Failures by module, as the worker counts them.
type Counts = BTreeMap<(bool, Arc<str>), Failures>;

/// What was seen of a workspace when its modules were looked at last.
struct Watched {
    revision: u64,
    since: Instant,
    counts: Counts,
}

/// Looks after all workspaces until it is dropped.
pub async fn oversee(service: Arc<Service>) {
    let mut watched: BTreeMap<Arc<str>, Watched> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let service = service.clone();
        let looked = tokio::task::spawn_blocking(move || {
            for workspace in service.workspaces() {
                match look_after(&service, &workspace, &mut watched) {
                    Ok(()) => {}
                    // What was seen was of rules that are no more; the next look sees what is now.
                    Err(error) if error.is_for_another() => {
                        tracing::info!(%workspace, "rules are left to another instance: {error}");
                    }
                    Err(error) => tracing::error!(%workspace, "rules stay as they are: {error}"),
                }
            }
            watched
        });
        match looked.await {
            Ok(after) => watched = after,
            Err(error) => {
                tracing::error!(%error, "looking after rules was broken off");
                return;
            }
        }
    }
}

fn look_after(
    service: &Service,
    workspace: &Arc<str>,
    watched: &mut BTreeMap<Arc<str>, Watched>,
) -> Result<(), ActError> {
    let (revision, failures, differences) = service.worker.observe(workspace, |observed| {
        (observed.revision, observed.failures.clone(), observed.differences.clone())
    });
    let unexplained = differences.get(&Class::Unexplained).copied().unwrap_or(0);
    let window = service.config.modules.quarantine_after;
    let failing = failing(watched, workspace, revision, failures, window);
    service.manage(workspace, |manager, seat| {
        let state = manager.state(workspace)?;
        if state.revision != revision {
            // The worker has not come to it yet.
            return Ok(());
        }
        if unexplained > 0 && go_back(manager, seat, &state, unexplained)? {
            return Ok(());
        }
        if let Some(((is_candidate, module), failures)) = failing {
            return match is_candidate {
                true => {
                    let reason = told(&module, &failures);
                    manager.act(seat, Action::Rollback, &by_itself(reason, revision)).map(drop)
                }
                false => manager.quarantine(seat, &module, &failures, revision),
            };
        }
        advance(manager, seat, &state)
    })
}

/// The first module of which at least half of the calls fail, once it was watched long enough.
fn failing(
    watched: &mut BTreeMap<Arc<str>, Watched>,
    workspace: &Arc<str>,
    revision: u64,
    failures: Counts,
    window: Duration,
) -> Option<((bool, Arc<str>), Failures)> {
    let begin = |counts| Watched { revision, since: Instant::now(), counts };
    let watch = watched.entry(workspace.clone()).or_insert_with(|| begin(Counts::new()));
    if watch.revision != revision {
        *watch = begin(Counts::new());
    }
    if watch.since.elapsed() < window {
        return None;
    }
    let before = std::mem::replace(watch, begin(failures.clone()));
    let keeps_failing = |(module, now): &(&(bool, Arc<str>), &Failures)| {
        let earlier = before.counts.get(*module).cloned().unwrap_or_default();
        let (calls, failed) = (now.calls - earlier.calls, now.failed - earlier.failed);
        failed >= FAILED_LEAST && failed * 2 >= calls
    };
    let found = failures.iter().find(keeps_failing);
    found.map(|(module, failures)| (module.clone(), failures.clone()))
}

/// Goes back where what counts and its shadow differ and nothing explains it.
fn go_back(
    manager: &mut Manager,
    seat: &Seat<'_>,
    state: &RulesState,
    unexplained: u64,
) -> Result<bool, ActError> {
    let Some(shadow) = &state.shadow else { return Ok(false) };
    let share = state.share(shadow.of);
    let action = match shadow.of {
        Subject::Rules if share > Share::NONE => Action::Rollback,
        Subject::Engine if share > Share::NONE && share < Share::ALL => {
            let steps = vec![Step { share: Share::NONE, hold_ms: 0 }];
            Action::Rollout { of: Subject::Engine, steps }
        }
        Subject::Rules | Subject::Engine => return Ok(false),
    };
    let reason = format!("{unexplained} differences that nothing explains");
    manager.act(seat, action, &by_itself(reason, state.revision))?;
    Ok(true)
}

/// Takes the next step of a schedule when it is time and nothing speaks against it.
fn advance(manager: &mut Manager, seat: &Seat<'_>, state: &RulesState) -> Result<(), ActError> {
    match waits_for(seat, state) {
        Some(None) => {
            let asker = by_itself("schedule".to_string(), state.revision);
            manager.act(seat, Action::Advance, &asker).map(drop)
        }
        Some(Some(_)) | None => Ok(()),
    }
}

/// What the next step of a schedule waits for; nothing inside when it may be taken, nothing at all
/// when there is no schedule.
pub(crate) fn waits_for(seat: &Seat<'_>, state: &RulesState) -> Option<Option<String>> {
    let schedule = state.schedule.as_ref()?;
    let present = schedule.steps.first()?;
    let held = wall_time().milliseconds() - schedule.since_ms;
    if held < present.hold_ms {
        let left = Duration::from_millis((present.hold_ms - held).unsigned_abs());
        return Some(Some(format!("the step holds for another {} s", left.as_secs().max(1))));
    }
    let deployment = seat.in_force()?;
    let share = state.share(schedule.of);
    let (sweep, verification) = seat.worker.observe(seat.workspace, |observed| {
        (observed.sweep, observed.verify(schedule.of, share, |key| deployment.describe(key)))
    });
    if let Some(sweep) = sweep {
        let of = sweep.of.map(|of| format!(" of {of}")).unwrap_or_default();
        return Some(Some(format!("{}{of} users have gone over to the step", sweep.users)));
    }
    if !seat.worker.is_swept(seat.workspace, state.revision) {
        return Some(Some("users of other instances have yet to go over to the step".to_string()));
    }
    Some(match verification.agrees {
        Some(true) => None,
        Some(false) => Some(format!(
            "adds and drops do not match {share} (p {:.2e}): see `muster rollout verify`",
            verification.p.unwrap_or_default()
        )),
        None if share == Share::NONE => None,
        None => Some("too few users have entered or left to verify the step".to_string()),
    })
}

fn told(module: &str, failures: &Failures) -> String {
    let Failures { calls, failed, reason } = failures;
    format!("module `{module}` keeps failing, {failed} of {calls} calls: {reason}")
}

/// What is done by itself is done to the rules that the reason was seen of: every instance that shares a
/// store may see the same, and the first of them acts for all.
fn by_itself(reason: String, revision: u64) -> Asker {
    Asker { by: "muster".to_string(), reason: Some(reason), revision: Some(revision) }
}

impl Manager {
    /// Puts the component of the version before in the place of one that keeps failing; where there is
    /// none, its audiences are paused.
    fn quarantine(
        &mut self,
        seat: &Seat<'_>,
        module: &str,
        failures: &Failures,
        revision: u64,
    ) -> Result<(), ActError> {
        let asker = by_itself(told(module, failures), revision);
        self.alone(seat, |manager| manager.quarantine_alone(seat, module, &asker))
    }

    fn quarantine_alone(
        &mut self,
        seat: &Seat<'_>,
        module: &str,
        asker: &Asker,
    ) -> Result<(), ActError> {
        let state = self.state(seat.workspace)?;
        asker.check(&state)?;
        if let Some(files) = self.with_component_before(seat.workspace, &state, module)? {
            let (version, documents) = self.prepare(seat, &files, &asker.by)?;
            let action = Action::Replace { version: version.id };
            return self.act_with(seat, action, asker, documents).map(drop);
        }
        let Some(deployment) = seat.in_force() else { return Ok(()) };
        let audiences = deployment.ruleset().plan.audiences();
        let audiences = audiences.filter(|audience| **audience.module == *module);
        let audiences = audiences.map(|audience| audience.id.to_string());
        let audiences: Vec<String> = audiences.filter(|id| !state.paused.contains(id)).collect();
        if audiences.is_empty() {
            return Ok(());
        }
        self.act_with(seat, Action::Pause { audiences }, asker, Documents::new()).map(drop)
    }

    /// The active version's files with a module's component from the version before.
    fn with_component_before(
        &mut self,
        workspace: &str,
        state: &RulesState,
        module: &str,
    ) -> Result<Option<RuleFiles>, ActError> {
        let Some((active, previous)) = state.active.as_ref().zip(state.previous.as_ref()) else {
            return Ok(None);
        };
        let mut files = self.versions.files(workspace, active)?;
        let before = self.versions.files(workspace, previous)?;
        let mut place = |files: &RuleFiles| -> Result<Option<usize>, ActError> {
            for (at, component) in files.components.iter().enumerate() {
                let components = vec![component.clone()];
                let alone = RuleFiles { components, ..RuleFiles::default() };
                let loaded = self.versions.load(&alone)?;
                if loaded.modules.iter().any(|loaded| *loaded.module().name == *module) {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        };
        let (Some(at), Some(from)) = (place(&files)?, place(&before)?) else { return Ok(None) };
        if files.components[at].bytes == before.components[from].bytes {
            return Ok(None);
        }
        files.components[at] = before.components[from].clone();
        Ok(Some(files))
    }
}
