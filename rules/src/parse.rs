//! YAML 1.2, and so JSON, into trees that know where everything was written.

mod build;
mod scalar;

pub(crate) use scalar::{Resolved, Scalar};

use build::Builder;
use saphyr_parser::Parser;

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: u32,
    /// The column, from 1, in characters.
    pub(crate) column: u32,
}

/// A node of a document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// What keeps a file from becoming trees, or makes two of its entries one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// The trees of a file, one a document.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) roots: Vec<Node>,
    /// What was wrong; the last one may have ended the file early.
    pub(crate) faults: Vec<Fault>,
    /// Whether all of the file was read.
    pub(crate) complete: bool,
}

/// Bytes of one file: two hundred thousand definitions of 300 bytes. Lines and columns fit 32 bits.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Reads a file.
pub(crate) fn parse(text: &str) -> Documents {
    let start = Place { line: 1, column: 1 };
    if text.len() > FILE_BYTES_MAX {
        let fault = Fault {
            place: start,
            message: format!("file of {} bytes is longer than {FILE_BYTES_MAX}", text.len()),
            help: "spread its audiences over several files".to_owned(),
        };
        return Documents { faults: vec![fault], ..Documents::default() };
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let outcome = loop {
        match parser.next_event() {
            None => break Ok(()),
            Some(Ok((event, span))) => {
                if let Err(fault) = builder.accept(event, span.start.into()) {
                    break Err(fault);
                }
            }
            Some(Err(error)) => break Err(syntax(&error)),
        }
    };
    let complete = outcome.is_ok();
    let (roots, mut faults) = builder.finish();
    faults.extend(outcome.err());
    Documents { roots, faults, complete }
}

fn syntax(error: &saphyr_parser::ScanError) -> Fault {
    Fault {
        place: (*error.marker()).into(),
        message: format!("not valid YAML: {}", error.info().replace('\n', " ")),
        help: "mend the indentation, brackets or quotes here or just before".to_owned(),
    }
}

impl From<saphyr_parser::Marker> for Place {
    fn from(marker: saphyr_parser::Marker) -> Place {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place { line: narrow(marker.line()).max(1), column: narrow(marker.col()).saturating_add(1) }
    }
}

#[cfg(test)]
mod tests;
