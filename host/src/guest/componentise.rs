//! Making a component of what a compiler for WebAssembly wrote.

use crate::guest::error::GuestError;
use muster_core::codec::{Damaged, Reader, put_text, put_unsigned};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use wit_component::ComponentEncoder;

/// The custom section that holds the manifest.
const MANIFEST_SECTION: &str = "muster:manifest";
/// Magic number and version.
const HEADER_BYTES: usize = 8;
/// The id of custom sections.
const CUSTOM: u8 = 0;
/// Custom sections that nothing here reads. The names of functions are none of them: failures of a
/// module are told with its function's name.
const STRIPPED: [&str; 4] = [".debug", "producers", "target_features", "reloc."];
/// What a guest writes where the version of its code belongs, as the guest SDK does, and as many bytes
/// of hexadecimal digits take its place.
pub const CODE_VERSION: &str = "muster-build-writes-version-here";

/// Makes a component of a core module that was built with the guest SDK, and puts the manifest that
/// the module carries where it can be read from outside. Debug information is left out, and the
/// versions of the audiences become those of the code: users are evaluated anew when it changed.
///
/// # Errors
/// [`GuestError::Malformed`] when the bytes are not a core module, or one that was built for
/// another contract, with imports, or without a manifest.
pub fn componentise(core: &[u8]) -> Result<Vec<u8>, GuestError> {
    let malformed = |reason: &str| GuestError::Malformed { reason: reason.to_owned() };
    let not_core = |Damaged| malformed("not a core module of WebAssembly");
    let mut core = strip(core).map_err(not_core)?;
    stamp(&mut core);
    let manifest = manifest(&core)
        .map_err(not_core)?
        .ok_or_else(|| malformed("it carries no manifest, which `audiences!` writes"))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|mut encoder| encoder.encode());
    let mut component = encoded.map_err(|error| malformed(&format!("{error:#}")))?;
    put_manifest(&mut component, manifest);
    Ok(component)
}

/// Puts the manifest that a component tells where it can be read from outside. In it and in what the
/// component says of itself, versions become those of the code.
pub fn embed_manifest(mut component: Vec<u8>, manifest: &[u8]) -> Vec<u8> {
    put_manifest(&mut component, manifest);
    stamp(&mut component);
    component
}

fn put_manifest(component: &mut Vec<u8>, manifest: &[u8]) {
    let mut section = Vec::new();
    put_text(&mut section, MANIFEST_SECTION);
    section.extend_from_slice(manifest);
    component.push(CUSTOM);
    put_unsigned(component, section.len() as u64);
    component.extend_from_slice(&section);
}

/// The module without sections that nothing reads.
fn strip(core: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut sections = Reader::new(core);
    let mut stripped = sections.bytes(HEADER_BYTES)?.to_vec();
    while !sections.is_empty() {
        let before = sections.rest();
        let id = sections.byte()?;
        let length = sections.length()?;
        let name = Reader::new(sections.bytes(length)?).text().unwrap_or_default();
        if id == CUSTOM && STRIPPED.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        stripped.extend_from_slice(&before[..before.len() - sections.rest().len()]);
    }
    Ok(stripped)
}

/// Writes the hash of the code wherever its author left room for it: in the section, and in what the
/// module says of itself.
fn stamp(code: &mut [u8]) {
    let mut version = String::new();
    for byte in &Sha256::digest(&*code)[..CODE_VERSION.len() / 2] {
        if write!(version, "{byte:02x}").is_err() {
            unreachable!("writing to a string does not fail");
        }
    }
    let mut at = 0;
    while let Some(rest) = code.get_mut(at..).filter(|rest| rest.len() >= CODE_VERSION.len()) {
        match rest.strip_prefix(CODE_VERSION.as_bytes()) {
            Some(_) => {
                rest[..CODE_VERSION.len()].copy_from_slice(version.as_bytes());
                at += CODE_VERSION.len();
            }
            None => at += 1,
        }
    }
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
