//! From the events of the YAML parser to trees.

use super::{Content, Entry, Fault, Node, Place, Scalar};
use crate::diagnostic::quoted;
use saphyr_parser::{Event, ScalarStyle, Tag};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

/// Nodes of one file with its aliases written out: a hundred thousand audiences of forty nodes.
/// Without it a few lines of aliases of aliases would fill the memory.
const NODES_MAX: usize = 4_000_000;
/// Bytes of text in those nodes: as much as the longest file may have without aliases.
const TEXT_BYTES_MAX: usize = super::FILE_BYTES_MAX;
/// How deep lists and mappings nest. Rules are walked by functions that call themselves, and 64
/// levels of rules take two or three of these each.
const DEPTH_MAX: usize = 200;

/// Builds trees, event by event.
#[derive(Debug, Default)]
pub(super) struct Builder {
    roots: Vec<Node>,
    faults: Vec<Fault>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Size)>,
    size: Size,
}

/// A list or mapping whose end has not been seen.
#[derive(Debug)]
struct Open {
    place: Place,
    anchor: usize,
    /// What had been built before it.
    size: Size,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(Box<str>, Place)>, seen: HashMap<Box<str>, Place> },
}

/// What has been built.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    text_bytes: usize,
    depth: usize,
}

fn fault(place: Place, message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { place, message: message.into(), help: help.into() }
}

impl Builder {
    /// Takes the next event.
    pub(super) fn accept(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag {
                    None => style == ScalarStyle::Plain,
                    Some(tag) => check_tag(&tag, place)?,
                };
                self.grow(text.len(), place)?;
                let size = Size { nodes: 1, text_bytes: text.len(), depth: 0 };
                let content = Content::Scalar(Scalar { text: text.into(), plain });
                self.add(Node { place, content }, anchor, size)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                self.open(place, anchor, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.open(place, anchor, OpenKind::Map { entries, key: None, seen })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.add_alias(anchor, place),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    /// The trees, and what was wrong with them.
    pub(super) fn finish(self) -> (Vec<Node>, Vec<Fault>) {
        (self.roots, self.faults)
    }

    fn grow(&mut self, text_bytes: usize, place: Place) -> Result<(), Fault> {
        self.size.nodes += 1;
        self.size.text_bytes += text_bytes;
        self.check_size(place)
    }

    fn check_size(&self, place: Place) -> Result<(), Fault> {
        if self.size.nodes > NODES_MAX || self.size.text_bytes > TEXT_BYTES_MAX {
            return Err(fault(
                place,
                format!(
                    "file holds more than {NODES_MAX} values or {TEXT_BYTES_MAX} bytes of text with \
                     its aliases written out"
                ),
                "spread its audiences over several files, or use fewer aliases",
            ));
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, kind: OpenKind) -> Result<(), Fault> {
        self.check_key(place)?;
        check_depth(self.open.len() + 1, place)?;
        let size = self.size;
        self.grow(0, place)?;
        self.open.push(Open { place, anchor, size, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Open { place, anchor, size, kind }) = self.open.pop() else { return Ok(()) };
        let content = match kind {
            OpenKind::List(nodes) => Content::List(nodes),
            OpenKind::Map { entries, .. } => Content::Map(entries),
        };
        let node = Node { place, content };
        let size = Size {
            nodes: self.size.nodes - size.nodes,
            text_bytes: self.size.text_bytes - size.text_bytes,
            depth: if anchor == 0 { 0 } else { depth(&node) },
        };
        self.add(node, anchor, size)
    }

    fn add_alias(&mut self, anchor: usize, place: Place) -> Result<(), Fault> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(fault(
                place,
                "alias stands inside what it repeats, or for nothing",
                "write the value out",
            ));
        };
        self.size.nodes += size.nodes;
        self.size.text_bytes += size.text_bytes;
        self.check_size(place)?;
        check_depth(self.open.len() + size.depth, place)?;
        let node = node.clone();
        self.add(node, 0, Size::default())
    }

    fn add(&mut self, node: Node, anchor: usize, size: Size) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.roots.push(node),
            Some(OpenKind::List(nodes)) => nodes.push(node),
            Some(OpenKind::Map { entries, key, seen }) => match (key.take(), node) {
                (None, Node { place, content: Content::Scalar(scalar) }) => {
                    *key = Some((scalar.text, place));
                }
                (None, node) => return Err(no_key(node.place)),
                (Some((key, place)), value) => match seen.entry(key.clone()) {
                    Slot::Vacant(slot) => {
                        slot.insert(place);
                        entries.push(Entry { key, place, value });
                    }
                    Slot::Occupied(first) => self.faults.push(fault(
                        place,
                        format!("key {} is written twice", quoted(&key)),
                        format!("remove it here or in line {}", first.get().line),
                    )),
                },
            },
        }
        Ok(())
    }

    /// A list or mapping can't be a key.
    fn check_key(&self, place: Place) -> Result<(), Fault> {
        match self.open.last().map(|open| &open.kind) {
            Some(OpenKind::Map { key: None, .. }) => Err(no_key(place)),
            _ => Ok(()),
        }
    }
}

fn no_key(place: Place) -> Fault {
    fault(place, "a list or a mapping stands where a key should", "write a name and a colon")
}

fn check_depth(depth: usize, place: Place) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(fault(
            place,
            format!("values nest deeper than {DEPTH_MAX} levels"),
            "move a part into an audience of its own and refer to it with `audience`",
        ));
    }
    Ok(())
}

/// How many lists and mappings nest in the node.
fn depth(node: &Node) -> usize {
    match &node.content {
        Content::Scalar(_) => 0,
        Content::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        Content::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}

/// A scalar tagged as text is text however it is written; no other tag says anything here.
fn check_tag(tag: &Tag, place: Place) -> Result<bool, Fault> {
    if tag.is_yaml_core_schema() && tag.suffix == "str" {
        return Ok(false);
    }
    refuse_tag(Some(tag), place).map(|()| false)
}

fn refuse_tag(tag: Option<&Tag>, place: Place) -> Result<(), Fault> {
    match tag {
        None => Ok(()),
        Some(tag) => {
            let shown = if tag.is_yaml_core_schema() {
                format!("!!{}", tag.suffix)
            } else {
                tag.to_string()
            };
            let help = "remove it; quotes make a value text";
            Err(fault(place, format!("tag {} is not supported", quoted(&shown)), help))
        }
    }
}
