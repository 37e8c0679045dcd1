//! Crossing into rule modules: each at most once an evaluation, after those it refers to.

use super::Session;
use super::evaluate::Findings;
use crate::codec::Damaged;
use crate::decide::Question;
use crate::retry::Retry;
use crate::time::Time;
use crate::transition::Change;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Audiences to decide, by module, in the order of modules.
type Pending = BTreeMap<usize, Vec<usize>>;

impl Session<'_> {
    /// Decides the audiences, and those that refer to one that changed. Gives what changed; nothing
    /// while history is needed.
    ///
    /// A user never seen starts from what holds of a user of whom nothing is known, so that what
    /// refers to an audience that she is not in after all is decided too.
    pub(super) fn decide_all(
        &mut self,
        audiences: Vec<usize>,
        findings: &mut Findings,
        at: Time,
    ) -> Result<Vec<(usize, Change)>, Damaged> {
        let plan = self.plan;
        if !self.known {
            let baseline = plan.baseline.iter().filter(|audience| !self.stuck.contains(audience));
            let baseline = baseline.map(|audience| (plan.audiences[*audience].key, at));
            self.profile.memberships = baseline.collect();
        }
        let mut pending = Pending::new();
        for audience in audiences {
            if self.stuck.contains(&audience) {
                continue;
            }
            // Who is not in and is kept out stays so. When a reference changes that, it says so.
            let is_in = self.profile.memberships.since(plan.watch.audience_key(audience)).is_some();
            if is_in || !self.is_ruled_out(audience, findings, at)? {
                pending.entry(plan.audiences[audience].module).or_default().push(audience);
            }
        }
        let mut flipped: Vec<(usize, Option<Time>)> = Vec::new();
        while let Some((module, asked)) = pending.pop_first() {
            for (audience, is_in) in self.ask(module, asked, findings, at)? {
                let plan = &plan.audiences[audience];
                if is_in == self.profile.memberships.since(plan.key).is_some() {
                    continue;
                }
                // Later modules see the change at once; transitions are noted when all is decided.
                flipped.push((audience, self.set_member(audience, is_in.then_some(at))));
                for referrer in &plan.referrers {
                    let module = self.plan.audiences[*referrer].module;
                    pending.entry(module).or_default().push(*referrer);
                }
            }
            if !self.needs.is_empty() {
                break;
            }
        }
        if !self.known {
            let members = std::mem::take(&mut self.profile.memberships);
            let index = |key| plan.audience_by_key.get(&key).map(|at| (*at, Change::Entered));
            return Ok(members.iter().filter_map(|(key, _)| index(key)).collect());
        }
        for (audience, since) in &flipped {
            self.set_member(*audience, *since);
        }
        let change = |before: Option<Time>| match before {
            Some(_) => Change::Left,
            None => Change::Entered,
        };
        Ok(flipped.into_iter().map(|(audience, before)| (audience, change(before))).collect())
    }

    /// Sets since when the user is a member, if she is. Gives what it was.
    fn set_member(&mut self, audience: usize, since: Option<Time>) -> Option<Time> {
        self.profile.memberships.set(self.plan.audiences[audience].key, since)
    }

    /// The module's decisions; none when it failed, or while history is needed.
    fn ask(
        &mut self,
        module: usize,
        mut asked: Vec<usize>,
        findings: &mut Findings,
        at: Time,
    ) -> Result<Vec<(usize, bool)>, Damaged> {
        let plan = self.plan;
        asked.sort_unstable_by_key(|audience| plan.audiences[*audience].local);
        asked.dedup();
        asked.retain(|audience| !self.stuck.contains(audience));
        let mut decided = Vec::new();
        let mut rest = Vec::with_capacity(asked.len());
        for audience in asked {
            match self.is_ruled_out(audience, findings, at)? {
                true => decided.push((audience, false)),
                false => rest.push(audience),
            }
        }
        if !rest.is_empty() {
            decided.extend(self.ask_module(module, &rest, findings, at)?);
        }
        Ok(decided)
    }

    /// Whether an essential condition already tells, without any history, that the user is not in.
    fn is_ruled_out(
        &mut self,
        audience: usize,
        findings: &mut Findings,
        at: Time,
    ) -> Result<bool, Damaged> {
        let essentials = || self.plan.watch.essentials(audience);
        let is_absent =
            |(condition, truth)| self.without_series(condition).is_some_and(|told| told != truth);
        let mut is_out = essentials().any(is_absent);
        for (condition, truth) in self.plan.watch.essentials(audience) {
            if is_out {
                break;
            }
            is_out = self.told(condition, findings, at)?.is_some_and(|told| told != truth);
        }
        if is_out {
            self.report.ruled_out += 1;
            self.settle(audience);
        }
        Ok(is_out)
    }

    /// What was decided after all is marked no more.
    fn settle(&mut self, audience: usize) {
        let key = self.plan.watch.audience_key(audience);
        self.user.marked.retain(|marked| *marked != key);
    }

    /// Sets when the user is decided again in what is marked, after an evaluation at that instant.
    pub(super) fn set_retry(&mut self, at: Time) {
        let failures = self.report.failures.len();
        let failed = failures > std::mem::replace(&mut self.failures_met, failures);
        self.user.retry = match self.user.retry {
            _ if self.user.marked.is_empty() => None,
            before if failed => Retry::after(before, at),
            before => before.filter(|retry| retry.due() > at),
        };
    }

    fn ask_module(
        &mut self,
        module: usize,
        asked: &[usize],
        findings: &mut Findings,
        at: Time,
    ) -> Result<Vec<(usize, bool)>, Damaged> {
        let plan = self.plan;
        let mut conditions: Vec<u32> = Vec::new();
        let mut values: Vec<Option<Value>> = vec![None; plan.modules[module].values];
        for audience in asked {
            for (local, condition) in &plan.audiences[*audience].conditions {
                if self.holds(*condition, findings, at)? {
                    conditions.push(*local);
                }
            }
            for (local, feature) in &plan.audiences[*audience].values {
                values[*local as usize] = self.value(*feature, findings, at)?;
            }
        }
        if !self.needs.is_empty() {
            return Ok(Vec::new());
        }
        // What history was read for may have failed for some of them.
        let rest: Vec<usize> =
            asked.iter().copied().filter(|audience| !self.stuck.contains(audience)).collect();
        if rest.len() < asked.len() {
            return match rest.is_empty() {
                true => Ok(Vec::new()),
                false => self.ask_module(module, &rest, findings, at),
            };
        }
        conditions.sort_unstable();
        conditions.dedup();
        Ok(self.cross(module, asked, &conditions, &values))
    }

    /// Calls the module. When it fails, the user keeps her memberships in what was asked, and is
    /// marked, so that it is asked again.
    pub(super) fn cross(
        &mut self,
        module: usize,
        asked: &[usize],
        conditions: &[u32],
        values: &[Option<Value>],
    ) -> Vec<(usize, bool)> {
        let plan = self.plan;
        let audiences: Vec<u32> = asked.iter().map(|a| plan.audiences[*a].local).collect();
        let question = Question {
            module: plan.modules[module].origin,
            audiences: &audiences,
            conditions,
            values,
        };
        self.report.crossings += 1;
        let answer = self.decide.decide(question);
        let keys = || asked.iter().map(|a| plan.audiences[*a].key);
        if !self.user.marked.is_empty() {
            self.user.marked.retain(|marked| !keys().any(|key| key == *marked));
        }
        match answer {
            Ok(decisions) => {
                self.report.decisions += decisions.len() as u64;
                asked.iter().copied().zip(decisions).collect()
            }
            Err(error) => {
                asked.iter().for_each(|audience| self.mark(*audience, &error.reason));
                Vec::new()
            }
        }
    }

    /// Marks an audience that could not be decided, and reports why. The user keeps her membership;
    /// one never seen has none.
    pub(super) fn mark(&mut self, audience: usize, reason: &Arc<str>) {
        let plan = &self.plan.audiences[audience];
        if !self.known {
            self.profile.memberships.set(plan.key, None);
        }
        if !self.user.marked.contains(&plan.key) {
            self.user.marked.push(plan.key);
        }
        self.report.failures.push((plan.id.clone(), reason.clone()));
    }
}
