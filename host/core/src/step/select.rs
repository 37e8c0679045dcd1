//! Asking rule modules which events their predicates accept.
//!
//! What a step takes in is asked about at once, and what it reads of history once more. When a
//! module fails, its events are the user's all the same: the series that lack them are noted, what
//! is decided by them stays as it is, and at the next attempt they are gathered from history.

use super::{Request, Session, Touched};
use crate::codec::Damaged;
use crate::decide::{Candidate, Selection};
use crate::event::{Arrival, Event};
use crate::plan::Engine;
use crate::time::Time;
use crate::window::Extent;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Events of one call. A micro-batch has fewer; a history that a new series is gathered from may
/// have more, and a call has a time and a memory to keep to.
const CANDIDATES_MAX: usize = 512;

/// What rule modules said of events, kept while a step is taken again with more of history.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// By predicate of the plan, and number of the event.
    told: HashMap<(usize, u64), bool>,
    /// The modules that failed, by their index among those of the plan. They are not asked again.
    failed: BTreeMap<usize, Arc<str>>,
    /// Parts of history of which selectors will be asked, to be asked about together.
    later: Vec<(usize, Extent)>,
}

/// An event about which a module is asked, and by which predicates of the plan.
struct Asked {
    event: Arc<Event>,
    predicates: BTreeSet<usize>,
}

/// Events about which a module is to be asked, by selector.
pub(super) type Doubts = Vec<(usize, Arrival)>;

impl Verdicts {
    /// Whether a predicate accepts an event; without a predicate, every event is.
    pub(super) fn accept(&self, predicate: Option<usize>, arrival: u64) -> bool {
        predicate.is_none_or(|predicate| self.told.get(&(predicate, arrival)) == Some(&true))
    }
}

impl Session<'_> {
    pub(super) fn is_selected(&self, predicate: Option<usize>, arrival: u64) -> bool {
        self.verdicts.accept(predicate, arrival)
    }

    /// Whether it is time for another attempt at what failed.
    pub(super) fn is_retried(&self, now: Time) -> bool {
        self.user.retry.is_some_and(|retry| retry.due() <= now)
    }

    /// The series of the plan that lack events.
    pub(super) fn lacking(&self) -> impl Iterator<Item = usize> {
        self.user.lacking.iter().filter_map(|key| self.plan.by_key.get(key).copied())
    }

    /// The events that predicates decide of, of those that series see which are meant.
    pub(super) fn doubts(
        &self,
        events: &[Arrival],
        meant: &dyn Fn(usize) -> bool,
        now: Time,
    ) -> Doubts {
        if self.plan.predicates.is_empty() {
            return Doubts::new();
        }
        let plan = self.plan;
        let sees = |series: usize, event: &Event| {
            meant(series) && plan.series[series].edges.see(event.time, now)
        };
        let mut doubts = Doubts::new();
        for arrival in events {
            let selectors = plan.select(&arrival.event).filter(|s| s.predicate.is_some());
            let selectors =
                selectors.filter(|s| s.series.iter().any(|series| sees(*series, &arrival.event)));
            doubts.extend(selectors.map(|selector| (selector.at, arrival.clone())));
        }
        doubts
    }

    /// Asks about what was accepted, and gathers the series that lack events when it is time. Gives
    /// the series that hold all that was accepted, or will be gathered later.
    pub(super) fn complete(
        &mut self,
        touched: &mut Touched,
        now: Time,
    ) -> Result<BTreeSet<usize>, Damaged> {
        if self.plan.predicates.is_empty() {
            return Ok(BTreeSet::new());
        }
        let lacking: BTreeSet<usize> = self.lacking().collect();
        let mut doubts = self.doubts(&self.accepted, &|series| !lacking.contains(&series), now);
        if lacking.is_empty() || !self.is_retried(now) {
            self.ask_about(doubts);
            return Ok(lacking);
        }
        let Some(events) = self.events_of(&lacking, now) else { return Ok(lacking) };
        doubts.extend(self.doubts(&events, &|series| lacking.contains(&series), now));
        // What fails again is noted again.
        self.user.lacking.clear();
        self.stuck.clear();
        self.ask_about(doubts);
        let still: BTreeSet<usize> = self.lacking().collect();
        let complete: BTreeSet<usize> = lacking.difference(&still).copied().collect();
        self.reset(complete.iter());
        for arrival in &events {
            self.add(arrival, &|series| complete.contains(&series), touched, now)?;
        }
        for series in &complete {
            touched.audiences.extend(self.plan.audiences_of(*series));
        }
        Ok(lacking)
    }

    /// Asks the modules about events of which they have not said anything yet, each at once.
    pub(super) fn ask_about(&mut self, doubts: Doubts) {
        let plan = self.plan;
        let mut asked: BTreeMap<usize, BTreeMap<u64, Asked>> = BTreeMap::new();
        for (selector, arrival) in &doubts {
            let Some(predicate) = plan.selectors[*selector].predicate else { continue };
            if self.verdicts.told.contains_key(&(predicate, arrival.number)) {
                continue;
            }
            let of_module = asked.entry(plan.predicates[predicate].origin).or_default();
            let of_event = of_module.entry(arrival.number);
            let begin = || Asked { event: arrival.event.clone(), predicates: BTreeSet::new() };
            of_event.or_insert_with(begin).predicates.insert(predicate);
        }
        for (module, events) in asked {
            self.ask_module_about(module, events.into_iter().collect());
        }
        let unknown = |(selector, arrival): &&(usize, Arrival)| {
            let predicate = plan.selectors[*selector].predicate;
            predicate.is_some_and(|predicate| {
                !self.verdicts.told.contains_key(&(predicate, arrival.number))
            })
        };
        let unknown: BTreeSet<usize> =
            doubts.iter().filter(unknown).map(|(selector, _)| *selector).collect();
        unknown.into_iter().for_each(|selector| self.give_up(selector));
    }

    fn ask_module_about(&mut self, module: usize, events: Vec<(u64, Asked)>) {
        let plan = self.plan;
        for events in events.chunks(CANDIDATES_MAX) {
            if self.verdicts.failed.contains_key(&module) {
                return;
            }
            let locals = |predicates: &BTreeSet<usize>| {
                predicates.iter().map(|at| plan.predicates[*at].local).collect()
            };
            let candidates = events.iter().map(|(_, asked)| Candidate {
                event: &asked.event,
                predicates: locals(&asked.predicates),
            });
            let candidates: Vec<Candidate<'_>> = candidates.collect();
            self.report.selections += 1;
            match self.decide.select(Selection { module, candidates: &candidates }) {
                Ok(answers) => {
                    let asked = events.iter().flat_map(|(number, asked)| {
                        asked.predicates.iter().map(|predicate| (*predicate, *number))
                    });
                    self.verdicts.told.extend(asked.zip(answers));
                }
                Err(error) => {
                    self.verdicts.failed.insert(module, error.reason);
                }
            }
        }
    }

    /// What looks at the events of a selector stays undecided, since its module failed to tell which
    /// they are.
    fn give_up(&mut self, selector: usize) {
        let plan = self.plan;
        let Some(predicate) = plan.selectors[selector].predicate else { return };
        let failed = self.verdicts.failed.get(&plan.predicates[predicate].origin);
        let reason = failed.cloned().unwrap_or_else(|| "too few answers".into());
        for series in &plan.selectors[selector].series {
            if plan.settings.engine == Engine::State {
                self.user.lacking.insert(plan.series[*series].key);
            }
            for audience in plan.audiences_of(*series) {
                if self.stuck.insert(audience) {
                    self.mark(audience, &reason);
                }
            }
        }
    }

    /// Notes that a selector will be asked about a part of history.
    pub(super) fn doubt_later(&mut self, selector: usize, extent: Extent) {
        let doubt = (selector, extent);
        if self.plan.selectors[selector].predicate.is_some()
            && !self.verdicts.later.contains(&doubt)
        {
            self.verdicts.later.push(doubt);
        }
    }

    /// Leaves of parts of history what the selector's predicate accepts; false when its module
    /// failed to tell. Whatever else was read is asked about in the same call.
    pub(super) fn select_read(
        &mut self,
        selector: usize,
        read: &mut [(Extent, Vec<Arrival>)],
    ) -> bool {
        let plan = self.plan;
        let Some(predicate) = plan.selectors[selector].predicate else { return true };
        let mut doubts = Doubts::new();
        for (selector, extent) in std::mem::take(&mut self.verdicts.later) {
            let of = &plan.selectors[selector].selector;
            let request = Request { event: of.event.clone(), extent };
            let events = self.supplied(&request).unwrap_or_default();
            let accepted = events.into_iter().filter(|arrival| of.accepts(&arrival.event));
            doubts.extend(accepted.map(|arrival| (selector, arrival)));
        }
        self.ask_about(doubts);
        let told = &self.verdicts.told;
        let all_told = read
            .iter()
            .flat_map(|(_, events)| events)
            .all(|arrival| told.contains_key(&(predicate, arrival.number)));
        for (_, events) in read {
            events.retain(|arrival| told.get(&(predicate, arrival.number)) == Some(&true));
        }
        all_told
    }
}
