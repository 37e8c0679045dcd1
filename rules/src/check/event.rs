//! Event nodes: which events, over which window, how many or how much.

use super::comparison;
use super::reader::{Reader, did_you_mean, shown};
use crate::definition::Rule;
use crate::diagnostic::quoted;
use crate::operand::Misfit;
use crate::parse::{Content, Entry, Node, Place};
use crate::span::parse_span;
use crate::window::{check_window, parse_time};
use muster_core::{Aggregate, Comparison, Condition, Feature, Selector, Span, Test, Time, Window};
use std::sync::Arc;

/// The keys beside `event`.
pub(super) const KEYS: [&str; 14] = [
    "context",
    "with",
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "distinct",
    "first",
    "last",
    "of",
    "within",
    "older_than",
    "between",
];

const OF_HELP: &str = "write what is aggregated, as in `sum: { gte: 10 }, of: amount`";

/// An aggregate, the property that it is of, and what it is compared with.
type Measure = (Aggregate, Option<Arc<str>>, Comparison);

/// The condition of an event node.
pub(super) fn read(reader: &mut Reader, event: &Entry, entries: &[Entry]) -> Option<Rule> {
    let others: Vec<&Entry> = entries.iter().filter(|entry| entry.key != event.key).collect();
    let unknown: Vec<&&Entry> =
        others.iter().filter(|entry| !KEYS.contains(&&*entry.key)).collect();
    for entry in &unknown {
        report_unknown(reader, entry);
    }
    let find = |key: &str| others.iter().find(|entry| &*entry.key == key).copied();
    let name = reader.name(&event.value, "name of `event`");
    let context = find("context")
        .map_or(Some(Vec::new()), |entry| comparison::read_all(reader, &entry.value, "`context`"));
    let with = find("with")
        .map_or(Some(Vec::new()), |entry| comparison::read_all(reader, &entry.value, "`with`"));
    let measure = measure(reader, &others);
    let window = window(reader, event.place, &find);
    reader.conditions += 1;
    let name = Some(name?).filter(|name| *name != "*").map(Arc::from);
    let selector = Arc::new(Selector::new(name, context?, with?));
    let ((aggregate, of, comparison), window) = (measure?, window?);
    if !unknown.is_empty() {
        return None;
    }
    let feature = Feature::Events { selector, aggregate, of, window };
    let condition = Condition::Compare { feature, comparison };
    Some(Rule::Condition(condition, reader.location(event.place)))
}

fn report_unknown(reader: &mut Reader, entry: &Entry) {
    let help = match &*entry.key {
        "properties" | "property" | "where" => "did you mean `with`?".to_owned(),
        "average" | "mean" => "did you mean `avg`?".to_owned(),
        "unique" => "did you mean `distinct`?".to_owned(),
        "last_days" | "in_the_last" | "window" => "did you mean `within`?".to_owned(),
        other => did_you_mean(other, &KEYS),
    };
    reader.report(entry.place, format!("unknown key {}", quoted(&entry.key)), help);
}

fn measure(reader: &mut Reader, entries: &[&Entry]) -> Option<Measure> {
    let mut found = entries.iter().filter_map(|entry| {
        let aggregate = Aggregate::ALL.into_iter().find(|a| a.name() == &*entry.key)?;
        Some((aggregate, entry))
    });
    let beside = entries.iter().find(|entry| &*entry.key == "of");
    let Some((aggregate, entry)) = found.next() else {
        if let Some(of) = beside {
            reader.report(of.place, "`of` stands without an aggregate", OF_HELP);
            return None;
        }
        let once = Comparison::new(vec![Test::GreaterOrEqual(1.into())]);
        return Some((Aggregate::Count, None, once));
    };
    if let Some((other, second)) = found.next() {
        let message =
            format!("event is measured by both `{}` and `{}`", aggregate.name(), other.name());
        let help = "write two event nodes and join them with `all`";
        reader.report(second.place, message, help);
        return None;
    }
    if aggregate == Aggregate::Count {
        let inside = match &entry.value.content {
            Content::Map(entries) => entries.iter().find(|entry| &*entry.key == "of"),
            Content::Scalar(_) | Content::List(_) => None,
        };
        if let Some(of) = inside.or(beside.copied()) {
            let help = "remove it; `distinct` counts the values of a property";
            reader.report(of.place, "`count` takes no `of`", help);
            return None;
        }
        let comparison = comparison::read(reader, &entry.value, "`count`", Some(aggregate))?;
        return Some((aggregate, None, comparison));
    }
    let (of, comparison) = match beside {
        Some(of) => {
            let property = reader.name(&of.value, "property of `of`").map(Arc::from);
            let what = format!("`{}`", aggregate.name());
            let comparison = comparison::read(reader, &entry.value, &what, Some(aggregate));
            property.zip(comparison)?
        }
        None => comparison::read_of(reader, &entry.value, aggregate)?,
    };
    Some((aggregate, Some(of), comparison))
}

fn window<'a>(
    reader: &mut Reader,
    place: Place,
    find: &impl Fn(&str) -> Option<&'a Entry>,
) -> Option<Window> {
    let mut read_span =
        |key: &str| find(key).map_or(Some(None), |entry| span(reader, entry).map(Some));
    let (within, older_than) = (read_span("within"), read_span("older_than"));
    let between = find("between").map_or(Some((None, None)), |entry| between(reader, &entry.value));
    let (from, to) = between?;
    let window = Window { within: within?, older_than: older_than?, from, to };
    match check_window(&window) {
        Ok(()) => Some(window),
        Err((key, Misfit { message, help })) => {
            let place = find(key).map_or(place, |entry| entry.place);
            reader.report(place, message, help);
            None
        }
    }
}

fn span(reader: &mut Reader, entry: &Entry) -> Option<Span> {
    let Content::Scalar(scalar) = &entry.value.content else {
        let message = format!("`{}` is {}", entry.key, shown(&entry.value));
        reader.report(entry.value.place, message, "write a length of time, as in `30d`");
        return None;
    };
    match parse_span(&scalar.text) {
        Ok(span) => Some(span),
        Err(error) => {
            reader.report(entry.value.place, error.message(), error.help());
            None
        }
    }
}

fn between(reader: &mut Reader, node: &Node) -> Option<(Option<Time>, Option<Time>)> {
    let help = "write `between: { from: 2026-01-01, to: 2026-02-01 }`";
    let entries = reader.map(node, "`between`", help)?;
    let allowed = ["from", "to"];
    let mut is_good = true;
    for entry in entries.iter().filter(|entry| !allowed.contains(&&*entry.key)) {
        is_good = false;
        let message = format!("unknown key {}", quoted(&entry.key));
        reader.report(entry.place, message, did_you_mean(&entry.key, &allowed));
    }
    let [from, to] = allowed.map(|key| {
        let Some(entry) = entries.iter().find(|entry| &*entry.key == key) else {
            reader.report(node.place, format!("`between` has no key `{key}`"), help);
            return None;
        };
        time(reader, &entry.value, key)
    });
    (is_good && from.is_some() && to.is_some()).then_some((from, to))
}

fn time(reader: &mut Reader, node: &Node, key: &str) -> Option<Time> {
    let Content::Scalar(scalar) = &node.content else {
        let message = format!("`{key}` is {}", shown(node));
        reader.report(node.place, message, "write `2026-01-03` or `2026-01-03T09:00:00Z`");
        return None;
    };
    match parse_time(&scalar.text) {
        Ok(time) => Some(time),
        Err(Misfit { message, help }) => {
            reader.report(node.place, message, help);
            None
        }
    }
}
