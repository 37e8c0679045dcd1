//! Which rules and which engine decide whom.

use super::share::Share;
use super::state::{RulesState, Subject};
use super::version::VersionId;
use crate::ruleset::Ruleset;
use muster_core::{AudienceKey, Engine, Plan, Reach, Succession};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A workspace's rules as the worker runs them.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The state that it carries out.
    pub state: RulesState,
    /// Each pair of rules and engine that some user is evaluated by. The first is what counts for
    /// interfaces: the active version.
    pub arms: Vec<Arm>,
    /// The audiences of other rules, by themselves or by what they refer to, in the candidate.
    pub changed: BTreeSet<AudienceKey>,
    /// The audiences that users are evaluated in anew: they are filling until all users are.
    pub filling: BTreeSet<AudienceKey>,
    /// Plans of deployments before, that users may have been evaluated by.
    earlier: Vec<Arc<Plan>>,
}

/// Plans from which users carry over what they have, when rules change faster than all users are
/// evaluated anew. From older ones, everything is gathered from history.
const EARLIER_PLANS: usize = 8;

/// Rules and an engine.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The version; none of rules that were not deployed as one.
    pub version: Option<VersionId>,
    /// Whether it is the candidate.
    pub is_candidate: bool,
    /// The engine.
    pub engine: Engine,
    /// The rules, laid out for that engine.
    pub ruleset: Ruleset,
    /// How users come to it from others.
    pub successions: Arc<[Succession]>,
}

impl Deployment {
    /// Rules that decide everybody, by the engine that they are laid out for.
    pub fn of(ruleset: Ruleset) -> Deployment {
        let engine = ruleset.plan.engine();
        let state = RulesState { revision: 1, ..RulesState::new(engine) };
        let arm = Arm::new(None, false, engine, ruleset);
        Deployment::new(state, vec![arm], None)
    }

    /// Those arms in that state, after another deployment. The first arm is of the active version.
    pub fn new(state: RulesState, mut arms: Vec<Arm>, before: Option<&Deployment>) -> Deployment {
        let plan = |arm: &Arm| arm.ruleset.plan.clone();
        let plans: Vec<Arc<Plan>> = arms.iter().map(plan).collect();
        let is_gone =
            |earlier: &Arc<Plan>| plans.iter().all(|p| p.fingerprint() != earlier.fingerprint());
        let mut earlier: Vec<Arc<Plan>> = Vec::new();
        if let Some(before) = before {
            let all = before.arms.iter().map(plan).chain(before.earlier.iter().cloned());
            earlier.extend(all.filter(is_gone).take(EARLIER_PLANS));
        }
        for arm in &mut arms {
            let own = arm.ruleset.plan.clone();
            let others = plans.iter().chain(&earlier);
            let others = others.filter(|other| other.fingerprint() != own.fingerprint());
            arm.successions = others.filter_map(|other| Succession::new(other, &own)).collect();
        }
        let candidate = arms.iter().find(|arm| arm.is_candidate).map(plan);
        let changed = plans.first().zip(candidate).map(|(active, other)| active.changed(&other));
        let filling = match before.and_then(|before| before.arms.first()) {
            Some(before) => before.ruleset.plan.changed(&plans[0]),
            None => BTreeSet::new(),
        };
        let changed = changed.unwrap_or_default();
        let filling = filling.union(&changed).copied().collect();
        Deployment { state, arms, changed, filling, earlier }
    }

    /// The rules that interfaces show.
    pub fn ruleset(&self) -> &Ruleset {
        &self.arms[0].ruleset
    }

    /// The arm that decides a user.
    pub fn arm_of(&self, workspace: &str, user: &str) -> usize {
        let rules = self.is_new(Subject::Rules, workspace, user);
        let engine = self.is_new(Subject::Engine, workspace, user);
        self.find(rules, engine).unwrap_or(0)
    }

    /// The arm that she is evaluated by beside that, if she is.
    pub fn shadow_of(&self, workspace: &str, user: &str) -> Option<usize> {
        let shadow = self.state.shadow.as_ref()?;
        if !shadow.share.holds("shadow", workspace, user) {
            return None;
        }
        let rules = self.is_new(Subject::Rules, workspace, user);
        let engine = self.is_new(Subject::Engine, workspace, user);
        match shadow.of {
            Subject::Rules => self.find(!rules, engine),
            Subject::Engine => self.find(rules, !engine),
        }
    }

    /// Whether a user is on the new side: with the candidate, with the engine `state`.
    pub fn is_new(&self, of: Subject, workspace: &str, user: &str) -> bool {
        let share = self.state.share(of);
        match (of, &self.state.candidate) {
            (Subject::Rules, None) => false,
            // Each candidate is tried with other users first.
            (Subject::Rules, Some(candidate)) => {
                share.holds(candidate.version.as_str(), workspace, user)
            }
            (Subject::Engine, _) => share.holds("engine", workspace, user),
        }
    }

    /// Whether users are on both sides.
    pub fn is_tried(&self, of: Subject) -> bool {
        let share = self.state.share(of);
        share > Share::NONE && share < Share::ALL
    }

    /// How far back windows on events of a name look, by any of the arms.
    pub fn reach(&self, event: &str) -> Option<Reach> {
        self.arms.iter().map(|arm| arm.ruleset.plan.reach(event)).max()
    }

    /// The id of an audience of any arm, or of one that was.
    pub fn audience_id(&self, key: AudienceKey) -> Option<&Arc<str>> {
        self.arms.iter().find_map(|arm| arm.ruleset.plan.audience_id(key))
    }

    /// The id of an audience, and whether its rules are the same in the candidate.
    pub fn describe(&self, key: AudienceKey) -> Option<(Arc<str>, bool)> {
        Some((self.audience_id(key)?.clone(), !self.changed.contains(&key)))
    }

    fn find(&self, is_candidate: bool, is_state: bool) -> Option<usize> {
        let is_meant = |arm: &Arm| {
            arm.is_candidate == is_candidate && (arm.engine == Engine::State) == is_state
        };
        self.arms.iter().position(is_meant)
    }
}

impl Arm {
    /// Rules laid out for an engine, to which no user comes from others yet.
    pub fn new(
        version: Option<VersionId>,
        is_candidate: bool,
        engine: Engine,
        ruleset: Ruleset,
    ) -> Arm {
        Arm { version, is_candidate, engine, ruleset, successions: Arc::new([]) }
    }

    /// What the version is called for people; nothing where it has no name.
    pub fn version_name(&self) -> &str {
        self.version.as_ref().map_or("", |version| version.short())
    }
}
