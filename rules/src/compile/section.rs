//! Reading a component's custom sections without running any of it.

use super::source_map::SourceMap;
use std::error::Error;
use wasmparser::{Encoding, Parser, Payload};

/// The custom section that holds the manifest.
pub(super) const MANIFEST: &str = "muster:manifest";

/// The custom section that holds the source map.
pub(super) const SOURCE_MAP: &str = "muster:source-map";

/// Bytes of a custom section that are read: the bound that the contract sets for a manifest.
const SECTION_BYTES_MAX: usize = super::MANIFEST_BYTES_MAX;

/// Why a custom section could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// The bytes are something else, a core module for example.
    #[error("not a WebAssembly component; make one with `muster compile` or `muster build`")]
    NotAComponent,
    /// The bytes begin like a component and go on like none.
    #[error("the component is damaged; build it again")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// The component has no such section.
    #[error("the component has no section `{0}`; build it again with the tools of this version")]
    Missing(&'static str),
    /// The component has more than one such section.
    #[error("the component has section `{0}` more than once; build it again")]
    Repeated(&'static str),
    /// The section is longer than any that is accepted.
    #[error(
        "section `{section}` has {bytes} bytes, more than {SECTION_BYTES_MAX}; divide the module"
    )]
    TooLong {
        /// The section's name.
        section: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The section does not hold what it should.
    #[error("section `{section}` cannot be read; build the component again")]
    Malformed {
        /// The section's name.
        section: &'static str,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The manifest in a component's custom section, as JSON that may not be a valid manifest.
///
/// # Errors
/// When the bytes are no component, or have no such section, several, or one that is no text or too
/// long.
pub(crate) fn read_manifest_section(component: &[u8]) -> Result<String, SectionError> {
    Ok(read(component, MANIFEST)?.to_owned())
}

/// The source map in a component's custom section; only components made from definitions have one.
///
/// # Errors
/// When the bytes are no component, or have no such section, several, one that is no text or too
/// long, or one that is not a source map of this version.
pub fn read_source_map(component: &[u8]) -> Result<SourceMap, SectionError> {
    SourceMap::from_json(read(component, SOURCE_MAP)?)
        .map_err(|source| SectionError::Malformed { section: SOURCE_MAP, source: source.into() })
}

/// The text of the section of that name. Sections of what is nested in the component do not count:
/// nobody but the component itself may speak for it.
fn read<'a>(component: &'a [u8], section: &'static str) -> Result<&'a str, SectionError> {
    if !Parser::is_component(component) {
        return Err(SectionError::NotAComponent);
    }
    let mut found = Vec::new();
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|source| SectionError::Damaged(source.into()))? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(custom) if depth == 1 && custom.name() == section => {
                found.push(custom.data());
            }
            _ => {}
        }
    }
    let bytes = match found[..] {
        [] => return Err(SectionError::Missing(section)),
        [bytes] => bytes,
        _ => return Err(SectionError::Repeated(section)),
    };
    if bytes.len() > SECTION_BYTES_MAX {
        return Err(SectionError::TooLong { section, bytes: bytes.len() });
    }
    std::str::from_utf8(bytes)
        .map_err(|source| SectionError::Malformed { section, source: source.into() })
}
