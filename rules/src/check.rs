//! From files to checked definitions: everything that is wrong, at once.

mod comparison;
mod event;
mod reader;
mod references;
mod rule;

use crate::definition::{Definition, Definitions, Location};
use crate::diagnostic::{Diagnostic, quoted};
use crate::parse::{Node, Place, parse};
use reader::Reader;
use std::collections::HashMap;
use std::sync::Arc;

/// A file of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the file is called in messages.
    pub name: Arc<str>,
    /// What it holds: YAML 1.2 or JSON.
    pub text: String,
}

/// Characters of an id. Ids are part of every transition and of keys in stores.
const ID_CHARACTERS_MAX: usize = 128;
/// Bytes of a name; it is for people.
const NAME_BYTES_MAX: usize = 1024;
/// Audiences of one set of definitions: ten times the most that one customer is known to have.
const AUDIENCES_MAX: usize = 200_000;

/// Checks definitions, those of all files together.
///
/// ```
/// use muster_rules::{Source, check};
///
/// let source = |text: &str| Source { name: "vip.yaml".into(), text: text.into() };
/// let good = source("audiences: [{ id: vip, where: { profile: { tier: gold } } }]");
/// assert_eq!(&*check(&[good]).unwrap().audiences[0].id, "vip");
///
/// let bad = source("audiences:\n  - id: vip\n    where: { profil: { tier: gold } }\n");
/// assert_eq!(
///     check(&[bad]).unwrap_err()[0].to_string(),
///     "vip.yaml:3:14: unknown key `profil`; did you mean `profile`?",
/// );
/// ```
///
/// # Errors
/// Everything that is to be mended, sorted by place.
pub fn check(files: &[Source]) -> Result<Definitions, Vec<Diagnostic>> {
    let mut checker = Checker::default();
    for file in files {
        checker.add_file(file);
    }
    let Checker { mut audiences, mut diagnostics, declared, complete } = checker;
    audiences.sort_by(|a, b| a.id.cmp(&b.id));
    references::check(&audiences, &declared, complete, &mut diagnostics);
    if diagnostics.is_empty() {
        return Ok(Definitions { audiences });
    }
    diagnostics.sort();
    diagnostics.dedup();
    Err(diagnostics)
}

/// Why a text can't be an audience's id; nothing when it can.
pub(crate) fn id_fault(id: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = !id.is_empty() && id.len() <= ID_CHARACTERS_MAX && id.chars().all(allowed);
    (!fits).then(|| {
        format!("write 1 to {ID_CHARACTERS_MAX} letters, digits, dots, underscores and hyphens")
    })
}

struct Checker {
    audiences: Vec<Definition>,
    diagnostics: Vec<Diagnostic>,
    /// Every id that was written, and where first, were its definition good or not.
    declared: HashMap<Arc<str>, Location>,
    /// Whether every audience of every file was seen.
    complete: bool,
}

impl Default for Checker {
    fn default() -> Checker {
        Checker {
            audiences: Vec::new(),
            diagnostics: Vec::new(),
            declared: HashMap::new(),
            complete: true,
        }
    }
}

impl Checker {
    fn add_file(&mut self, file: &Source) {
        let documents = parse(&file.text);
        let mut reader = Reader::new(file.name.clone());
        for fault in documents.faults {
            reader.report(fault.place, fault.message, fault.help);
        }
        self.complete &= documents.complete;
        if documents.roots.is_empty() && documents.complete {
            let start = Place { line: 1, column: 1 };
            reader.report(
                start,
                "file holds no audiences",
                "write `audiences:` and a list of them",
            );
        }
        for root in &documents.roots {
            self.add_document(&mut reader, root);
        }
        self.diagnostics.append(&mut reader.diagnostics);
    }

    fn add_document(&mut self, reader: &mut Reader, root: &Node) {
        let help = "write `audiences:` and a list of them";
        let Some(entries) = reader.map(root, "document", help) else {
            self.complete = false;
            return;
        };
        reader.only(entries, &["audiences"]);
        let Some(entry) = entries.iter().find(|entry| &*entry.key == "audiences") else {
            self.complete = false;
            reader.report(root.place, "document has no key `audiences`", help);
            return;
        };
        let help = "write a list of audiences, each with `id` and `where`";
        for node in reader.list(&entry.value, "`audiences`", help).unwrap_or_default() {
            self.add_audience(reader, node);
        }
    }

    fn add_audience(&mut self, reader: &mut Reader, node: &Node) {
        if self.declared.len() >= AUDIENCES_MAX {
            if self.complete {
                let message = format!("there are more than {AUDIENCES_MAX} audiences");
                reader.report(node.place, message, "spread them over several workspaces");
            }
            self.complete = false;
            return;
        }
        let help = "write `id:` and `where:`";
        let Some(entries) = reader.map(node, "audience", help) else { return };
        reader.only(entries, &["id", "name", "where"]);
        let find = |key: &str| entries.iter().find(|entry| &*entry.key == key);
        let id = match find("id") {
            Some(entry) => self.declare(reader, &entry.value),
            None => {
                reader.report(node.place, "audience has no key `id`", "write `id:` and a name");
                None
            }
        };
        let name = find("name").map(|entry| name(reader, &entry.value));
        let rule = match find("where") {
            Some(entry) => rule::read(reader, &entry.value),
            None => {
                let help = "write `where:` and a rule, as in `where: { event: purchase }`";
                reader.report(node.place, "audience has no key `where`", help);
                None
            }
        };
        let (Some(id), Some(rule)) = (id, rule) else { return };
        let name = name.flatten().unwrap_or_else(|| id.clone());
        let location = reader.location(node.place);
        self.audiences.push(Definition { id, name, rule, location });
    }

    fn declare(&mut self, reader: &mut Reader, node: &Node) -> Option<Arc<str>> {
        let id: Arc<str> = reader.text(node, "id")?.into();
        if let Some(help) = id_fault(&id) {
            reader.report(node.place, format!("id {} is not allowed", quoted(&id)), help);
            return None;
        }
        if let Some(first) = self.declared.get(&id) {
            let message =
                format!("id `{id}` is taken by {}:{}:{}", first.file, first.line, first.column);
            reader.report(node.place, message, "write another id, or remove one of the two");
            return None;
        }
        self.declared.insert(id.clone(), reader.location(node.place));
        Some(id)
    }
}

fn name(reader: &mut Reader, node: &Node) -> Option<Arc<str>> {
    let name = reader.text(node, "name")?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let help = format!("write 1 to {NAME_BYTES_MAX} bytes on one line, or leave it out");
        reader.report(node.place, format!("name {} is not allowed", quoted(name)), help);
        return None;
    }
    Some(name.into())
}

#[cfg(test)]
mod tests;
