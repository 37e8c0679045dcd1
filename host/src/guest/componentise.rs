//! Making a component of what a compiler for WebAssembly wrote.

use crate::guest::error::GuestError;
use muster_core::codec::{Damaged, Reader, put_text, put_unsigned};
use wit_component::ComponentEncoder;

/// The custom section that holds the manifest.
const MANIFEST_SECTION: &str = "muster:manifest";
/// Magic number and version.
const HEADER_BYTES: usize = 8;
/// The id of custom sections.
const CUSTOM: u8 = 0;

/// Makes a component of a core module that was built with the guest SDK, and puts the manifest that
/// the module carries where it can be read from outside.
///
/// # Errors
/// [`GuestError::Malformed`] when the bytes are not a core module, or one that was built for
/// another contract, with imports, or without a manifest.
pub fn componentise(core: &[u8]) -> Result<Vec<u8>, GuestError> {
    let malformed = |reason: &str| GuestError::Malformed { reason: reason.to_owned() };
    let manifest = manifest(core)
        .map_err(|Damaged| malformed("not a core module of WebAssembly"))?
        .ok_or_else(|| malformed("it carries no manifest"))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|mut encoder| encoder.encode());
    let mut component = encoded.map_err(|error| malformed(&format!("{error:#}")))?;
    let mut section = Vec::new();
    put_text(&mut section, MANIFEST_SECTION);
    section.extend_from_slice(manifest);
    component.push(CUSTOM);
    put_unsigned(&mut component, section.len() as u64);
    component.extend_from_slice(&section);
    Ok(component)
}

fn manifest(core: &[u8]) -> Result<Option<&[u8]>, Damaged> {
    let mut sections = Reader::new(core);
    sections.bytes(HEADER_BYTES)?;
    while !sections.is_empty() {
        let id = sections.byte()?;
        let length = sections.length()?;
        let mut section = Reader::new(sections.bytes(length)?);
        if id == CUSTOM && section.text()? == MANIFEST_SECTION {
            return Ok(Some(section.rest()));
        }
    }
    Ok(None)
}
