//! References between audiences: all known, none in a circle.

use crate::definition::{Definition, Location, Rule};
use crate::diagnostic::{Diagnostic, nearest};
use muster_core::Condition;
use std::collections::HashMap;
use std::sync::Arc;

/// Audiences of a cycle that a message names; more would hide the message.
const CYCLE_SHOWN_MAX: usize = 8;
/// Ids that an unknown one is compared with, so that many unknown ones in many audiences do not
/// take the product of both.
const COMPARED_IDS_MAX: usize = 20_000;

/// Reports references to unknown audiences, and circles of references.
pub(super) fn check(
    audiences: &[Definition],
    declared: &HashMap<Arc<str>, Location>,
    complete: bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut known: Vec<&str> = declared.keys().map(|id| &**id).collect();
    known.sort_unstable();
    known.truncate(COMPARED_IDS_MAX);
    let mut asked: HashMap<&str, String> = HashMap::new();
    for (id, location) in audiences.iter().flat_map(|audience| references(&audience.rule)) {
        // What a file that can't be read defines, nobody knows.
        if declared.contains_key(id) || !complete {
            continue;
        }
        let help = asked.entry(id).or_insert_with(|| match nearest(id, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "define it, or refer to another".to_owned(),
        });
        diagnostics.push(Diagnostic {
            location: location.clone(),
            message: format!("unknown audience `{id}`"),
            help: help.clone(),
        });
    }
    walk(audiences, &mut |cycle, location| {
        let mut shown: Vec<&str> = cycle.to_vec();
        if shown.len() > CYCLE_SHOWN_MAX {
            shown.truncate(CYCLE_SHOWN_MAX);
            shown.push("…");
        }
        shown.push(cycle[0]);
        diagnostics.push(Diagnostic {
            location: location.clone(),
            message: format!("audience refers to itself: `{}`", shown.join(" → ")),
            help: "remove one of these references".to_owned(),
        });
    });
}

/// The audiences that a rule refers to, and where.
fn references(rule: &Rule) -> Vec<(&str, &Location)> {
    let mut found = Vec::new();
    let mut rest = vec![rule];
    while let Some(rule) = rest.pop() {
        match rule {
            Rule::All(rules) | Rule::Any(rules) => rest.extend(rules.iter().rev()),
            Rule::Not(rule) => rest.push(rule),
            Rule::Condition(Condition::Member(id), location) => found.push((&**id, location)),
            Rule::Condition(Condition::Compare { .. }, _) => {}
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Walks references depth first, without calling itself, since chains may be as long as there are
/// audiences, and gives each cycle it meets with the reference that closes it.
fn walk(audiences: &[Definition], on_cycle: &mut dyn FnMut(&[&str], &Location)) {
    let by_id: HashMap<&str, usize> =
        audiences.iter().enumerate().map(|(at, audience)| (&*audience.id, at)).collect();
    let mut marks = vec![Mark::New; audiences.len()];
    for start in 0..audiences.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, references(&audiences[start].rule).into_iter())];
        while let Some((at, rest)) = path.last_mut() {
            let Some((id, location)) = rest.next() else {
                marks[*at] = Mark::Done;
                path.pop();
                continue;
            };
            let Some(&next) = by_id.get(id) else { continue };
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, references(&audiences[next].rule).into_iter()));
                }
                Mark::Open => {
                    let from = path.iter().position(|(at, _)| *at == next).unwrap_or(0);
                    let cycle: Vec<&str> =
                        path[from..].iter().map(|(at, _)| &*audiences[*at].id).collect();
                    on_cycle(&cycle, location);
                }
            }
        }
    }
}
