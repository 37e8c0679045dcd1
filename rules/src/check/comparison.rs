//! Comparisons: `10`, `{ gte: 10, lt: 20 }`.

use super::reader::{Reader, did_you_mean, shown};
use crate::diagnostic::quoted;
use crate::operand::{self, Misfit, OPERATORS, Operand};
use crate::parse::{Content, Entry, Node, Resolved};
use muster_core::{Aggregate, Comparison, Test};
use std::sync::Arc;

const EXAMPLE: &str = "write a value, or an operator and its operand, as in `{ gte: 10 }`";

/// Comparisons of several names, joined by and: `{ amount: { gte: 10 }, currency: USD }`.
pub(super) fn read_all(
    reader: &mut Reader,
    node: &Node,
    what: &str,
) -> Option<Vec<(Arc<str>, Comparison)>> {
    let help = "write a name and a comparison, as in `{ country: US }`";
    let entries = reader.map(node, what, help)?;
    let mut comparisons = Some(Vec::with_capacity(entries.len()));
    for entry in entries {
        let comparison = named(reader, entry, what);
        match (&mut comparisons, comparison) {
            (Some(all), Some(comparison)) => all.push((entry.key.clone().into(), comparison)),
            _ => comparisons = None,
        }
    }
    comparisons
}

fn named(reader: &mut Reader, entry: &Entry, what: &str) -> Option<Comparison> {
    if entry.key.is_empty() {
        reader.report(entry.place, format!("{what} has a name that is empty"), "write a name");
    }
    read(reader, &entry.value, &quoted(&entry.key), None)
}

/// The comparison of a value, or of an aggregate.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    what: &str,
    aggregate: Option<Aggregate>,
) -> Option<Comparison> {
    match &node.content {
        Content::Map(entries) => {
            if entries.is_empty() {
                reader.report(node.place, format!("comparison of {what} is empty"), EXAMPLE);
                return None;
            }
            of_entries(reader, entries.iter(), aggregate)
        }
        Content::List(_) => {
            let message = format!("{what} is compared with a bare list");
            reader.report(node.place, message, "write `{ in: [...] }`");
            None
        }
        Content::Scalar(_) => match operand(node) {
            Operand::Null => {
                let message = format!("{what} is compared with null");
                reader.report(node.place, message, "write `{ exists: false }` for what is missing");
                None
            }
            operand => {
                let test = fit(reader, node, "eq", &operand, aggregate)?;
                Some(Comparison::new(vec![test]))
            }
        },
    }
}

/// The comparison that operators make together.
pub(super) fn of_entries<'a>(
    reader: &mut Reader,
    entries: impl Iterator<Item = &'a Entry>,
    aggregate: Option<Aggregate>,
) -> Option<Comparison> {
    let mut tests = Some(Vec::new());
    for entry in entries {
        let operand = operand(&entry.value);
        let test = if OPERATORS.contains(&&*entry.key) {
            fit(reader, &entry.value, &entry.key, &operand, aggregate)
        } else if &*entry.key == "of" {
            reader.report(entry.place, "`of` stands twice", "write it once, beside the aggregate");
            None
        } else {
            let message = format!("unknown operator {}", quoted(&entry.key));
            reader.report(entry.place, message, operator_help(&entry.key));
            None
        };
        match (&mut tests, test) {
            (Some(tests), Some(test)) => tests.push(test),
            _ => tests = None,
        }
    }
    tests.map(Comparison::new)
}

fn fit(
    reader: &mut Reader,
    node: &Node,
    operator: &str,
    operand: &Operand,
    aggregate: Option<Aggregate>,
) -> Option<Test> {
    let fitted = operand::test(operator, operand)?.and_then(|test| {
        aggregate.map_or(Ok(()), |aggregate| operand::fits(aggregate, &test)).map(|()| test)
    });
    match fitted {
        Ok(test) => Some(test),
        Err(Misfit { message, help }) => {
            reader.report(node.place, message, help);
            None
        }
    }
}

/// Other languages' operators are far from ours by letters.
fn operator_help(written: &str) -> String {
    let meant = match written {
        "=" | "==" | "is" | "equals" => "eq",
        "!=" | "<>" | "is_not" | "not" | "neq" => "ne",
        ">" | "above" | "more_than" | "after" => "gt",
        ">=" | "min" | "at_least" | "ge" => "gte",
        "<" | "below" | "less_than" | "before" => "lt",
        "<=" | "max" | "at_most" | "le" => "lte",
        "one_of" | "any_of" | "any" => "in",
        "none_of" | "nin" => "not_in",
        "regex" | "like" | "match" => "matches",
        "prefix" => "starts_with",
        "suffix" => "ends_with",
        _ => return did_you_mean(written, &OPERATORS),
    };
    format!("did you mean `{meant}`?")
}

fn operand(node: &Node) -> Operand {
    match &node.content {
        Content::Map(_) => Operand::Map,
        Content::List(nodes) => Operand::List(nodes.iter().map(operand).collect()),
        Content::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => Operand::Null,
            Resolved::Boolean(boolean) => Operand::Boolean(boolean),
            Resolved::Number(number) => Operand::Number(number),
            Resolved::NotFinite => Operand::NotFinite,
            Resolved::Text(text) => Operand::Text(text.to_owned()),
        },
    }
}

/// What an aggregate holds beside its comparison: `{ of: amount, gte: 10 }`.
pub(super) fn read_of(
    reader: &mut Reader,
    node: &Node,
    aggregate: Aggregate,
) -> Option<(Arc<str>, Comparison)> {
    let name = aggregate.name();
    let example = format!("write `{name}: {{ gte: 10 }}, of: amount`");
    let Content::Map(entries) = &node.content else {
        let message = format!("`{name}` is {} and has no `of`", shown(node));
        reader.report(node.place, message, example);
        return None;
    };
    let of = entries.iter().find(|entry| &*entry.key == "of");
    let property = match of {
        Some(of) => reader.name(&of.value, "property of `of`").map(Arc::from),
        None => {
            reader.report(node.place, format!("`{name}` has no `of`"), &*example);
            None
        }
    };
    let rest = || entries.iter().filter(|entry| &*entry.key != "of");
    if of.is_some() && rest().next().is_none() {
        reader.report(node.place, format!("comparison of `{name}` is empty"), example);
        return None;
    }
    let comparison = of_entries(reader, rest(), Some(aggregate));
    property.zip(comparison)
}
