//! Random definitions, as YAML.

use super::{BEGINNING_MS, CONTEXT_KEYS, NAMES, PROPERTIES, TEXTS, UNITS_MAX, Unit};
use muster::decode::format_time;
use muster_core::Time;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

/// How many audiences a case has at the most.
const AUDIENCES_MAX: usize = 6;
/// How deep rules nest.
const DEPTH: u32 = 3;

/// A file of definitions. Audiences refer only to those before them, so there is no cycle.
pub fn definitions(unit: Unit) -> impl Strategy<Value = String> {
    let rules =
        vec((rule(unit), weighted(0.3, (0..AUDIENCES_MAX, any::<bool>()))), 1..=AUDIENCES_MAX);
    rules.prop_map(|rules| {
        let mut yaml = "audiences:\n".to_string();
        for (index, (rule, reference)) in rules.into_iter().enumerate() {
            // Ids descend, so that the order of dependency is not the order of ids.
            let id = |index: usize| format!("a{}", AUDIENCES_MAX - index);
            let rule = match reference {
                Some((to, negated)) if index > 0 => {
                    let member = format!("{{audience: {}}}", id(to % index));
                    let member = if negated { format!("{{not: {member}}}") } else { member };
                    format!("{{all: [{rule}, {member}]}}")
                }
                _ => rule,
            };
            yaml.push_str(&format!("  - id: {}\n    where: {rule}\n", id(index)));
        }
        yaml
    })
}

fn rule(unit: Unit) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![6 => event(unit), 1 => profile()];
    leaf.prop_recursive(DEPTH, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|rules| format!("{{all: [{}]}}", rules.join(", "))),
            vec(inner.clone(), 1..4).prop_map(|rules| format!("{{any: [{}]}}", rules.join(", "))),
            inner.prop_map(|rule| format!("{{not: {rule}}}")),
        ]
    })
}

fn event(unit: Unit) -> impl Strategy<Value = String> {
    let name = prop_oneof![8 => select(&NAMES[..]), 1 => Just("\"*\"")];
    let context = weighted(0.2, (select(&CONTEXT_KEYS[..]), comparison(false)));
    let with = weighted(0.3, (select(&PROPERTIES[..]), comparison(false)));
    (name, context, with, aggregate(), window(unit)).prop_map(
        |(name, context, with, aggregate, window)| {
            let mut node = format!("{{event: {name}");
            for (label, keys) in [("context", context), ("with", with)] {
                if let Some((key, comparison)) = keys {
                    node.push_str(&format!(", {label}: {{{key}: {comparison}}}"));
                }
            }
            node + &aggregate + &window + "}"
        },
    )
}

fn profile() -> impl Strategy<Value = String> {
    (select(&PROPERTIES[..]), comparison(false))
        .prop_map(|(name, comparison)| format!("{{profile: {{{name}: {comparison}}}}}"))
}

fn aggregate() -> impl Strategy<Value = String> {
    let numeric = (select(&["sum", "min", "max", "avg"][..]), comparison(true));
    let value = (select(&["first", "last"][..]), comparison(false));
    let of = || select(&PROPERTIES[..]);
    prop_oneof![
        1 => Just(String::new()),
        4 => whole_comparison().prop_map(|comparison| format!(", count: {comparison}")),
        2 => (of(), whole_comparison()).prop_map(|(of, c)| format!(", distinct: {{of: {of}, {}", &c[1..])),
        4 => (of(), numeric).prop_map(|(of, (name, c))| format!(", {name}: {{of: {of}, {}", &c[1..])),
        2 => (of(), value).prop_map(|(of, (name, c))| format!(", {name}: {{of: {of}, {}", &c[1..])),
    ]
}

fn window(unit: Unit) -> impl Strategy<Value = String> {
    let within = weighted(0.8, 1..UNITS_MAX / 3);
    let older_than = weighted(0.25, 1..UNITS_MAX / 4);
    let between = weighted(0.15, (0..UNITS_MAX, 1..UNITS_MAX));
    (within, older_than, between).prop_map(move |(within, older_than, between)| {
        let older_than = older_than.filter(|older| within.is_none_or(|within| *older < within));
        let mut window = String::new();
        for (label, length) in [("within", within), ("older_than", older_than)] {
            if let Some(length) = length {
                window.push_str(&format!(", {label}: {length}{}", unit.name));
            }
        }
        if let Some((from, length)) = between {
            let at = |units: i64| {
                let time = Time::from_milliseconds(BEGINNING_MS + units * unit.length_ms);
                format_time(time.unwrap_or(Time::MAX))
            };
            let (from, to) = (at(from), at(from + length));
            window.push_str(&format!(", between: {{from: \"{from}\", to: \"{to}\"}}"));
        }
        window
    })
}

/// A comparison with small whole numbers: `{gte: 2}`.
fn whole_comparison() -> impl Strategy<Value = String> {
    let operator = select(&["eq", "ne", "gt", "gte", "lt", "lte"][..]);
    prop_oneof![
        6 => (operator, 0..6).prop_map(|(operator, number)| format!("{{{operator}: {number}}}")),
        1 => (0..4, 1..6).prop_map(|(low, more)| format!("{{gte: {low}, lt: {}}}", low + more)),
        1 => vec(0..6, 1..3).prop_map(|list| format!("{{in: {list:?}}}")),
    ]
}

/// A comparison with numbers close to those of events, or with anything.
fn comparison(numeric: bool) -> BoxedStrategy<String> {
    let number = || select(&["-3", "-1", "0", "1", "2", "2.5", "3", "3.0", "4", "6", "10"][..]);
    let order = select(&["gt", "gte", "lt", "lte"][..]);
    let equal = || select(&["eq", "ne"][..]);
    let list = || select(&["in", "not_in"][..]);
    let numbers = prop_oneof![
        5 => (order, number()).prop_map(|(o, n)| format!("{{{o}: {n}}}")),
        2 => (equal(), number()).prop_map(|(o, n)| format!("{{{o}: {n}}}")),
        1 => (list(), number(), number()).prop_map(|(o, a, b)| format!("{{{o}: [{a}, {b}]}}")),
        1 => (number(), number()).prop_map(|(a, b)| format!("{{gte: {a}, ne: {b}}}")),
    ];
    if numeric {
        return numbers.boxed();
    }
    let exists = any::<bool>().prop_map(|exists| format!("{{exists: {exists}}}"));
    let text = || select(&TEXTS[..]);
    let part = || select(&["r", "R", "e", "en te", "3", ""][..]);
    let parts = select(
        &[
            "contains",
            "not_contains",
            "starts_with",
            "not_starts_with",
            "ends_with",
            "not_ends_with",
        ][..],
    );
    let pattern = select(&["^[Rr]ed$", "e+", "\\\\d", "tea$"][..]);
    let matches = select(&["matches", "not_matches"][..]);
    prop_oneof![
        4 => numbers,
        2 => exists,
        1 => (equal(), text()).prop_map(|(o, t)| format!("{{{o}: \"{t}\"}}")),
        1 => (equal(), any::<bool>()).prop_map(|(o, b)| format!("{{{o}: {b}}}")),
        1 => (list(), text(), number()).prop_map(|(o, t, n)| format!("{{{o}: [\"{t}\", {n}, true]}}")),
        1 => (parts, part()).prop_map(|(o, t)| format!("{{{o}: \"{t}\"}}")),
        1 => (matches, pattern).prop_map(|(o, p)| format!("{{{o}: \"{p}\"}}")),
    ]
    .boxed()
}
