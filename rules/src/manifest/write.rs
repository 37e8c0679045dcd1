//! Writing a manifest: the same module, the same bytes.

use super::VERSION;
use crate::span::format_span;
use crate::window::format_time;
use muster_core::{Audience, Comparison, Condition, Feature, Module, Selector, Time, Window};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;

/// The module as JSON on one line; [`read`](super::read) gives it back, provided that no comparison
/// has an operator twice.
pub fn write(module: &Module) -> String {
    let mut tables = Tables::default();
    for condition in &module.conditions {
        if let Condition::Compare { feature, .. } = condition {
            tables.add(feature);
        }
    }
    module.values.iter().for_each(|feature| tables.add(feature));
    let mut out = format!("{{\"manifest\":{VERSION},\"name\":{}", text(&module.name));
    if !module.predicates.is_empty() {
        list(&mut out, "predicates", module.predicates.iter().map(|name| text(name)));
    }
    let selectors = tables.selectors.listed.iter().map(|selector| write_selector(selector));
    list(&mut out, "selectors", selectors);
    let features = tables.features.listed.iter().map(|feature| match feature {
        Feature::Attribute(name) => format!("{{\"attribute\":{}}}", text(name)),
        Feature::Events { selector, .. } => {
            write_feature(feature, &tables.selectors.index(selector).to_string())
        }
    });
    list(&mut out, "features", features);
    let conditions = module.conditions.iter().map(|condition| write_condition(condition, &tables));
    list(&mut out, "conditions", conditions);
    list(&mut out, "values", module.values.iter().map(|feature| tables.features.index(feature)));
    list(&mut out, "audiences", module.audiences.iter().map(write_audience));
    out.push('}');
    out
}

/// Things that are listed once and referred to by index.
struct Table<'a, T> {
    listed: Vec<&'a T>,
    indices: BTreeMap<&'a T, usize>,
}

impl<T> Default for Table<'_, T> {
    fn default() -> Self {
        Table { listed: Vec::new(), indices: BTreeMap::new() }
    }
}

impl<'a, T: Ord> Table<'a, T> {
    /// Lists the thing, if it is new.
    fn add(&mut self, thing: &'a T) -> bool {
        let next = self.listed.len();
        let is_new = *self.indices.entry(thing).or_insert(next) == next;
        if is_new {
            self.listed.push(thing);
        }
        is_new
    }

    fn index(&self, thing: &T) -> usize {
        self.indices.get(thing).copied().unwrap_or_default()
    }
}

#[derive(Default)]
struct Tables<'a> {
    selectors: Table<'a, Selector>,
    features: Table<'a, Feature>,
}

impl<'a> Tables<'a> {
    fn add(&mut self, feature: &'a Feature) {
        if self.features.add(feature)
            && let Feature::Events { selector, .. } = feature
        {
            self.selectors.add(selector);
        }
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list<T: Display>(out: &mut String, key: &str, entries: impl Iterator<Item = T>) {
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
    out.push_str(&bracketed(entries));
}

fn bracketed<T: Display>(entries: impl Iterator<Item = T>) -> String {
    let mut out = String::from("[");
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write!(out, "{entry}").unwrap_or_else(|_| unreachable!("text takes every write"));
    }
    out.push(']');
    out
}

fn write_selector(selector: &Selector) -> String {
    let mut out = format!("{{\"event\":{}", text(selector.event.as_deref().unwrap_or("*")));
    for (key, comparisons) in [("context", selector.context()), ("with", selector.with())] {
        if !comparisons.is_empty() {
            out.push_str(&format!(",\"{key}\":{}", write_comparisons(comparisons)));
        }
    }
    if let Some(predicate) = selector.predicate() {
        out.push_str(&format!(",\"predicate\":{}", text(&predicate.name)));
    }
    out.push('}');
    out
}

/// A name may stand there twice, with comparisons that are joined by and; as keys of an object the
/// names are made one.
fn write_comparisons(comparisons: &[(Arc<str>, Comparison)]) -> String {
    let mut by_name: BTreeMap<&str, Vec<muster_core::Test>> = BTreeMap::new();
    for (name, comparison) in comparisons {
        by_name.entry(name).or_default().extend(comparison.tests().iter().cloned());
    }
    let entries: Vec<String> = by_name
        .into_iter()
        .map(|(name, tests)| format!("{}:{}", text(name), Comparison::new(tests)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn write_feature(feature: &Feature, selector: &str) -> String {
    let Feature::Events { aggregate, of, window, .. } = feature else { return String::new() };
    let mut out = format!("{{\"selector\":{selector},\"aggregate\":\"{}\"", aggregate.name());
    if let Some(of) = of {
        out.push_str(&format!(",\"of\":{}", text(of)));
    }
    out.push_str(&write_window(window));
    out.push('}');
    out
}

fn write_window(window: &Window) -> String {
    let mut out = String::new();
    for (key, span) in [("within", window.within), ("older_than", window.older_than)] {
        if let Some(span) = span {
            out.push_str(&format!(",\"{key}\":\"{}\"", format_span(span)));
        }
    }
    let bounds: Vec<String> = [("from", window.from), ("to", window.to)]
        .into_iter()
        .filter_map(|(key, time)| Some(format!("\"{key}\":{}", write_time(time?))))
        .collect();
    if !bounds.is_empty() {
        out.push_str(&format!(",\"between\":{{{}}}", bounds.join(",")));
    }
    out
}

fn write_time(time: Time) -> String {
    format_time(time).map_or_else(|| time.milliseconds().to_string(), |time| text(&time))
}

fn write_condition(condition: &Condition, tables: &Tables<'_>) -> String {
    match condition {
        Condition::Compare { feature, comparison } => {
            let feature = tables.features.index(feature);
            format!("{{\"feature\":{feature},\"is\":{comparison}}}")
        }
        Condition::Member(id) => format!("{{\"audience\":{}}}", text(id)),
    }
}

fn write_audience(audience: &Audience) -> String {
    let mut out = format!(
        "{{\"id\":{},\"name\":{},\"version\":{}",
        text(&audience.id),
        text(&audience.name),
        text(&audience.version),
    );
    list(&mut out, "conditions", audience.conditions.iter());
    list(&mut out, "values", audience.values.iter());
    for (key, indices) in [("requires", &audience.requires), ("excludes", &audience.excludes)] {
        if !indices.is_empty() {
            list(&mut out, key, indices.iter());
        }
    }
    out.push('}');
    out
}
