//! The state engine: which conditions a step changed, what they are worth now, and when they may
//! change next.

use super::{Request, Session, Touched};
use crate::answer::Answer;
use crate::codec::Damaged;
use crate::event::Arrival;
use crate::feature::Aggregate;
use crate::plan::{ConditionKind, FeaturePlan, Origin, Place, Plan};
use crate::series::{Series, count_distinct};
use crate::time::Time;
use crate::transition::Cause;
use crate::value::Value;
use crate::window::Window;
use std::collections::{BTreeMap, BTreeSet};

/// What is found out during one evaluation.
pub(super) struct Findings {
    /// By condition, once it is known.
    conditions: Vec<Option<bool>>,
    /// Counts of different values that history had to give, and when they may change.
    distinct: BTreeMap<usize, (Answer, Option<Time>)>,
    /// The series of which history told more: what may change of them, and when, is known better.
    refined: BTreeSet<usize>,
}

impl Findings {
    /// Nothing yet.
    pub(super) fn new(plan: &Plan) -> Findings {
        Findings {
            conditions: vec![None; plan.conditions.len()],
            distinct: BTreeMap::new(),
            refined: BTreeSet::new(),
        }
    }
}

impl FeaturePlan {
    /// What the feature is worth at an instant by its series; nothing for attributes.
    pub(super) fn answer(&self, series: &Series, at: Time) -> Answer {
        match &self.origin {
            Origin::Series { aggregate, window, .. } => series.answer(*aggregate, window, at),
            Origin::Attribute(_) => Answer::Nothing,
        }
    }
}

impl Session<'_> {
    /// Decides the audiences that may have changed, and sets the timers of the series that were
    /// touched or refined.
    pub(super) fn evaluate(
        &mut self,
        touched: Touched,
        at: Time,
        cause: Cause,
    ) -> Result<(), Damaged> {
        self.report.evaluations += 1;
        self.history_used = false;
        let mut findings = Findings::new(self.plan);
        if !touched.is_empty() || !self.known {
            let audiences = self.candidates(&touched, at)?;
            let changes = self.decide_all(audiences, &mut findings, at)?;
            if !self.needs.is_empty() {
                return Ok(());
            }
            self.change(changes, at, cause);
            self.known = true;
        }
        self.user.evaluated_at = at;
        self.set_retry(at);
        let refined = std::mem::take(&mut findings.refined);
        for series in refined.iter().chain(touched.series.keys().filter(|s| !refined.contains(s))) {
            let due = self.next_due(*series, &findings, at)?;
            let empty = self.empty_from(*series)?;
            self.user.set_due(self.plan.series[*series].key, due, empty);
        }
        self.report.evaluations_with_history += u64::from(self.history_used);
        Ok(())
    }

    /// The audiences that look at something that may have changed.
    fn candidates(&mut self, touched: &Touched, at: Time) -> Result<Vec<usize>, Damaged> {
        let plan = self.plan;
        let mut audiences: Vec<usize> = touched.audiences.iter().copied().collect();
        let mut conditions: Vec<usize> = touched.conditions.iter().copied().collect();
        for (series, before) in &touched.series {
            let empty;
            let stored = match self.user.series(plan.series[*series].key)? {
                Some(stored) => stored,
                None => {
                    empty = plan.series[*series].kind.empty();
                    &empty
                }
            };
            for (index, feature) in plan.series[*series].features.iter().enumerate() {
                let feature = &plan.features[*feature];
                let before = before.as_ref().map_or(&feature.place_of_nothing, |all| &all[index]);
                let now = feature.answer(stored, at);
                feature.changed(before, &now, &plan.conditions, &mut conditions);
                if !feature.readers.is_empty() {
                    let place = feature.place(&now);
                    if place == Place::Undecided || place != *before {
                        audiences.extend(&feature.readers);
                    }
                }
            }
        }
        for condition in conditions {
            audiences.extend(plan.watch.audiences_of(condition));
        }
        audiences.sort_unstable();
        audiences.dedup();
        Ok(audiences)
    }

    /// Whether a condition holds; false, with history asked for, while it cannot be told.
    pub(super) fn holds(
        &mut self,
        condition: usize,
        findings: &mut Findings,
        at: Time,
    ) -> Result<bool, Damaged> {
        if let Some(told) = self.told(condition, findings, at)? {
            return Ok(told);
        }
        let ConditionKind::Compare { feature, comparison, .. } =
            &self.plan.conditions[condition].kind
        else {
            return Ok(false);
        };
        let decide = |answer: &Answer| answer.truth(comparison).is_some();
        let answer = self.resolve(*feature, findings, at, &decide)?;
        let truth = answer.truth(comparison).unwrap_or_else(|| {
            // Where history is read, it is only what follows that tells.
            if !self.plan.settings.exact {
                self.report.likely += 1;
                let bound = answer.error_bound();
                self.report.likely_error_max = self.report.likely_error_max.max(bound);
            }
            answer.likely_truth(comparison)
        });
        findings.conditions[condition] = Some(truth);
        Ok(truth)
    }

    /// Whether a condition on events holds of a user without any such event; nothing of others.
    pub(super) fn without_series(&self, condition: usize) -> Option<bool> {
        let of = self.plan.watch.series_of(condition)?;
        (!self.user.has_series(of.key)).then_some(of.of_nothing)
    }

    /// Whether a condition holds, where what is kept of the user is enough to tell.
    pub(super) fn told(
        &mut self,
        condition: usize,
        findings: &mut Findings,
        at: Time,
    ) -> Result<Option<bool>, Damaged> {
        if let Some(known) = findings.conditions[condition] {
            return Ok(Some(known));
        }
        let plan = self.plan;
        if let Some(told) = self.without_series(condition) {
            return Ok(Some(told));
        }
        let told = match &plan.conditions[condition].kind {
            // Memberships change while an evaluation goes on.
            ConditionKind::Member(audience) => {
                let key = plan.audiences[*audience].key;
                return Ok(Some(self.profile.memberships.since(key).is_some()));
            }
            ConditionKind::Compare { feature, comparison, of_nothing } => {
                let feature = &plan.features[*feature];
                match &feature.origin {
                    Origin::Attribute(name) => {
                        Some(comparison.holds(self.profile.attributes.get(name)))
                    }
                    Origin::Series { series, .. } => {
                        match self.user.series(plan.series[*series].key)? {
                            None => Some(*of_nothing),
                            Some(stored) => feature.answer(stored, at).truth(comparison),
                        }
                    }
                }
            }
        };
        findings.conditions[condition] = told;
        Ok(told)
    }

    /// A feature's exact value; none, with history asked for, while it cannot be told.
    pub(super) fn value(
        &mut self,
        feature: usize,
        findings: &mut Findings,
        at: Time,
    ) -> Result<Option<Value>, Damaged> {
        match &self.plan.features[feature].origin {
            Origin::Attribute(name) => Ok(self.profile.attributes.get(name).cloned()),
            Origin::Series { .. } => {
                Ok(self.resolve(feature, findings, at, &Answer::is_exact)?.value())
            }
        }
    }

    /// A feature's answer, from history where the series alone is not enough.
    fn resolve(
        &mut self,
        feature: usize,
        findings: &mut Findings,
        at: Time,
        enough: &dyn Fn(&Answer) -> bool,
    ) -> Result<Answer, Damaged> {
        let plan = self.plan;
        if let Some((answer, _)) = findings.distinct.get(&feature) {
            return Ok(answer.clone());
        }
        let Origin::Series { series, aggregate, window } = &plan.features[feature].origin else {
            return Ok(Answer::Nothing);
        };
        let series_plan = &plan.series[*series];
        let Some(stored) = self.user.series(series_plan.key)? else {
            return Ok(plan.features[feature].answer(&series_plan.kind.empty(), at));
        };
        let answer = stored.answer(*aggregate, window, at);
        if enough(&answer) || !plan.settings.exact {
            return Ok(answer);
        }
        let spans = stored.straddled(window, at);
        let mut read = Vec::with_capacity(spans.len());
        for extent in spans {
            let request = Request { event: series_plan.selector.event.clone(), extent };
            self.doubt_later(series_plan.selector_at, extent);
            let Some(mut events) = self.events(request) else { continue };
            events.retain(|arrival| series_plan.selector.accepts(&arrival.event));
            read.push((extent, events));
        }
        if !self.needs.is_empty() || !self.select_read(series_plan.selector_at, &mut read) {
            return Ok(answer);
        }
        findings.refined.insert(*series);
        if *aggregate == Aggregate::Distinct {
            let found = self.count(feature, &read, *window, at);
            findings.distinct.insert(feature, found.clone());
            return Ok(found.0);
        }
        let property = series_plan.of.as_deref();
        let stored = self.user.series_mut(series_plan.key, || series_plan.kind.empty())?;
        for (extent, events) in &read {
            let values: Vec<(Time, Option<&Value>)> = events
                .iter()
                .map(|arrival| {
                    let value = property.and_then(|name| arrival.event.property(name));
                    (arrival.event.time, value)
                })
                .collect();
            stored.refine(*extent, &values);
        }
        Ok(stored.answer(*aggregate, window, at))
    }

    fn count(
        &self,
        feature: usize,
        read: &[(crate::window::Extent, Vec<Arrival>)],
        window: Window,
        at: Time,
    ) -> (Answer, Option<Time>) {
        let Origin::Series { series, .. } = &self.plan.features[feature].origin else {
            return (Answer::Nothing, None);
        };
        let property = self.plan.series[*series].of.as_deref().unwrap_or_default();
        let events = read.first().map_or(&[] as &[Arrival], |(_, events)| events);
        count_distinct(events, property, &window, at)
    }

    /// When no window of the plan will see anything of the series any more.
    fn empty_from(&mut self, series: usize) -> Result<Option<Time>, Damaged> {
        let plan = &self.plan.series[series];
        Ok(self.user.series(plan.key)?.and_then(|stored| stored.empty_from(&plan.edges)))
    }

    /// When the series may next change the truth of a condition by itself.
    fn next_due(
        &mut self,
        series: usize,
        findings: &Findings,
        at: Time,
    ) -> Result<Option<Time>, Damaged> {
        let plan = self.plan;
        let Some(stored) = self.user.series(plan.series[series].key)? else { return Ok(None) };
        let dues = plan.series[series].features.iter().filter_map(|index| {
            let feature = &plan.features[*index];
            let Origin::Series { aggregate, window, .. } = &feature.origin else { return None };
            if feature.conditions.is_empty() && feature.readers.is_empty() {
                return None;
            }
            if let Some((_, next)) = findings.distinct.get(index) {
                return *next;
            }
            let now = feature.answer(stored, at);
            let place = feature.place(&now);
            if let Place::Number(number) = place
                && *aggregate == Aggregate::Count
                && let Some(fewer) = stored.fewer_than(feature.least_whole(number), window, at)
            {
                return fewer.0;
            }
            if place != Place::Undecided {
                let same = |answer: &Answer| feature.place(answer) == place;
                return stored.next_change(*aggregate, window, at, &same);
            }
            // No threshold tells the possible values apart for the conditions asked, though some
            // lie between them: each condition is followed by itself. A raw value that nobody asked for
            // yet may be another one whenever the possible values are others.
            let same = |answer: &Answer| {
                (feature.readers.is_empty() || *answer == now)
                    && feature.conditions.iter().all(|condition| {
                        let ConditionKind::Compare { comparison, .. } =
                            &plan.conditions[*condition].kind
                        else {
                            return true;
                        };
                        answer.truth(comparison) == now.truth(comparison)
                    })
            };
            stored.next_change(*aggregate, window, at, &same)
        });
        Ok(dues.min().filter(|due| *due <= Time::MAX))
    }
}
