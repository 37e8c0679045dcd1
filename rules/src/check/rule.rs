//! Rules: nodes of exactly one kind.

use super::reader::Reader;
use super::{comparison, event};
use crate::definition::Rule;
use crate::diagnostic::quoted;
use crate::parse::{Content, Entry, Node};
use muster_core::{Condition, Feature};

/// The kinds of nodes.
const KINDS: [&str; 6] = ["all", "any", "not", "event", "profile", "audience"];
/// How deep rules nest. Deeper ones are unreadable, and everything that walks a rule calls itself.
const DEPTH_MAX: usize = 64;
/// Conditions of one audience: its code must stay a function that compiles in no time.
const CONDITIONS_MAX: usize = 10_000;

/// The rule of an audience.
pub(super) fn read(reader: &mut Reader, node: &Node) -> Option<Rule> {
    reader.conditions = 0;
    let rule = read_at(reader, node, 1);
    if reader.conditions > CONDITIONS_MAX {
        let message =
            format!("rule has {} conditions, more than {CONDITIONS_MAX}", reader.conditions);
        let help = "move a part into an audience of its own, or write a list with `in`";
        reader.report(node.place, message, help);
        return None;
    }
    rule
}

fn read_at(reader: &mut Reader, node: &Node, depth: usize) -> Option<Rule> {
    if depth > DEPTH_MAX {
        let message = format!("rules nest deeper than {DEPTH_MAX} levels");
        let help = "move a part into an audience of its own and refer to it with `audience`";
        reader.report(node.place, message, help);
        return None;
    }
    if let Content::List(_) = &node.content {
        reader.report(node.place, "rule is a bare list", "write `all:` or `any:` before it");
        return None;
    }
    let help = "write one of `all`, `any`, `not`, `event`, `profile`, `audience`";
    let entries = reader.map(node, "rule", help)?;
    let entry = kind(reader, node, entries)?;
    let rule = match &*entry.key {
        "event" => event::read(reader, entry, entries),
        "all" => children(reader, entry, depth).map(Rule::All),
        "any" => children(reader, entry, depth).map(Rule::Any),
        "not" => read_not(reader, entry, depth),
        "profile" => profile(reader, entry),
        _ => audience(reader, entry),
    };
    if &*entry.key == "event" {
        return rule;
    }
    let mut is_alone = true;
    for other in entries.iter().filter(|other| other.key != entry.key) {
        is_alone = false;
        if event::KEYS.contains(&&*other.key) {
            let message = format!("`{}` stands without `event`", other.key);
            reader.report(other.place, message, "write it beside the `event` it is about");
        } else {
            let help = format!("remove it; a node of `{}` holds nothing else", entry.key);
            reader.report(other.place, format!("unknown key {}", quoted(&other.key)), help);
        }
    }
    rule.filter(|_| is_alone)
}

/// The entry that says what kind of node it is.
fn kind<'a>(reader: &mut Reader, node: &Node, entries: &'a [Entry]) -> Option<&'a Entry> {
    let mut kinds = entries.iter().filter(|entry| KINDS.contains(&&*entry.key));
    let Some(first) = kinds.next() else {
        for entry in entries {
            if event::KEYS.contains(&&*entry.key) {
                let message = format!("`{}` stands without `event`", entry.key);
                reader.report(entry.place, message, "write `event:` and a name beside it");
            } else {
                reader.unknown_key(entry, &KINDS);
            }
        }
        return None;
    };
    if let Some(second) = kinds.next() {
        let message = format!("node is both `{}` and `{}`", first.key, second.key);
        let help = "write two nodes and join them with `all` or `any`";
        reader.report(node.place, message, help);
        return None;
    }
    Some(first)
}

fn children(reader: &mut Reader, entry: &Entry, depth: usize) -> Option<Vec<Rule>> {
    let what = format!("`{}`", entry.key);
    let help = format!("write a list of rules, as in `{}: [{{ event: purchase }}]`", entry.key);
    let nodes = reader.list(&entry.value, &what, &help)?;
    let rules: Vec<Option<Rule>> =
        nodes.iter().map(|node| read_at(reader, node, depth + 1)).collect();
    rules.into_iter().collect()
}

fn read_not(reader: &mut Reader, entry: &Entry, depth: usize) -> Option<Rule> {
    if let Content::List(_) = &entry.value.content {
        let help = "write one rule, or `not: { any: [...] }`";
        reader.report(entry.value.place, "`not` takes one rule, not a list", help);
        return None;
    }
    Some(Rule::Not(Box::new(read_at(reader, &entry.value, depth + 1)?)))
}

fn profile(reader: &mut Reader, entry: &Entry) -> Option<Rule> {
    let comparisons = comparison::read_all(reader, &entry.value, "`profile`")?;
    reader.conditions += comparisons.len();
    let Content::Map(written) = &entry.value.content else { return None };
    let mut rules: Vec<Rule> = comparisons
        .into_iter()
        .zip(written)
        .map(|((attribute, comparison), written)| {
            let feature = Feature::Attribute(attribute);
            let condition = Condition::Compare { feature, comparison };
            Rule::Condition(condition, reader.location(written.place))
        })
        .collect();
    if rules.len() > 1 { Some(Rule::All(rules)) } else { rules.pop() }
}

fn audience(reader: &mut Reader, entry: &Entry) -> Option<Rule> {
    let id = reader.text(&entry.value, "id of `audience`")?;
    if let Some(help) = super::id_fault(id) {
        let message = format!("{} is not an audience's id", quoted(id));
        reader.report(entry.value.place, message, help);
        return None;
    }
    reader.conditions += 1;
    Some(Rule::Condition(Condition::Member(id.into()), reader.location(entry.value.place)))
}
