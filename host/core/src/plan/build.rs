//! Making a plan of modules.

use super::fingerprint;
use super::order::{Places, list_audiences, order_modules};
use super::{
    AudiencePlan, Candidates, ConditionKind, ConditionPlan, FeaturePlan, ModulePlan, Origin, Place,
    Plan, PlanError, PredicatePlan, SelectorPlan, SeriesPlan, Settings, Standing, Watch,
};
use crate::answer::Answer;
use crate::decide::Decide;
use crate::decimal::{Decimal, ONE};
use crate::feature::{Aggregate, Condition, Feature, Predicate, Selector};
use crate::interval::{Edges, Room};
use crate::module::{Audience, AudienceKey, Module};
use crate::series::{SeriesKey, SeriesKind, SeriesRoom};
use crate::value::Value;
use crate::window::Window;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The newest events that a series keeps unmerged: at least this many, so that bursts do not eat
/// into the intervals, and as many as its greatest threshold needs, up to the most.
const NEWEST_LEAST: usize = 8;
const NEWEST_MOST: usize = 48;
/// Events kept apart while an edge crosses them: those of a few straddled intervals.
const CROSSING_MOST: usize = 48;
/// The different values that a series keeps, likewise.
const VALUES_LEAST: usize = 32;
const VALUES_MOST: usize = 1024;

impl Plan {
    /// Lays out the modules, and decides once, by asking them, who a user is of whom nothing is
    /// known. The questions that the plan will ask number the modules as they are given here.
    ///
    /// # Errors
    /// When the modules contradict each other, or one does not answer.
    pub fn new(
        settings: Settings,
        modules: &[Module],
        standing: Standing<'_>,
        decide: &mut dyn Decide,
    ) -> Result<Plan, PlanError> {
        let audiences = list_audiences(modules, &standing.without)?;
        let order = order_modules(modules, &audiences)?;
        let mut builder = Builder::new(settings);
        builder.add_modules(modules, &order);
        builder.add_audiences(modules, &order, &audiences)?;
        builder.keep(standing.kept, modules.len());
        let mut plan = builder.finish()?;
        let is_here = |key: &AudienceKey| plan.audience_by_key.contains_key(key);
        plan.paused = standing.paused.into_iter().filter(is_here).collect();
        plan.removed = standing.known.into_iter().filter(|(key, _)| !is_here(key)).collect();
        plan.fingerprint = fingerprint::of(&plan, standing.kept);
        plan.settle(modules, decide)?;
        Ok(plan)
    }
}

pub(super) fn of_nothing(feature: &Feature) -> Option<Value> {
    match feature {
        Feature::Events { aggregate, .. } => aggregate.of_nothing(),
        Feature::Attribute(_) => None,
    }
}

/// The place of a condition that no audience looks at.
const NOBODY: usize = usize::MAX;

/// What a series is: its kind, its selector and its value property.
type SeriesContent = (SeriesKind, Arc<Selector>, Option<Arc<str>>);

struct Builder {
    /// The module whose features are being added.
    origin: usize,
    predicates: BTreeMap<Predicate, usize>,
    selectors: BTreeMap<Arc<Selector>, usize>,
    series: BTreeMap<SeriesContent, usize>,
    features: BTreeMap<Feature, usize>,
    conditions: BTreeMap<Condition, usize>,
    /// The audiences that look at each condition.
    audiences_of: Vec<Vec<u32>>,
    /// The conditions that are of one truth for every member of each audience, and which.
    essentials: Vec<Vec<(usize, bool)>>,
    /// The windows over each series.
    windows: Vec<Vec<Window>>,
    plan: Plan,
}

impl Builder {
    fn new(settings: Settings) -> Builder {
        Builder {
            origin: 0,
            predicates: BTreeMap::new(),
            selectors: BTreeMap::new(),
            series: BTreeMap::new(),
            features: BTreeMap::new(),
            conditions: BTreeMap::new(),
            audiences_of: Vec::new(),
            essentials: Vec::new(),
            windows: Vec::new(),
            plan: Plan {
                settings,
                fingerprint: 0,
                by_name: HashMap::new(),
                any_name: Candidates::default(),
                selectors: Vec::new(),
                predicates: Vec::new(),
                series: Vec::new(),
                by_key: HashMap::new(),
                features: Vec::new(),
                by_attribute: HashMap::new(),
                conditions: Vec::new(),
                watch: Watch::default(),
                audiences: Vec::new(),
                audience_by_key: HashMap::new(),
                modules: Vec::new(),
                baseline: Vec::new(),
                removed: HashMap::new(),
                paused: BTreeSet::new(),
            },
        }
    }

    fn add_modules(&mut self, modules: &[Module], order: &[usize]) {
        for origin in order {
            let module = &modules[*origin];
            let (name, values) = (module.name.clone(), module.values.len());
            self.plan.modules.push(ModulePlan { name, origin: *origin, values });
        }
    }

    fn add_audiences(
        &mut self,
        modules: &[Module],
        order: &[usize],
        audiences: &Places<'_>,
    ) -> Result<(), PlanError> {
        let index_of: HashMap<&str, usize> = audiences.keys().copied().zip(0..).collect();
        let mut place_of = vec![0; modules.len()];
        order.iter().enumerate().for_each(|(place, origin)| place_of[*origin] = place);
        let (mut conditions, mut values): (Vec<Vec<usize>>, Vec<Vec<usize>>) = Default::default();
        for (origin, module) in modules.iter().enumerate() {
            self.origin = origin;
            let listed = module.conditions.iter().map(|c| match c {
                // What was left out may be referred to by what was left out with it.
                Condition::Member(id) if !index_of.contains_key(&**id) => NOBODY,
                _ => self.condition(c, &index_of),
            });
            conditions.push(listed.collect());
            values.push(module.values.iter().map(|value| self.feature(value)).collect());
        }
        for (origin, local) in audiences.values() {
            let audience = &modules[*origin].audiences[*local];
            self.essentials.push(essentials(audience, &conditions[*origin]));
            self.add_audience(AudiencePlan {
                key: AudienceKey::of(&audience.id),
                id: audience.id.clone(),
                name: audience.name.clone(),
                version: audience.version.clone(),
                code: modules[*origin].code.clone(),
                module: place_of[*origin],
                local: *local as u32,
                conditions: numbered(&audience.conditions, &conditions[*origin]),
                values: numbered(&audience.values, &values[*origin]),
                referrers: Vec::new(),
            })?;
        }
        self.link_referrers();
        Ok(())
    }

    /// Keeps the series of modules that decide nothing here, so that their rules can be gone back to
    /// without reading history. They are numbered after those that do.
    fn keep(&mut self, modules: &[Module], first: usize) {
        for (origin, module) in (first..).zip(modules) {
            self.origin = origin;
            let compared = module.conditions.iter().filter_map(|condition| match condition {
                Condition::Compare { feature, .. } => Some(feature),
                Condition::Member(_) => None,
            });
            let features = compared.chain(&module.values);
            for feature in features.filter(|feature| matches!(feature, Feature::Events { .. })) {
                self.feature(feature);
            }
        }
    }

    fn add_audience(&mut self, audience: AudiencePlan) -> Result<(), PlanError> {
        let at = self.plan.audiences.len();
        if let Some(other) = self.plan.audience_by_key.insert(audience.key, at) {
            return Err(PlanError::KeyCollision {
                one: self.plan.audiences[other].id.to_string(),
                other: audience.id.to_string(),
            });
        }
        for (_, condition) in &audience.conditions {
            self.audiences_of[*condition].push(at as u32);
        }
        for (_, feature) in &audience.values {
            self.plan.features[*feature].readers.push(at);
        }
        self.plan.audiences.push(audience);
        Ok(())
    }

    fn link_referrers(&mut self) {
        for (condition, audiences) in self.plan.conditions.iter().zip(&self.audiences_of) {
            if let ConditionKind::Member(target) = condition.kind {
                let referrers = audiences.iter().map(|audience| *audience as usize);
                self.plan.audiences[target].referrers.extend(referrers);
            }
        }
    }

    fn condition(&mut self, condition: &Condition, index_of: &HashMap<&str, usize>) -> usize {
        if let Some(at) = self.conditions.get(condition) {
            return *at;
        }
        let at = self.plan.conditions.len();
        let kind = match condition {
            Condition::Compare { feature, comparison } => {
                let of_nothing = comparison.holds(of_nothing(feature).as_ref());
                let feature = self.feature(feature);
                self.plan.features[feature].conditions.push(at);
                ConditionKind::Compare { feature, comparison: comparison.clone(), of_nothing }
            }
            Condition::Member(id) => ConditionKind::Member(index_of[&**id]),
        };
        self.conditions.insert(condition.clone(), at);
        self.plan.conditions.push(ConditionPlan { kind });
        self.audiences_of.push(Vec::new());
        at
    }

    fn feature(&mut self, feature: &Feature) -> usize {
        if let Some(at) = self.features.get(feature) {
            return *at;
        }
        let at = self.plan.features.len();
        let origin = match feature {
            Feature::Events { selector, aggregate, of, window } => {
                let series = self.series(*aggregate, selector, of);
                self.plan.series[series].features.push(at);
                self.windows[series].push(*window);
                Origin::Series { series, aggregate: *aggregate, window: *window }
            }
            Feature::Attribute(name) => {
                self.plan.by_attribute.insert(name.clone(), at);
                Origin::Attribute(name.clone())
            }
        };
        self.features.insert(feature.clone(), at);
        self.plan.features.push(FeaturePlan {
            origin,
            thresholds: Vec::new(),
            conditions: Vec::new(),
            place_of_nothing: Place::Nothing,
            readers: Vec::new(),
        });
        at
    }

    fn series(
        &mut self,
        aggregate: Aggregate,
        selector: &Arc<Selector>,
        of: &Option<Arc<str>>,
    ) -> usize {
        let kind = SeriesKind::of(aggregate);
        let content = (kind, selector.clone(), of.clone());
        if let Some(at) = self.series.get(&content) {
            return *at;
        }
        let at = self.plan.series.len();
        let selector_at = self.selector(selector);
        self.plan.selectors[selector_at].series.push(at);
        self.plan.series.push(SeriesPlan {
            key: SeriesKey::of(kind, selector, of.as_deref()),
            kind,
            selector: self.plan.selectors[selector_at].selector.clone(),
            selector_at,
            of: of.clone(),
            edges: Edges::default(),
            room: SeriesRoom {
                intervals: Room { intervals: 0, newest: 0, crossing: 0 },
                values: 0,
            },
            features: Vec::new(),
        });
        self.windows.push(Vec::new());
        self.series.insert(content, at);
        at
    }

    fn selector(&mut self, selector: &Arc<Selector>) -> usize {
        if let Some(at) = self.selectors.get(selector) {
            return *at;
        }
        let at = self.plan.selectors.len();
        match &selector.event {
            Some(name) => {
                self.plan.by_name.entry(name.clone()).or_default().add(selector, at);
            }
            None => self.plan.any_name.add(selector, at),
        }
        self.selectors.insert(selector.clone(), at);
        let predicate = selector.predicate().map(|predicate| self.predicate(predicate));
        let (selector, series) = (selector.clone(), Vec::new());
        self.plan.selectors.push(SelectorPlan { selector, at, predicate, series });
        at
    }

    fn predicate(&mut self, predicate: &Predicate) -> usize {
        let next = self.plan.predicates.len();
        let at = *self.predicates.entry(predicate.clone()).or_insert(next);
        if at == next {
            let (origin, local) = (self.origin, predicate.index);
            self.plan.predicates.push(PredicatePlan { origin, local });
        }
        at
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        for feature in &mut self.plan.features {
            feature.thresholds = thresholds(&feature.conditions, &self.plan.conditions);
            if let Origin::Series { aggregate, .. } = feature.origin {
                feature.place_of_nothing = feature.place(&Answer::of_nothing(aggregate));
            }
        }
        for (at, windows) in self.windows.into_iter().enumerate() {
            let greatest = greatest_count(&self.plan, at);
            let series = &mut self.plan.series[at];
            series.edges = Edges::new(windows);
            series.room = SeriesRoom {
                intervals: Room {
                    intervals: self.plan.settings.intervals,
                    newest: greatest.clamp(NEWEST_LEAST, NEWEST_MOST),
                    crossing: CROSSING_MOST,
                },
                values: greatest.clamp(VALUES_LEAST, VALUES_MOST),
            };
            if let Some(other) = self.plan.by_key.insert(series.key, at) {
                return Err(PlanError::KeyCollision {
                    one: self.plan.series[other].selector.to_string(),
                    other: self.plan.series[at].selector.to_string(),
                });
            }
        }
        let keys = self.plan.audiences.iter().map(|audience| audience.key).collect();
        let tables = (&*self.plan.series, &*self.plan.features, &*self.plan.conditions);
        self.plan.watch = Watch::new(self.essentials, self.audiences_of, keys, tables);
        Ok(self.plan)
    }
}

fn numbered(locals: &[u32], globals: &[usize]) -> Vec<(u32, usize)> {
    locals.iter().map(|local| (*local, globals[*local as usize])).collect()
}

fn essentials(audience: &Audience, globals: &[usize]) -> Vec<(usize, bool)> {
    let signed = [(&audience.requires, true), (&audience.excludes, false)];
    let each = signed.into_iter().flat_map(|(locals, truth)| {
        locals.iter().map(move |local| (globals[*local as usize], truth))
    });
    each.collect()
}

fn thresholds(conditions: &[usize], plans: &[ConditionPlan]) -> Vec<(Decimal, Vec<usize>)> {
    let mut thresholds: BTreeMap<Decimal, Vec<usize>> = BTreeMap::new();
    for condition in conditions {
        if let ConditionKind::Compare { comparison, .. } = &plans[*condition].kind {
            for threshold in comparison.thresholds() {
                thresholds.entry(threshold).or_default().push(*condition);
            }
        }
    }
    thresholds.into_iter().collect()
}

/// The greatest number that a count over the series is compared with, and one more.
fn greatest_count(plan: &Plan, series: usize) -> usize {
    let features = plan.series[series].features.iter().map(|feature| &plan.features[*feature]);
    let counting = features.filter(|feature| {
        let Origin::Series { aggregate, .. } = feature.origin else { return false };
        matches!(aggregate, Aggregate::Count | Aggregate::Distinct)
    });
    let greatest =
        counting.filter_map(|feature| feature.thresholds.last()).map(|(number, _)| number);
    let whole = greatest.map(|number| number.billionths().max(0) / ONE).max();
    usize::try_from(whole.unwrap_or(0)).unwrap_or(usize::MAX - 1) + 1
}
