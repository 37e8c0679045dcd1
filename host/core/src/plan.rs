//! The plan: all rule modules of a workspace, laid out so that an event costs only what it touches.

mod build;
mod candidates;
mod changed;
mod error;
mod exact;
mod fingerprint;
mod order;
mod place;
mod settings;
mod settle;
mod succession;
mod watch;

pub use error::PlanError;
pub use exact::ExactFrom;
pub(crate) use place::Place;
pub use settings::{Engine, Settings};
pub use succession::Succession;

use crate::comparison::Comparison;
use crate::decimal::Decimal;
use crate::event::Event;
use crate::feature::{Aggregate, Selector};
use crate::interval::Edges;
use crate::module::{AudienceKey, Module};
use crate::series::{SeriesKey, SeriesKind, SeriesRoom};
use crate::window::Window;
use candidates::Candidates;
use std::collections::{BTreeSet, HashMap};
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
    /// Predicates that selectors name. Without any, no module is asked about events.
    pub(crate) predicates: Vec<PredicatePlan>,
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
    /// Audiences that are not decided: their members stay.
    pub(crate) paused: BTreeSet<AudienceKey>,
}

/// What stands beside the modules that a plan is made of.
#[derive(Clone, Debug, Default)]
pub struct Standing<'a> {
    /// Every audience that there ever was: the members of those that no module defines any more have
    /// yet to leave.
    pub known: Vec<(AudienceKey, Arc<str>)>,
    /// Audiences that are not decided: nobody enters, nobody leaves.
    pub paused: BTreeSet<AudienceKey>,
    /// Audiences that modules define and that are left out.
    pub without: BTreeSet<AudienceKey>,
    /// Modules that decide nothing, whose series are kept current all the same. Questions about
    /// their predicates number them after those that decide.
    pub kept: &'a [Module],
}

#[derive(Debug)]
pub(crate) struct SelectorPlan {
    pub(crate) selector: Arc<Selector>,
    /// Its own place in the plan.
    pub(crate) at: usize,
    pub(crate) predicate: Option<usize>,
    pub(crate) series: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct PredicatePlan {
    /// The module's index among those that the plan was made of.
    pub(crate) origin: usize,
    /// Its index in the module.
    pub(crate) local: u32,
}

#[derive(Debug)]
pub(crate) struct SeriesPlan {
    pub(crate) key: SeriesKey,
    pub(crate) kind: SeriesKind,
    pub(crate) selector: Arc<Selector>,
    /// The selector's place in the plan.
    pub(crate) selector_at: usize,
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
    pub(crate) code: Arc<str>,
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

    /// By which engine users are evaluated.
    pub fn engine(&self) -> Engine {
        self.settings.engine
    }

    /// Whether an audience is not decided for now.
    pub fn is_paused(&self, audience: AudienceKey) -> bool {
        self.paused.contains(&audience)
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

    /// The audiences that look at a series.
    pub(crate) fn audiences_of(&self, series: usize) -> impl Iterator<Item = usize> + '_ {
        let features = self.series[series].features.iter().map(|feature| &self.features[*feature]);
        features.flat_map(|feature| {
            let conditions = feature.conditions.iter();
            let decided = conditions.flat_map(|condition| self.watch.audiences_of(*condition));
            feature.readers.iter().copied().chain(decided)
        })
    }

    /// The selectors that count the event, those with a predicate if that accepts it.
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
