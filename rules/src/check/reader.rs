//! Reading nodes, and collecting what is wrong with them.

use crate::definition::Location;
use crate::diagnostic::{Diagnostic, listed, nearest, quoted};
use crate::parse::{Content, Entry, Node, Place, Resolved};
use std::sync::Arc;

/// Reads the nodes of one file. What it can't read it reports, and gives nothing.
#[derive(Debug)]
pub(super) struct Reader {
    file: Arc<str>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Conditions of the audience that is being read.
    pub(super) conditions: usize,
}

impl Reader {
    pub(super) fn new(file: Arc<str>) -> Reader {
        Reader { file, diagnostics: Vec::new(), conditions: 0 }
    }

    pub(super) fn location(&self, place: Place) -> Location {
        Location { file: self.file.clone(), line: place.line, column: place.column }
    }

    pub(super) fn report(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let location = self.location(place);
        self.diagnostics.push(Diagnostic { location, message: message.into(), help: help.into() });
    }

    /// The entries of a mapping that is not empty. `what` names it in messages.
    pub(super) fn map<'a>(
        &mut self,
        node: &'a Node,
        what: &str,
        help: &str,
    ) -> Option<&'a [Entry]> {
        match &node.content {
            Content::Map(entries) if entries.is_empty() => {
                self.report(node.place, format!("{what} is empty"), help);
                None
            }
            Content::Map(entries) => Some(entries),
            _ => {
                self.report(node.place, format!("{what} is {}, not a mapping", shown(node)), help);
                None
            }
        }
    }

    /// The nodes of a list that is not empty.
    pub(super) fn list<'a>(
        &mut self,
        node: &'a Node,
        what: &str,
        help: &str,
    ) -> Option<&'a [Node]> {
        match &node.content {
            Content::List(nodes) if nodes.is_empty() => {
                self.report(node.place, format!("{what} is empty"), help);
                None
            }
            Content::List(nodes) => Some(nodes),
            _ => {
                self.report(node.place, format!("{what} is {}, not a list", shown(node)), help);
                None
            }
        }
    }

    /// Text. A number, true, false or null without quotes is none.
    pub(super) fn text<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        let help = match &node.content {
            Content::Scalar(scalar) => match scalar.resolve() {
                Resolved::Text(text) => return Some(text),
                Resolved::Null => "write text".to_owned(),
                _ => format!("write it in quotes, as in `\"{}\"`", scalar.text),
            },
            _ => "write text".to_owned(),
        };
        self.report(node.place, format!("{what} is {}, not text", shown(node)), help);
        None
    }

    /// Text that is not empty.
    pub(super) fn name<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        let name = self.text(node, what)?;
        if name.is_empty() {
            self.report(node.place, format!("{what} is empty"), "write a name");
            return None;
        }
        Some(name)
    }

    /// Reports every key that is not among those allowed.
    pub(super) fn only(&mut self, entries: &[Entry], allowed: &[&str]) {
        for entry in entries.iter().filter(|entry| !allowed.contains(&&*entry.key)) {
            self.unknown_key(entry, allowed);
        }
    }

    pub(super) fn unknown_key(&mut self, entry: &Entry, allowed: &[&str]) {
        let help = did_you_mean(&entry.key, allowed);
        self.report(entry.place, format!("unknown key {}", quoted(&entry.key)), help);
    }
}

/// Help for a name that is not among those allowed.
pub(super) fn did_you_mean(written: &str, allowed: &[&str]) -> String {
    match nearest(written, allowed.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write one of {}", listed(allowed.iter().copied())),
    }
}

/// The node as it is shown in messages.
pub(super) fn shown(node: &Node) -> String {
    match &node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a mapping".to_owned(),
        Content::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => "null".to_owned(),
            Resolved::Boolean(_) | Resolved::NotFinite => quoted(&scalar.text),
            Resolved::Number(_) => format!("the number {}", quoted(&scalar.text)),
            Resolved::Text(text) => format!("text {}", quoted(text)),
        },
    }
}
