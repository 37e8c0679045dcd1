//! Manifests: what a rule module says of itself, as JSON.
//!
//! Selectors and features are listed once and shared by index. The format is published as
//! [`manifest_schema`](crate::manifest_schema).
//!
//! ```
//! use muster_rules::manifest;
//!
//! let text = r#"{"manifest":1,"name":"vip","features":[{"attribute":"tier"}],
//!   "conditions":[{"feature":0,"is":{"eq":"gold"}}],
//!   "audiences":[{"id":"vip","version":"1","conditions":[0]}]}"#;
//! let module = manifest::read(text).unwrap();
//! assert_eq!(manifest::read(&manifest::write(&module)).unwrap(), module);
//! ```

mod comparison;
mod read;
mod wire;
mod write;

pub use read::read;
pub use write::write;

use crate::compile::SectionError;

/// The version of the format.
const VERSION: u64 = 1;
/// Bytes of a manifest, as the contract says.
const BYTES_MAX: usize = 64 << 20;

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is longer than the contract allows.
    #[error("manifest of {bytes} bytes is longer than {BYTES_MAX}: split the module")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is not JSON of the right shape.
    #[error("manifest is not of the schema `muster-manifest-1`: {0}")]
    Malformed(#[source] serde_json::Error),
    /// It is of another version.
    #[error("manifest has version `{version}`: write version `{VERSION}`")]
    Version {
        /// Its version.
        version: u64,
    },
    /// An entry of it can't be what it says.
    #[error("manifest is wrong at `{place}`: {reason}; {help}")]
    Entry {
        /// Where, as in `conditions[3]`.
        place: String,
        /// What is wrong.
        reason: String,
        /// What to write instead.
        help: String,
    },
    /// The component does not carry one that can be read.
    #[error(transparent)]
    Section(#[from] SectionError),
}

/// The manifest of a component, from its custom section, without running anything. It may be of
/// any text: [`read`] says whether it is a manifest.
///
/// # Errors
/// When the bytes are no component, or have no such section, several, or one that is no text or too
/// long.
pub fn read_manifest_section(component: &[u8]) -> Result<String, ManifestError> {
    Ok(crate::compile::read_manifest_section(component)?)
}

#[cfg(test)]
mod tests;
