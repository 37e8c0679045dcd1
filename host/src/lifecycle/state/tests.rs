use super::*;
use crate::ruleset::RuleFiles;
use muster_rules::Source;

fn version(text: &str) -> VersionId {
    let definitions = vec![Source { name: "a".into(), text: text.to_string() }];
    VersionId::of(&RuleFiles { definitions, ..RuleFiles::default() })
}

fn percent(percent: f64) -> Share {
    Share::of_percent(percent).unwrap()
}

fn steps(percents: &[f64]) -> Vec<Step> {
    percents.iter().map(|p| Step { share: percent(*p), hold_ms: 1_000 }).collect()
}

fn after(state: &RulesState, actions: &[Action]) -> RulesState {
    actions.iter().fold(state.clone(), |state, action| state.after(action, 5).unwrap())
}

fn trying() -> RulesState {
    let new = RulesState::new(Engine::State);
    let deploy = |text| Action::Deploy { version: version(text) };
    after(&new, &[deploy("1"), Action::Promote, deploy("2")])
}

fn rollout(percents: &[f64]) -> Action {
    Action::Rollout { of: Subject::Rules, steps: steps(percents) }
}

#[test]
fn a_candidate_decides_nobody_until_it_is_rolled_out() {
    let state = trying();
    assert_eq!(
        (state.active.clone(), state.share(Subject::Rules)),
        (Some(version("1")), Share::NONE)
    );
    let state = after(&state, &[rollout(&[3.0])]);
    assert_eq!((state.share(Subject::Rules), &state.schedule), (percent(3.0), &None));
    let state = after(&state, &[Action::Promote]);
    assert_eq!((state.active, state.previous), (Some(version("2")), Some(version("1"))));
    assert_eq!(state.candidate, None);
}

#[test]
fn a_rollback_ends_the_trial_and_the_next_one_goes_to_the_version_before() {
    let state = after(&trying(), &[rollout(&[40.0]), Action::Rollback]);
    assert_eq!((state.active.clone(), state.candidate.clone()), (Some(version("1")), None));
    assert_eq!(state.after(&Action::Rollback, 0), Err(Refused::NothingBefore));
    let state = after(&trying(), &[Action::Promote, Action::Rollback]);
    assert_eq!((state.active, state.previous), (Some(version("1")), Some(version("2"))));
}

#[test]
fn a_schedule_goes_on_step_by_step() {
    let state = after(&trying(), &[rollout(&[3.0, 40.0, 100.0])]);
    assert_eq!(state.share(Subject::Rules), percent(3.0));
    let state = after(&state, &[Action::Advance]);
    assert_eq!(state.share(Subject::Rules), percent(40.0));
    assert_eq!(state.schedule.as_ref().map(|s| (s.steps.len(), s.since_ms)), Some((2, 5)));
    let state = after(&state, &[Action::Advance]);
    assert_eq!((state.share(Subject::Rules), &state.schedule), (Share::ALL, &None));
    assert_eq!(state.after(&Action::Advance, 0), Err(Refused::NoSchedule));
    let by_hand = after(&trying(), &[rollout(&[3.0, 40.0]), rollout(&[10.0])]);
    assert_eq!(by_hand.schedule, None);
}

#[test]
fn a_shadow_begins_anew_with_another_candidate_and_goes_on_with_another_share() {
    let shadow = |share| Action::Shadow { of: Subject::Rules, share: percent(share) };
    let state = after(&trying(), &[shadow(10.0)]);
    let since = state.shadow.as_ref().map(|shadow| shadow.since);
    let more = after(&state, &[shadow(50.0)]);
    assert_eq!(more.shadow.as_ref().map(|shadow| shadow.since), since);
    let other = after(&more, &[Action::Deploy { version: version("3") }]);
    assert_eq!(other.shadow, None);
    assert_ne!(after(&other, &[shadow(1.0)]).shadow.map(|shadow| shadow.since), since);
    assert_eq!(after(&more, &[shadow(0.0)]).shadow, None);
}

#[test]
fn what_makes_no_sense_now_is_refused() {
    let new = RulesState::new(Engine::Scan);
    let refused = |state: &RulesState, action| state.after(&action, 0).unwrap_err();
    assert_eq!(refused(&new, Action::Promote), Refused::NoCandidate);
    assert_eq!(refused(&new, rollout(&[3.0])), Refused::NoCandidate);
    let engine = Action::Rollout { of: Subject::Engine, steps: steps(&[3.0]) };
    assert_eq!(refused(&new, engine), Refused::NothingActive);
    for wrong in [&[][..], &[40.0, 3.0], &[3.0, 3.0]] {
        assert_eq!(refused(&trying(), rollout(wrong)), Refused::Steps);
    }
    let same = Action::Deploy { version: version("1") };
    assert_eq!(refused(&trying(), same), Refused::AlreadyActive(version("1")));
    let audiences = || vec!["a".to_string()];
    let paused = after(&trying(), &[Action::Pause { audiences: audiences() }]);
    let twice = Action::Pause { audiences: audiences() };
    assert_eq!(refused(&paused, twice), Refused::AlreadyPaused("a".to_string()));
    let resume = Action::Resume { audiences: audiences() };
    assert_eq!(refused(&trying(), resume), Refused::NotPaused("a".to_string()));
    let remove = Action::Remove { audience: "a".to_string(), version: version("1 without a") };
    assert_eq!(refused(&trying(), remove), Refused::CandidateFirst);
}

#[test]
fn the_state_is_kept_as_json() {
    let state = after(&trying(), &[rollout(&[3.0, 40.0])]);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<RulesState>(&text).unwrap(), state);
}

#[test]
fn what_takes_the_place_of_a_failing_version_is_not_gone_back_to() {
    let state = after(&trying(), &[Action::Promote]);
    let replace = |text| Action::Replace { version: version(text) };
    let replaced = after(&state, &[replace("1")]);
    assert_eq!((replaced.active.clone(), replaced.previous.clone()), (Some(version("1")), None));
    assert_eq!(replaced.after(&Action::Rollback, 0), Err(Refused::NothingBefore));
    let replaced = after(&state, &[replace("1 and a half")]);
    assert_eq!(replaced.previous, Some(version("1")));
}
