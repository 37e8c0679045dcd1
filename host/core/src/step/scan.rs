//! The scan engine: every condition is recomputed from the user's events, every audience decided.
//!
//! It keeps nothing between evaluations but the instant at which to look again, and shares with the
//! state engine the rule modules and nothing of the arithmetic.

use super::{Request, Session, Verdicts};
use crate::comparison::Comparison;
use crate::decimal::Decimal;
use crate::event::Arrival;
use crate::feature::Aggregate;
use crate::interval::arrivals_within;
use crate::plan::{ConditionKind, Origin, Plan, SelectorPlan};
use crate::time::Time;
use crate::transition::{Cause, Change};
use crate::value::Value;
use crate::window::{Extent, Window};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Session<'_> {
    /// Evaluates the user over all of her events.
    pub(super) fn scan(&mut self, at: Time, cause: Cause) {
        let everything = Extent { first: Time::MIN, last: Time::MAX };
        let Some(events) = self.events(Request { event: None, extent: everything }) else { return };
        self.report.evaluations += 1;
        self.report.evaluations_with_history += 1;
        let asked = self.doubts(&events, &|_| true, at);
        self.stuck.clear();
        self.ask_about(asked);
        let history = History::new(events, std::mem::take(&mut self.verdicts));
        let before = self.profile.memberships.clone();
        let mut truths = history.truths(self.plan, &self.profile.attributes, at);
        let mut changes = Vec::new();
        for module in 0..self.plan.modules.len() {
            let decisions = self.scan_module(module, &mut truths, &history, at);
            for (audience, is_in) in decisions {
                let key = self.plan.audiences[audience].key;
                if is_in == before.since(key).is_some() {
                    continue;
                }
                self.profile.memberships.set(key, is_in.then_some(at));
                let change = if is_in { Change::Entered } else { Change::Left };
                changes.push((audience, change));
            }
        }
        self.profile.memberships = before;
        self.change(changes, at, cause);
        self.user.evaluated_at = at;
        self.set_retry(at);
        self.user.scan_due = history.next_change(self.plan, at).filter(|due| *due <= Time::MAX);
        self.verdicts = history.verdicts;
    }

    fn scan_module(
        &mut self,
        module: usize,
        truths: &mut [bool],
        history: &History,
        at: Time,
    ) -> Vec<(usize, bool)> {
        let plan = self.plan;
        let members = &self.profile.memberships;
        for (truth, condition) in truths.iter_mut().zip(&plan.conditions) {
            if let ConditionKind::Member(audience) = condition.kind {
                *truth = members.since(plan.audiences[audience].key).is_some();
            }
        }
        let numbered = plan.audiences.iter().enumerate();
        let mut asked: Vec<usize> =
            numbered.filter(|(_, audience)| audience.module == module).map(|(at, _)| at).collect();
        asked.retain(|audience| !self.stuck.contains(audience));
        if asked.is_empty() {
            return Vec::new();
        }
        asked.sort_by_key(|audience| plan.audiences[*audience].local);
        let mut conditions: Vec<u32> = Vec::new();
        let mut values: Vec<Option<Value>> = vec![None; plan.modules[module].values];
        for audience in &asked {
            let audience = &plan.audiences[*audience];
            let held = audience.conditions.iter().filter(|(_, condition)| truths[*condition]);
            conditions.extend(held.map(|(local, _)| *local));
            for (local, feature) in &audience.values {
                values[*local as usize] = match &plan.features[*feature].origin {
                    Origin::Attribute(name) => self.profile.attributes.get(name).cloned(),
                    Origin::Series { series, aggregate, window } => {
                        let events = history.of(plan, *series);
                        aggregate_over(
                            &events,
                            *aggregate,
                            plan.series[*series].of.as_deref(),
                            window.extent(at),
                        )
                        .value()
                    }
                };
            }
        }
        conditions.sort_unstable();
        conditions.dedup();
        self.cross(module, &asked, &conditions, &values)
    }
}

/// A user's events, by name and all together, each sorted by time and number.
struct History {
    all: Vec<Arrival>,
    by_name: BTreeMap<Arc<str>, Vec<Arrival>>,
    /// What modules said of them.
    verdicts: Verdicts,
}

impl History {
    fn new(all: Vec<Arrival>, verdicts: Verdicts) -> History {
        let mut by_name: BTreeMap<Arc<str>, Vec<Arrival>> = BTreeMap::new();
        for arrival in &all {
            by_name.entry(arrival.event.name.clone()).or_default().push(arrival.clone());
        }
        History { all, by_name, verdicts }
    }

    /// The events of the name that a selector asks for.
    fn named(&self, selector: &SelectorPlan) -> &[Arrival] {
        match &selector.selector.event {
            Some(name) => self.by_name.get(name).map_or(&[], |events| events),
            None => &self.all,
        }
    }

    fn is_selected(&self, selector: &SelectorPlan, arrival: &Arrival) -> bool {
        selector.selector.accepts(&arrival.event)
            && self.verdicts.accept(selector.predicate, arrival.number)
    }

    /// The events that a series of the plan selects.
    fn of(&self, plan: &Plan, series: usize) -> Vec<&Arrival> {
        let selector = &plan.selectors[plan.series[series].selector_at];
        let named = self.named(selector).iter();
        named.filter(|arrival| self.is_selected(selector, arrival)).collect()
    }

    /// Which conditions hold at an instant; those on memberships are left false.
    fn truths(&self, plan: &Plan, attributes: &BTreeMap<Arc<str>, Value>, at: Time) -> Vec<bool> {
        let truth = |kind: &ConditionKind| match kind {
            ConditionKind::Member(_) => false,
            ConditionKind::Compare { feature, comparison, .. } => {
                match &plan.features[*feature].origin {
                    Origin::Attribute(name) => comparison.holds(attributes.get(name)),
                    Origin::Series { series, aggregate, window } => {
                        let selector = &plan.selectors[plan.series[*series].selector_at];
                        let of = plan.series[*series].of.as_deref();
                        let visible = arrivals_within(self.named(selector), window.extent(at));
                        let selected =
                            visible.iter().filter(|arrival| self.is_selected(selector, arrival));
                        fold(selected, *aggregate, of).passes(comparison)
                    }
                }
            }
        };
        plan.conditions.iter().map(|condition| truth(&condition.kind)).collect()
    }

    /// The earliest instant after `now` at which a condition's truth changes by itself.
    fn next_change(&self, plan: &Plan, now: Time) -> Option<Time> {
        let changes = plan.features.iter().filter_map(|feature| {
            let Origin::Series { series, aggregate, window } = &feature.origin else { return None };
            let events = self.of(plan, *series);
            let of = plan.series[*series].of.as_deref();
            let comparisons = feature.conditions.iter().filter_map(|condition| {
                match &plan.conditions[*condition].kind {
                    ConditionKind::Compare { comparison, .. } => Some(comparison),
                    ConditionKind::Member(_) => None,
                }
            });
            let comparisons: Vec<&Comparison> = comparisons.collect();
            let outcome = |at: Time| {
                let total = aggregate_over(&events, *aggregate, of, window.extent(at));
                let truths: Vec<bool> = comparisons.iter().map(|c| total.passes(c)).collect();
                (truths, if feature.readers.is_empty() { None } else { total.value() })
            };
            let current = outcome(now);
            instants(&events, window, now).into_iter().find(|at| outcome(*at) != current)
        });
        changes.min()
    }
}

/// The instants after `now` at which an event comes into the window or goes out of it.
fn instants(events: &[&Arrival], window: &Window, now: Time) -> Vec<Time> {
    let visibilities = events.iter().filter_map(|arrival| window.visibility(arrival.event.time));
    let both = visibilities.flat_map(|(enters, leaves)| [Some(enters), leaves]).flatten();
    let mut instants: Vec<Time> = both.filter(|instant| *instant > now).collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// An aggregate's value. Means are kept as sum and count, so that comparing them is exact.
enum Total {
    Value(Option<Value>),
    Mean { sum: i128, count: i128 },
}

impl Total {
    fn passes(&self, comparison: &Comparison) -> bool {
        match self {
            Total::Value(value) => comparison.holds(value.as_ref()),
            Total::Mean { sum, count } => comparison.tests().iter().all(|test| {
                test.holds_number(|operand| -> Ordering {
                    sum.cmp(&(operand.billionths() * count))
                })
            }),
        }
    }

    fn value(self) -> Option<Value> {
        match self {
            Total::Value(value) => value,
            Total::Mean { sum, count } => {
                let mean = crate::answer::Quantity::mean(sum, count as u64);
                Some(Value::Number(mean.decimal()))
            }
        }
    }
}

fn aggregate_over(
    events: &[&Arrival],
    aggregate: Aggregate,
    of: Option<&str>,
    extent: Extent,
) -> Total {
    let visible = events.iter().copied().filter(|arrival| extent.contains(arrival.event.time));
    fold(visible, aggregate, of)
}

/// The aggregate of events given in the order of time and arrival.
fn fold<'e>(
    events: impl Iterator<Item = &'e Arrival>,
    aggregate: Aggregate,
    of: Option<&str>,
) -> Total {
    let number = |billionths: i128| Value::Number(Decimal::from_billionths(billionths));
    let whole = |count: usize| Total::Value(Some(Value::Number((count as i64).into())));
    let mut values = Vec::new();
    let mut count = 0;
    for arrival in events {
        count += 1;
        values.extend(of.and_then(|name| arrival.event.property(name)));
    }
    let numbers: Vec<i128> =
        values.iter().filter_map(|value| value.number()).map(Decimal::billionths).collect();
    match aggregate {
        Aggregate::Count => whole(count),
        Aggregate::Distinct => {
            values.sort();
            values.dedup();
            whole(values.len())
        }
        Aggregate::First => Total::Value(values.first().copied().cloned()),
        Aggregate::Last => Total::Value(values.last().copied().cloned()),
        Aggregate::Min => Total::Value(numbers.iter().min().copied().map(number)),
        Aggregate::Max => Total::Value(numbers.iter().max().copied().map(number)),
        Aggregate::Avg if !numbers.is_empty() => {
            Total::Mean { sum: numbers.iter().sum(), count: numbers.len() as i128 }
        }
        Aggregate::Sum if !numbers.is_empty() => Total::Value(Some(number(numbers.iter().sum()))),
        Aggregate::Sum | Aggregate::Avg => Total::Value(None),
    }
}
