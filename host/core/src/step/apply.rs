//! Taking messages in: repetitions dropped, the profile changed, events added to the series.

use super::{Request, Session, Touched, empty_series};
use crate::codec::Damaged;
use crate::event::{Arrival, Event, Message};
use crate::plan::{ConditionKind, Place};
use crate::time::Time;
use crate::transition::{Cause, Change};
use crate::user::IdOf;
use crate::value::Value;
use crate::window::Extent;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Session<'_> {
    /// Applies the messages to the series, and evaluates the user.
    pub(super) fn apply_to_series(
        &mut self,
        messages: &[Message],
        now: Time,
    ) -> Result<(), Damaged> {
        let mut touched = Touched::default();
        self.touch_due(&mut touched, now)?;
        self.touch_unsettled(&mut touched);
        for message in messages {
            if self.is_repeated_message(message, now) {
                continue;
            }
            self.change_profile(message, &mut touched);
            message.events.iter().for_each(|event| self.accept(event, now));
        }
        let completed = self.complete(&mut touched, now)?;
        if !self.needs.is_empty() {
            return Ok(());
        }
        for at in 0..self.accepted.len() {
            let arrival = self.accepted[at].clone();
            self.add(&arrival, &|series| !completed.contains(&series), &mut touched, now)?;
        }
        let cause = self.cause();
        self.evaluate(touched, now, cause)
    }

    /// Applies the messages to the profile, and evaluates the user over her history and them.
    pub(super) fn apply_to_history(
        &mut self,
        messages: &[Message],
        now: Time,
    ) -> Result<(), Damaged> {
        for message in messages {
            if self.is_repeated_message(message, now) {
                continue;
            }
            self.change_profile(message, &mut Touched::default());
            for event in &message.events {
                self.accept(event, now);
            }
        }
        let cause = self.cause();
        self.scan(now, cause);
        Ok(())
    }

    /// Goes over to the plan's rules: series that the plan before kept alike stay, the others are
    /// gathered from history, and every audience that this may concern is decided.
    pub(super) fn adopt(&mut self, now: Time) -> Result<(), Damaged> {
        let plan = self.plan;
        let (from, to) = (self.user.rules, plan.fingerprint);
        let mut successions = self.successions.iter();
        let succession = successions.find(|succession| succession.leads(from, to));
        // All series, when there is no list of them.
        let filled: Option<BTreeSet<usize>> = succession
            .map(|succession| succession.filled().iter().copied().chain(self.lacking()).collect());
        let everything = Extent { first: Time::MIN, last: Time::MAX };
        let events = match &filled {
            None => self.events(Request { event: None, extent: everything }),
            Some(filled) => self.events_of(filled, now),
        };
        let Some(events) = events else { return Ok(()) };
        self.user.rules = to;
        self.user.scan_due = None;
        let mut touched = Touched::default();
        match succession {
            None => {
                self.user.clear_series();
                touched.audiences.extend(0..plan.audiences.len());
            }
            Some(succession) => {
                self.user.keep_series(|key| plan.by_key.contains_key(&key));
                self.touch_due(&mut touched, now)?;
                for series in succession.retimed() {
                    self.touch(&mut touched, series)?;
                }
                self.touch_unsettled(&mut touched);
                touched.audiences.extend(succession.audiences());
            }
        }
        self.user.lacking.clear();
        self.stuck.clear();
        // What failed is decided again, and when that fails begins with the shortest wait.
        self.user.marked.clear();
        self.user.retry = None;
        self.leave_removed(now);
        if plan.settings.engine == crate::plan::Engine::Scan {
            self.scan(now, Cause::Rules);
            return Ok(());
        }
        let is_filled =
            |series: usize| filled.as_ref().is_none_or(|filled| filled.contains(&series));
        let doubts = self.doubts(&events, &is_filled, now);
        self.ask_about(doubts);
        self.reset(filled.iter().flatten());
        for arrival in &events {
            self.add(arrival, &is_filled, &mut touched, now)?;
        }
        self.evaluate(touched, now, Cause::Rules)
    }

    /// Begins series anew.
    pub(super) fn reset<'s>(&mut self, series: impl Iterator<Item = &'s usize>) {
        for series in series {
            let plan = &self.plan.series[*series];
            self.user.reset_series(plan.key, plan.kind.empty());
        }
    }

    /// The events that windows over those series see; none while they must be read.
    pub(super) fn events_of(
        &mut self,
        series: &BTreeSet<usize>,
        now: Time,
    ) -> Option<Vec<Arrival>> {
        let plan = self.plan;
        let mut horizons: BTreeMap<Option<Arc<str>>, Time> = BTreeMap::new();
        for series in series.iter().map(|series| &plan.series[*series]) {
            let horizon = series.edges.horizon(now);
            let first = horizons.entry(series.selector.event.clone()).or_insert(horizon);
            *first = horizon.min(*first);
        }
        let request = |(event, first)| Request { event, extent: Extent { first, last: Time::MAX } };
        let mut requests: Vec<Request> = horizons.into_iter().map(request).collect();
        // Events of any name hold those of each.
        if let Some(any) = requests.iter().position(|request| request.event.is_none()) {
            let first = requests.iter().map(|request| request.extent.first).min();
            requests = vec![requests.swap_remove(any)];
            requests[0].extent.first = first.unwrap_or(Time::MIN);
        }
        let mut events = Vec::new();
        for request in requests {
            events.extend(self.events(request).unwrap_or_default());
        }
        if !self.needs.is_empty() {
            return None;
        }
        events.sort_by_key(|arrival| (arrival.event.time, arrival.number));
        Some(events)
    }

    /// The user leaves the audiences that no module defines any more.
    fn leave_removed(&mut self, now: Time) {
        let memberships = self.profile.memberships.iter();
        let mut gone: Vec<_> = memberships
            .filter_map(|(key, _)| Some((self.plan.removed.get(&key)?.clone(), key)))
            .collect();
        gone.sort();
        for (id, key) in gone {
            self.note(key, id, "removed".into(), Change::Left, now, Cause::Rules);
        }
    }

    fn cause(&self) -> Cause {
        if self.accepted.is_empty() { Cause::Attribute } else { Cause::Event }
    }

    fn is_repeated_message(&mut self, message: &Message, now: Time) -> bool {
        let settings = &self.plan.settings;
        let is_redelivered = message.origin.is_some_and(|origin| self.user.is_redelivered(origin));
        // An id that came with it is not to be noted again: it would push out others.
        let repeated = is_redelivered
            || message
                .id
                .as_ref()
                .is_some_and(|id| self.user.is_repeated(id, IdOf::Message, settings, now));
        self.report.duplicates += u64::from(repeated);
        repeated
    }

    fn accept(&mut self, event: &Arc<Event>, now: Time) {
        let settings = &self.plan.settings;
        if let Some(id) = &event.id
            && self.user.is_repeated(id, IdOf::Event, settings, now)
        {
            self.report.duplicates += 1;
            return;
        }
        self.report.late += u64::from(event.time < self.user.evaluated_at);
        self.user.arrivals += 1;
        self.accepted.push(Arrival { number: self.user.arrivals, event: event.clone() });
    }

    /// Adds an event to the series that select it, of those that are meant.
    pub(super) fn add(
        &mut self,
        arrival: &Arrival,
        meant: &dyn Fn(usize) -> bool,
        touched: &mut Touched,
        now: Time,
    ) -> Result<(), Damaged> {
        let (plan, event) = (self.plan, &arrival.event);
        for (selector, series) in
            plan.select(event).flat_map(|s| s.series.iter().map(move |series| (s, series)))
        {
            let series_plan = &plan.series[*series];
            if !meant(*series) || !self.is_selected(selector.predicate, arrival.number) {
                continue;
            }
            let value = series_plan.of.as_ref().and_then(|name| event.property(name));
            if (series_plan.of.is_some() && value.is_none())
                || !series_plan.edges.see(event.time, now)
            {
                continue;
            }
            self.touch(touched, *series)?;
            let stored = self.user.series_mut(series_plan.key, || empty_series(plan, *series))?;
            stored.insert(event.time, value);
        }
        Ok(())
    }

    /// Notes what the features of a series were worth when the user was last evaluated.
    fn touch(&mut self, touched: &mut Touched, series: usize) -> Result<(), Damaged> {
        if touched.series.contains_key(&series) {
            return Ok(());
        }
        let (plan, before) = (self.plan, self.user.evaluated_at);
        let features = plan.series[series].features.iter().map(|feature| &plan.features[*feature]);
        let stored = self.user.series(plan.series[series].key)?;
        let places: Option<Vec<Place>> = stored.map(|stored| {
            features.map(|feature| feature.place(&feature.answer(stored, before))).collect()
        });
        touched.series.insert(series, places);
        Ok(())
    }

    /// Touches the series whose timer is due by `now`.
    pub(super) fn touch_due(&mut self, touched: &mut Touched, now: Time) -> Result<(), Damaged> {
        for series in self.user.series_due(self.plan, now) {
            self.touch(touched, series)?;
        }
        Ok(())
    }

    /// A user whose last decisions failed is decided in those again.
    pub(super) fn touch_unsettled(&mut self, touched: &mut Touched) {
        let by_key = &self.plan.audience_by_key;
        touched.audiences.extend(self.user.marked.iter().filter_map(|key| by_key.get(key)));
    }

    fn change_profile(&mut self, message: &Message, touched: &mut Touched) {
        for (kind, identity) in &message.identities {
            let before = match identity {
                Some(text) => self.profile.identities.insert(kind.clone(), text.clone()),
                None => self.profile.identities.remove(kind),
            };
            self.profile_changed |= before != *identity;
        }
        for (name, value) in &message.attributes {
            let before = match value {
                Some(value) => self.profile.attributes.insert(name.clone(), value.clone()),
                None => self.profile.attributes.remove(name),
            };
            if before != *value {
                self.profile_changed = true;
                self.touch_attribute(name, before.as_ref(), value.as_ref(), touched);
            }
        }
    }

    fn touch_attribute(
        &self,
        name: &str,
        before: Option<&Value>,
        after: Option<&Value>,
        touched: &mut Touched,
    ) {
        let Some(feature) = self.plan.by_attribute.get(name) else { return };
        let feature = &self.plan.features[*feature];
        touched.audiences.extend(&feature.readers);
        touched.conditions.extend(feature.conditions.iter().filter(|condition| {
            match &self.plan.conditions[**condition].kind {
                ConditionKind::Compare { comparison, .. } => {
                    comparison.holds(before) != comparison.holds(after)
                }
                ConditionKind::Member(_) => false,
            }
        }));
    }
}
