//! The plan: all rule modules of a workspace, laid out so that an event costs only what it touches.

mod build;
mod candidates;
mod watch;

use crate::answer::Answer;
use crate::comparison::Comparison;
use crate::decimal::{Decimal, ONE};
use crate::event::Event;
use crate::feature::{Aggregate, Selector};
use crate::interval::Edges;
use crate::module::AudienceKey;
use crate::series::{SeriesKey, SeriesKind, SeriesRoom};
use crate::window::Window;
use candidates::Candidates;
use std::collections::HashMap;
use std::sync::Arc;
use watch::Watch;

/// The rules of one workspace, ready to be evaluated.
#[derive(Debug)]
pub struct Plan {
    pub(crate) settings: Settings,
    /// Which rules these are; a user evaluated by others is evaluated anew.
    pub(crate) fingerprint: u64,
    /// Selectors by the event name that they ask for.
    by_name: HashMap<Arc<str>, Candidates>,
    /// Selectors of any event.
    any_name: Candidates,
    pub(crate) selectors: Vec<SelectorPlan>,
    pub(crate) series: Vec<SeriesPlan>,
    pub(crate) by_key: HashMap<SeriesKey, usize>,
    pub(crate) features: Vec<FeaturePlan>,
    pub(crate) by_attribute: HashMap<Arc<str>, usize>,
    pub(crate) conditions: Vec<ConditionPlan>,
    pub(crate) watch: Watch,
    /// Sorted by id, so that the order of indices is the order of transitions.
    pub(crate) audiences: Vec<AudiencePlan>,
    pub(crate) audience_by_key: HashMap<AudienceKey, usize>,
    /// In an order in which no module refers to a later one.
    pub(crate) modules: Vec<ModulePlan>,
    /// The audiences of a known user without events and attributes.
    pub(crate) baseline: Vec<usize>,
    /// Audiences that are no more, whose members have yet to leave.
    pub(crate) removed: HashMap<AudienceKey, Arc<str>>,
}

/// Which engine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Reads the user's events for every condition: simple, and slow for busy users.
    Scan,
    /// Reads the numbers that are kept for each user.
    #[default]
    State,
}

/// How a plan evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which engine answers.
    pub engine: Engine,
    /// How many merged intervals a series keeps beside its newest events.
    pub intervals: usize,
    /// Whether history is read when intervals alone do not decide; else the likelier answer counts.
    pub exact: bool,
    /// Whether series without events are kept. They never change an answer; keeping them shows what
    /// discarding them saves.
    pub keep_empty: bool,
    /// For how long an event's or a message's id is remembered, in milliseconds.
    pub id_horizon_ms: i64,
    /// How many ids of a user are remembered at the most.
    pub ids: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: Engine::State,
            intervals: 64,
            exact: true,
            keep_empty: false,
            id_horizon_ms: 86_400_000,
            ids: 256,
        }
    }
}

impl Engine {
    /// Its name in transitions, metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Scan => "scan",
            Engine::State => "state",
        }
    }
}

/// Why modules cannot be evaluated together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two modules define an audience of one id.
    #[error("audience `{id}` is in module `{first}` and in `{second}`: rename or remove one")]
    DuplicateAudience {
        /// The audience.
        id: Arc<str>,
        /// The module that has it.
        first: Arc<str>,
        /// The other.
        second: Arc<str>,
    },
    /// An audience refers to one that no module defines.
    #[error(
        "module `{module}` refers to audience `{id}`, which no module defines: deploy it first"
    )]
    UnknownAudience {
        /// The module that refers.
        module: Arc<str>,
        /// What it refers to.
        id: Arc<str>,
    },
    /// Modules refer to each other in a circle, or one to itself.
    #[error("modules refer to each other in a circle: {}", modules.join(" -> "))]
    Cycle {
        /// The modules of the circle.
        modules: Vec<Arc<str>>,
    },
    /// Two different things have one content key.
    #[error("`{one}` and `{other}` have the same content key: rename or rewrite one of them")]
    KeyCollision {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// A module did not decide the audiences of a user of whom nothing is known.
    #[error("module `{module}` cannot be evaluated: {reason}")]
    Undecided {
        /// The module.
        module: Arc<str>,
        /// What it said.
        reason: Arc<str>,
    },
}

#[derive(Debug)]
pub(crate) struct SelectorPlan {
    pub(crate) selector: Arc<Selector>,
    pub(crate) series: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct SeriesPlan {
    pub(crate) key: SeriesKey,
    pub(crate) kind: SeriesKind,
    pub(crate) selector: Arc<Selector>,
    pub(crate) of: Option<Arc<str>>,
    pub(crate) edges: Edges,
    pub(crate) room: SeriesRoom,
    pub(crate) features: Vec<usize>,
}

/// Where a feature's value comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    Series { series: usize, aggregate: Aggregate, window: Window },
    Attribute(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct FeaturePlan {
    pub(crate) origin: Origin,
    /// The numbers at which some condition's truth changes, sorted, and which conditions'.
    pub(crate) thresholds: Vec<(Decimal, Vec<usize>)>,
    pub(crate) conditions: Vec<usize>,
    /// Where the value lies of a user without any such event.
    pub(crate) place_of_nothing: Place,
    /// Audiences that are handed the value as it is.
    pub(crate) readers: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct ConditionPlan {
    pub(crate) kind: ConditionKind,
}

#[derive(Debug)]
pub(crate) enum ConditionKind {
    Compare { feature: usize, comparison: Comparison, of_nothing: bool },
    Member(usize),
}

#[derive(Debug)]
pub(crate) struct AudiencePlan {
    pub(crate) key: AudienceKey,
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) module: usize,
    /// Its index in its module.
    pub(crate) local: u32,
    /// Its conditions: the index in the module, and the plan's.
    pub(crate) conditions: Vec<(u32, usize)>,
    /// Its raw values: the index in the module, and the feature.
    pub(crate) values: Vec<(u32, usize)>,
    /// The audiences that refer to this one.
    pub(crate) referrers: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct ModulePlan {
    pub(crate) name: Arc<str>,
    /// Its index among the modules that the plan was made of.
    pub(crate) origin: usize,
    pub(crate) values: usize,
}

/// What people and interfaces are told of an audience.
#[derive(Clone, Copy, Debug)]
pub struct AudienceInfo<'a> {
    /// What it is called in stores.
    pub key: AudienceKey,
    /// Its id.
    pub id: &'a Arc<str>,
    /// Its name for people.
    pub name: &'a Arc<str>,
    /// The version of its rules.
    pub version: &'a Arc<str>,
    /// The module that decides it.
    pub module: &'a Arc<str>,
}

impl Plan {
    /// Which rules these are: the same for the same audiences in the same versions.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The audiences, by id.
    pub fn audiences(&self) -> impl Iterator<Item = AudienceInfo<'_>> {
        self.audiences.iter().map(|audience| AudienceInfo {
            key: audience.key,
            id: &audience.id,
            name: &audience.name,
            version: &audience.version,
            module: &self.modules[audience.module].name,
        })
    }

    /// The id of the audience with that key, if there is one.
    pub fn audience_id(&self, key: AudienceKey) -> Option<&Arc<str>> {
        let known = self.audience_by_key.get(&key).map(|at| &self.audiences[*at].id);
        known.or_else(|| self.removed.get(&key))
    }

    /// Whether the plan keeps a user's events of that name beyond any retention, because some
    /// window on them never ends, and else how long its windows reach, in milliseconds.
    pub fn reach(&self, event: &str) -> Reach {
        let named = self.by_name.get(event).into_iter().flat_map(Candidates::all);
        let selectors = named.chain(self.any_name.all());
        let series = selectors.flat_map(|selector| &self.selectors[*selector].series);
        series.map(|series| self.series[*series].edges.reach()).max().unwrap_or(Reach::Span(0))
    }

    /// What there is, for logs and metrics.
    pub fn sizes(&self) -> PlanSizes {
        PlanSizes {
            audiences: self.audiences.len(),
            modules: self.modules.len(),
            selectors: self.selectors.len(),
            series: self.series.len(),
            features: self.features.len(),
            conditions: self.conditions.len(),
        }
    }

    /// The selectors that count the event.
    pub(crate) fn select(&self, event: &Event) -> impl Iterator<Item = &SelectorPlan> {
        let named = self.by_name.get(&event.name).into_iter();
        let candidates = named.chain([&self.any_name]).flat_map(|all| all.of(event));
        let plans = candidates.map(|selector| &self.selectors[*selector]);
        plans.filter(|plan| plan.selector.accepts(event))
    }
}

/// How far back windows look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// At most this many milliseconds before the clock.
    Span(i64),
    /// To the beginning.
    Forever,
}

/// How many of everything a plan has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the number of what its name says")]
pub struct PlanSizes {
    pub audiences: usize,
    pub modules: usize,
    pub selectors: usize,
    pub series: usize,
    pub features: usize,
    pub conditions: usize,
}

/// Where an answer lies among a feature's thresholds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Nothing,
    /// Twice the number of thresholds below, one more when it is on the next.
    Number(usize),
    Value(Answer),
    Undecided,
}

impl FeaturePlan {
    /// Whether every condition of the feature is true or false alike at both answers is told by
    /// comparing their places. A raw value has no two like places but equal ones.
    pub(crate) fn place(&self, answer: &Answer) -> Place {
        match answer {
            _ if !self.readers.is_empty() && answer.is_exact() => Place::Value(answer.clone()),
            Answer::Nothing => Place::Nothing,
            Answer::Number { low, high, nothing: false } => {
                let at = |quantity: &crate::answer::Quantity| {
                    let below =
                        |(threshold, _): &(Decimal, _)| quantity.compare(*threshold).is_gt();
                    let below = self.thresholds.partition_point(below);
                    let on = self.thresholds.get(below);
                    2 * below + usize::from(on.is_some_and(|(t, _)| quantity.compare(*t).is_eq()))
                };
                let place = at(low);
                let decided = self.readers.is_empty() && (low == high || place == at(high));
                if decided { Place::Number(place) } else { Place::Undecided }
            }
            Answer::Value(_) => Place::Value(answer.clone()),
            Answer::Number { .. } | Answer::Unknown => Place::Undecided,
        }
    }

    /// The least whole number from 0 that lies at that place among the thresholds.
    pub(crate) fn least_whole(&self, place: usize) -> u64 {
        let Some(below) = place.checked_sub(1) else { return 0 };
        let threshold = self.thresholds[below / 2].0.billionths().max(0);
        let whole = threshold / ONE + i128::from(place.is_multiple_of(2));
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    /// The conditions whose truth may differ between the place of an earlier answer and an answer.
    pub(crate) fn changed(
        &self,
        before: &Place,
        now: &Answer,
        conditions: &[ConditionPlan],
        out: &mut Vec<usize>,
    ) {
        let place = self.place(now);
        match (before, &place) {
            (Place::Undecided, _) | (_, Place::Undecided) => out.extend(&self.conditions),
            _ if *before == place => {}
            (Place::Number(one), Place::Number(other)) => {
                let (low, high) = (one.min(other), one.max(other));
                let crossed = &self.thresholds[low / 2..high.div_ceil(2)];
                out.extend(crossed.iter().flat_map(|(_, conditions)| conditions));
            }
            (Place::Value(was), _) => self.differing(was, now, conditions, out),
            (Place::Nothing, _) => self.differing(&Answer::Nothing, now, conditions, out),
            (Place::Number(_), _) => out.extend(&self.conditions),
        }
    }

    fn differing(
        &self,
        was: &Answer,
        now: &Answer,
        conditions: &[ConditionPlan],
        out: &mut Vec<usize>,
    ) {
        out.extend(self.conditions.iter().filter(
            |condition| match &conditions[**condition].kind {
                ConditionKind::Compare { comparison, .. } => {
                    was.truth(comparison) != now.truth(comparison)
                }
                ConditionKind::Member(_) => false,
            },
        ));
    }
}
