//! Logical reduction: the smallest rule, within reason, that says the same.
//!
//! A rule becomes a formula in negation normal form over its distinct conditions. Nesting is
//! flattened; repeated, implied and contradictory parts go (idempotence, complement, absorption,
//! unit resolution). Which negations are cheapest to compute is left to the compiler.

use crate::definition::{Location, Rule};
use muster_core::Condition;
use std::collections::BTreeMap;
use std::sync::Arc;

mod literal;
#[cfg(test)]
mod tests;

pub(crate) use literal::text;

/// A reduced rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reduced {
    /// The conditions that the formula speaks of, by its index, in the order of their texts.
    pub(crate) conditions: Vec<Placed>,
    /// What must hold of them.
    pub(crate) formula: Formula,
}

/// A condition and where it was first written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) condition: Condition,
    /// The condition as canonical text: equal for equal conditions, and for no others.
    pub(crate) text: Arc<str>,
    pub(crate) location: Location,
}

/// A Boolean formula whose only negations are those of conditions. Joined parts are sorted and
/// distinct.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Formula {
    Literal { condition: u32, negated: bool },
    Join(Junction, Vec<Formula>),
}

/// How parts are joined. All of nothing is true, any of nothing is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Junction {
    All,
    Any,
}

/// Joined parts up to which each is compared with each other, so that a very long list costs
/// linear time; longer ones lose only that kind of absorption.
const COMPARED_PARTS_MAX: usize = 128;

struct Occurrence<'a> {
    condition: Condition,
    negated: bool,
    text: Arc<str>,
    location: &'a Location,
}

/// The reduced form of a rule.
pub(crate) fn reduce(rule: &Rule) -> Reduced {
    let mut occurrences = Vec::new();
    collect(rule, &mut occurrences);
    let mut first: BTreeMap<Arc<str>, &Occurrence<'_>> = BTreeMap::new();
    for occurrence in &occurrences {
        first.entry(occurrence.text.clone()).or_insert(occurrence);
    }
    let ranks = first.keys().zip(0u32..).collect::<BTreeMap<_, _>>();
    let mut literals = occurrences.iter().map(|occurrence| Formula::Literal {
        condition: ranks[&occurrence.text],
        negated: occurrence.negated,
    });
    let formula = build(rule, false, &mut literals);
    let placed = first.values().map(|occurrence| Placed {
        condition: occurrence.condition.clone(),
        text: occurrence.text.clone(),
        location: occurrence.location.clone(),
    });
    keep_used(placed.collect(), formula)
}

fn collect<'a>(rule: &'a Rule, out: &mut Vec<Occurrence<'a>>) {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().for_each(|rule| collect(rule, out)),
        Rule::Not(rule) => collect(rule, out),
        Rule::Condition(condition, location) => {
            let (condition, negated) = literal::positive(condition);
            let text = text(&condition).into();
            out.push(Occurrence { condition, negated, text, location });
        }
    }
}

/// Reduces bottom up, with negations pushed down; takes literals in the order of [`collect`].
fn build(rule: &Rule, negated: bool, literals: &mut impl Iterator<Item = Formula>) -> Formula {
    let (junction, rules) = match rule {
        Rule::Not(rule) => return build(rule, !negated, literals),
        Rule::Condition(..) => {
            let Some(literal) = literals.next() else {
                unreachable!("a literal was collected for every condition");
            };
            return if negated { literal.complement() } else { literal };
        }
        Rule::All(rules) => (Junction::All, rules),
        Rule::Any(rules) => (Junction::Any, rules),
    };
    let junction = if negated { junction.dual() } else { junction };
    join(junction, rules.iter().map(|rule| build(rule, negated, literals)).collect())
}

/// Joins reduced parts into a reduced formula.
fn join(junction: Junction, mut parts: Vec<Formula>) -> Formula {
    loop {
        let Some(flat) = flatten(junction, parts) else {
            return Formula::Join(junction.dual(), Vec::new());
        };
        let (shrunk, changed) = shrink(junction, &flat);
        if changed {
            parts = shrunk;
            continue;
        }
        return match <[Formula; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(flat) => Formula::Join(junction, flat),
        };
    }
}

/// Sorted, distinct parts without any of the same junction; nothing when they contradict (or, for
/// any, exhaust) each other.
fn flatten(junction: Junction, parts: Vec<Formula>) -> Option<Vec<Formula>> {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Formula::Join(inner, parts) if inner == junction => flat.extend(parts),
            Formula::Join(_, parts) if parts.is_empty() => return None,
            part => flat.push(part),
        }
    }
    flat.sort();
    flat.dedup();
    let contradicts = flat.iter().any(|part| flat.binary_search(&part.complement()).is_ok());
    (!contradicts).then_some(flat)
}

/// Drops what the siblings imply. A part is only ever dropped or shortened because of a smaller
/// one, so doing all at once is sound.
fn shrink(junction: Junction, parts: &[Formula]) -> (Vec<Formula>, bool) {
    let mut shrunk = Vec::with_capacity(parts.len());
    let mut changed = false;
    for part in parts {
        let Formula::Join(_, inner) = part else {
            shrunk.push(part.clone());
            continue;
        };
        if is_absorbed(part, inner, parts) {
            changed = true;
            continue;
        }
        let left: Vec<Formula> = inner
            .iter()
            .filter(|inner| parts.binary_search(&inner.complement()).is_err())
            .cloned()
            .collect();
        if left.len() == inner.len() {
            shrunk.push(part.clone());
        } else {
            changed = true;
            shrunk.push(join(junction.dual(), left));
        }
    }
    (shrunk, changed)
}

fn is_absorbed(part: &Formula, inner: &[Formula], siblings: &[Formula]) -> bool {
    if inner.iter().any(|inner| siblings.binary_search(inner).is_ok()) {
        return true;
    }
    siblings.len() <= COMPARED_PARTS_MAX
        && siblings.iter().any(|sibling| match sibling {
            Formula::Join(_, other) => sibling != part && is_subset(other, inner),
            Formula::Literal { .. } => false,
        })
}

fn is_subset(small: &[Formula], large: &[Formula]) -> bool {
    small.len() < large.len() && small.iter().all(|part| large.binary_search(part).is_ok())
}

fn keep_used(placed: Vec<Placed>, mut formula: Formula) -> Reduced {
    let mut used = vec![false; placed.len()];
    formula.each_condition(&mut |condition| used[*condition as usize] = true);
    let mut next = 0;
    let numbers: Vec<u32> = used
        .iter()
        .map(|used| {
            let number = next;
            next += u32::from(*used);
            number
        })
        .collect();
    formula.each_condition(&mut |condition| *condition = numbers[*condition as usize]);
    let kept = placed.into_iter().zip(used).filter_map(|(placed, used)| used.then_some(placed));
    Reduced { conditions: kept.collect(), formula }
}

impl Junction {
    /// What it becomes under negation.
    pub(crate) fn dual(self) -> Junction {
        match self {
            Junction::All => Junction::Any,
            Junction::Any => Junction::All,
        }
    }
}

impl Formula {
    /// The formula that holds when this one does not.
    pub(crate) fn complement(&self) -> Formula {
        match self {
            Formula::Literal { condition, negated } => {
                Formula::Literal { condition: *condition, negated: !negated }
            }
            Formula::Join(junction, parts) => {
                let mut parts: Vec<Formula> = parts.iter().map(Formula::complement).collect();
                parts.sort();
                Formula::Join(junction.dual(), parts)
            }
        }
    }

    /// The conditions without which the formula is false, and those with which it is, ascending.
    pub(crate) fn essentials(&self) -> (Vec<u32>, Vec<u32>) {
        let parts = match self {
            Formula::Join(Junction::All, parts) => parts.as_slice(),
            formula => std::slice::from_ref(formula),
        };
        let literals = |wanted: bool| {
            let of_sign = parts.iter().filter_map(move |part| match part {
                Formula::Literal { condition, negated } if *negated == wanted => Some(*condition),
                _ => None,
            });
            let mut conditions: Vec<u32> = of_sign.collect();
            conditions.sort_unstable();
            conditions
        };
        (literals(false), literals(true))
    }

    /// Visits the index of every literal. The visitor may renumber them in a way that keeps their
    /// order.
    pub(crate) fn each_condition(&mut self, visit: &mut impl FnMut(&mut u32)) {
        match self {
            Formula::Literal { condition, .. } => visit(condition),
            Formula::Join(_, parts) => {
                parts.iter_mut().for_each(|part| part.each_condition(visit));
            }
        }
    }
}
