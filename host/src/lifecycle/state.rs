//! The state of a workspace's rules, and what may be done with it.

use super::share::Share;
use super::version::VersionId;
use muster_core::{Engine, Span};
use muster_rules::format_span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Which rules a workspace has, and who is decided by which of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesState {
    /// Counts the changes.
    pub revision: u64,
    /// What the workspace's folder held when it was deployed last.
    #[serde(default)]
    pub folder: Option<VersionId>,
    /// The version in force.
    pub active: Option<VersionId>,
    /// The version in force before, to which a rollback leads.
    pub previous: Option<VersionId>,
    /// A version that is tried.
    pub candidate: Option<Candidate>,
    /// The share of users decided by the engine `state`; the others are by `scan`.
    pub state_engine: Share,
    /// What is evaluated beside what counts.
    pub shadow: Option<Shadow>,
    /// Shares to come.
    pub schedule: Option<Schedule>,
    /// Audiences that are not decided.
    pub paused: BTreeSet<String>,
}

/// A version that is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Which.
    pub version: VersionId,
    /// The share of users that it decides.
    pub share: Share,
}

/// What is tried: rules or engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The candidate beside the active version.
    Rules,
    /// `state` beside `scan`.
    Engine,
}

/// What is evaluated beside what counts, and published nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// What a user is evaluated by beside what she is decided by: the other version, or the other
    /// engine.
    pub of: Subject,
    /// For which share of users.
    pub share: Share,
    /// The revision with which it began: what was evaluated for an earlier one is begun anew.
    pub since: u64,
}

/// Shares to come, each when the one before has held long enough and nothing speaks against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What is rolled out.
    pub of: Subject,
    /// The steps, the present one first.
    pub steps: Vec<Step>,
    /// When the present one began, in milliseconds since 1970.
    pub since_ms: i64,
}

/// A step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The share of users.
    pub share: Share,
    /// How long it holds at the least, in milliseconds. Of the last step it is without meaning.
    #[serde(default)]
    pub hold_ms: i64,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action")]
pub enum Action {
    /// A version becomes the candidate, for nobody yet.
    Deploy {
        /// Which.
        version: VersionId,
    },
    /// What a folder holds becomes active.
    Folder {
        /// Which version it is.
        version: VersionId,
    },
    /// A share of users is evaluated twice; none ends it.
    Shadow {
        /// By what else.
        of: Subject,
        /// Which share.
        share: Share,
    },
    /// A share of users is decided by the candidate, or by the engine `state`.
    Rollout {
        /// Which of them.
        of: Subject,
        /// The shares, one after the other; the first at once.
        steps: Vec<Step>,
    },
    /// The next step of the schedule.
    Advance,
    /// The candidate becomes active for everybody.
    Promote,
    /// Back: without the candidate, if there is one, and else to the version before.
    Rollback,
    /// Audiences are decided no more.
    Pause {
        /// Which.
        audiences: Vec<String>,
    },
    /// They are decided again.
    Resume {
        /// Which.
        audiences: Vec<String>,
    },
    /// A version without an audience of the active one becomes active.
    Remove {
        /// Which audience.
        audience: String,
        /// Which version.
        version: VersionId,
    },
    /// A version takes the place of the active one, which is not gone back to.
    Replace {
        /// Which.
        version: VersionId,
    },
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing to try.
    #[error("there is no candidate: deploy a version first")]
    NoCandidate,
    /// There is something that would be lost.
    #[error("a candidate is tried: promote it or roll it back first")]
    CandidateFirst,
    /// There is nothing in force.
    #[error("no version is active: promote the candidate first")]
    NothingActive,
    /// There is nothing to go back to.
    #[error("there is neither a candidate nor a version before this one to go back to")]
    NothingBefore,
    /// There is nothing to go on with.
    #[error("no further step is planned: write the share, or a schedule")]
    NoSchedule,
    /// The version is in force already.
    #[error("version {0} is active already: nothing was changed")]
    AlreadyActive(VersionId),
    /// Steps that are none.
    #[error("a rollout needs 1 to {STEPS_MAX} steps of growing shares")]
    Steps,
    /// The audience is not paused.
    #[error("audience `{0}` is not paused")]
    NotPaused(String),
    /// It is.
    #[error("audience `{0}` is paused already")]
    AlreadyPaused(String),
    /// A pause too many.
    #[error("more than {PAUSED_MAX} audiences would be paused: resume or remove some")]
    TooManyPaused,
    /// Somebody else was quicker.
    #[error("the rules are at revision {found} and not {expected}: look at their status again")]
    Conflict {
        /// The revision that was seen.
        expected: u64,
        /// The revision that is.
        found: u64,
    },
}

/// Steps of a schedule.
const STEPS_MAX: usize = 32;
/// Audiences paused at the same time: a list that is looked through at each change of rules.
const PAUSED_MAX: usize = 10_000;

impl RulesState {
    /// No rules yet, and that engine for everybody.
    pub fn new(engine: Engine) -> RulesState {
        RulesState {
            revision: 0,
            folder: None,
            active: None,
            previous: None,
            candidate: None,
            state_engine: if engine == Engine::State { Share::ALL } else { Share::NONE },
            shadow: None,
            schedule: None,
            paused: BTreeSet::new(),
        }
    }

    /// The state after an action.
    ///
    /// # Errors
    /// When it may not be done now.
    pub fn after(&self, action: &Action, now_ms: i64) -> Result<RulesState, Refused> {
        let mut next = RulesState { revision: self.revision + 1, ..self.clone() };
        match action {
            Action::Deploy { version } => next.deploy(version)?,
            Action::Folder { version } => {
                next.folder = Some(version.clone());
                next.activate(version);
            }
            Action::Replace { version } => {
                next.active = Some(version.clone());
                // Going back would lead to where it is.
                next.previous.take_if(|previous| previous == version);
                next.end_trial(Subject::Rules);
            }
            Action::Shadow { of, share } => next.set_shadow(*of, *share)?,
            Action::Rollout { of, steps } => next.roll_out(*of, steps, now_ms)?,
            Action::Advance => next.advance(now_ms)?,
            Action::Promote => {
                let candidate = self.candidate.as_ref().ok_or(Refused::NoCandidate)?;
                next.activate(&candidate.version);
            }
            Action::Rollback => next.go_back()?,
            Action::Remove { version, .. } => {
                if self.candidate.is_some() {
                    return Err(Refused::CandidateFirst);
                }
                next.activate(version);
            }
            Action::Pause { audiences } => next.pause(audiences)?,
            Action::Resume { audiences } => {
                for audience in audiences {
                    if !next.paused.remove(audience) {
                        return Err(Refused::NotPaused(audience.clone()));
                    }
                }
            }
        }
        Ok(next)
    }

    /// The versions that users are decided by, or may be gone back to.
    pub fn versions(&self) -> impl Iterator<Item = &VersionId> {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.version);
        [self.active.as_ref(), candidate, self.previous.as_ref()].into_iter().flatten()
    }

    /// The share of users that a subject is rolled out to.
    pub fn share(&self, of: Subject) -> Share {
        match of {
            Subject::Rules => self.candidate.as_ref().map_or(Share::NONE, |c| c.share),
            Subject::Engine => self.state_engine,
        }
    }

    fn deploy(&mut self, version: &VersionId) -> Result<(), Refused> {
        if self.active.as_ref() == Some(version) {
            return Err(Refused::AlreadyActive(version.clone()));
        }
        self.end_trial(Subject::Rules);
        self.candidate = Some(Candidate { version: version.clone(), share: Share::NONE });
        Ok(())
    }

    fn activate(&mut self, version: &VersionId) {
        if self.active.as_ref() != Some(version) {
            self.previous = self.active.replace(version.clone());
        }
        self.end_trial(Subject::Rules);
    }

    /// What is tried of a subject, and what was to come of it, is no more.
    fn end_trial(&mut self, of: Subject) {
        if of == Subject::Rules {
            self.candidate = None;
        }
        self.shadow.take_if(|shadow| shadow.of == of);
        self.schedule.take_if(|schedule| schedule.of == of);
    }

    fn set_shadow(&mut self, of: Subject, share: Share) -> Result<(), Refused> {
        self.check_trial(of)?;
        let since = self.revision;
        let before = self.shadow.take().filter(|before| before.of == of);
        let since = before.map_or(since, |before| before.since);
        self.shadow = (share > Share::NONE).then_some(Shadow { of, share, since });
        Ok(())
    }

    fn roll_out(&mut self, of: Subject, steps: &[Step], now_ms: i64) -> Result<(), Refused> {
        self.check_trial(of)?;
        let grows = steps.windows(2).all(|pair| pair[0].share < pair[1].share);
        let Some(first) = steps.first().filter(|_| grows && steps.len() <= STEPS_MAX) else {
            return Err(Refused::Steps);
        };
        self.set_share(of, first.share);
        self.schedule.take_if(|schedule| schedule.of == of);
        if steps.len() > 1 {
            self.schedule = Some(Schedule { of, steps: steps.to_vec(), since_ms: now_ms });
        }
        Ok(())
    }

    fn advance(&mut self, now_ms: i64) -> Result<(), Refused> {
        let schedule = self.schedule.take().ok_or(Refused::NoSchedule)?;
        let steps = schedule.steps.get(1..).unwrap_or_default().to_vec();
        let next = *steps.first().ok_or(Refused::NoSchedule)?;
        self.set_share(schedule.of, next.share);
        if steps.len() > 1 {
            self.schedule = Some(Schedule { of: schedule.of, steps, since_ms: now_ms });
        }
        Ok(())
    }

    fn set_share(&mut self, of: Subject, share: Share) {
        match (of, &mut self.candidate) {
            (Subject::Rules, Some(candidate)) => candidate.share = share,
            (Subject::Rules, None) => {}
            (Subject::Engine, _) => self.state_engine = share,
        }
    }

    fn check_trial(&self, of: Subject) -> Result<(), Refused> {
        match of {
            Subject::Rules if self.candidate.is_none() => Err(Refused::NoCandidate),
            _ if self.active.is_none() => Err(Refused::NothingActive),
            _ => Ok(()),
        }
    }

    fn pause(&mut self, audiences: &[String]) -> Result<(), Refused> {
        for audience in audiences {
            if !self.paused.insert(audience.clone()) {
                return Err(Refused::AlreadyPaused(audience.clone()));
            }
        }
        if self.paused.len() > PAUSED_MAX { Err(Refused::TooManyPaused) } else { Ok(()) }
    }

    fn go_back(&mut self) -> Result<(), Refused> {
        if self.candidate.is_some() {
            self.end_trial(Subject::Rules);
            return Ok(());
        }
        let previous = self.previous.take().ok_or(Refused::NothingBefore)?;
        self.previous = self.active.replace(previous);
        self.end_trial(Subject::Rules);
        Ok(())
    }
}

impl fmt::Display for Action {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deploy { version } => write!(f, "deploy {version}"),
            Action::Folder { version } => write!(f, "folder {version}"),
            Action::Shadow { of, share } => write!(f, "shadow {share}{}", of.option()),
            Action::Rollout { of, steps } => {
                f.write_str("rollout")?;
                steps.iter().try_for_each(|step| write!(f, " {step}"))?;
                f.write_str(of.option())
            }
            Action::Advance => f.write_str("rollout advance"),
            Action::Promote => f.write_str("promote"),
            Action::Rollback => f.write_str("rollback"),
            Action::Pause { audiences } => write!(f, "pause {}", audiences.join(" ")),
            Action::Resume { audiences } => write!(f, "resume {}", audiences.join(" ")),
            Action::Remove { audience, version } => write!(f, "remove {audience}, as {version}"),
            Action::Replace { version } => write!(f, "replace by {version}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Span::from_milliseconds(self.hold_ms) {
            Some(hold) => write!(f, "{}:{}", self.share, format_span(hold)),
            None => write!(f, "{}", self.share),
        }
    }
}

impl Subject {
    /// What the command line says of it.
    fn option(self) -> &'static str {
        match self {
            Subject::Rules => "",
            Subject::Engine => " --engine",
        }
    }

    /// Its name on the command line and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Rules => "rules",
            Subject::Engine => "engine",
        }
    }
}

#[cfg(test)]
mod tests;
