//! Versions of a workspace's rules: what is in them, named by a hash of it.

use crate::ruleset::{ComponentFile, RuleFiles};
use muster_rules::Source;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A version's name: the SHA-256 of what is in it, in 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(Arc<str>);

/// Digits of a version's name that people are shown.
const SHORT: usize = 12;

/// All rules of a workspace, as they were deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its name.
    pub id: VersionId,
    /// When it was deployed first, as RFC 3339.
    pub created: String,
    /// By whom.
    pub by: String,
    /// Files of definitions.
    pub definitions: Vec<DefinitionFile>,
    /// Components, which are kept under their hashes.
    pub components: Vec<ComponentRef>,
    /// Audiences of the files that are left out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<String>,
    /// The audiences, with the version of each.
    pub audiences: BTreeMap<Arc<str>, Arc<str>>,
}

/// A file of definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionFile {
    /// What it is called in messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// A component of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentRef {
    /// What its file is called in messages.
    pub name: String,
    /// The SHA-256 of it, in hexadecimal digits.
    pub digest: String,
}

impl VersionId {
    /// The name of what is in the files, whatever they are called and however they are sorted.
    pub fn of(files: &RuleFiles) -> VersionId {
        let definitions = files.definitions.iter().map(|file| digest(file.text.as_bytes()));
        let components = files.components.iter().map(|file| digest(&file.bytes));
        let (mut definitions, mut components): (Vec<_>, Vec<_>) =
            (definitions.collect(), components.collect());
        definitions.sort();
        components.sort();
        let mut content = Sha256::new();
        let without = files.without.iter().map(|id| digest(id.as_bytes()));
        let parts = [("definitions", definitions), ("components", components)];
        for (kind, digests) in parts.into_iter().chain([("without", without.collect())]) {
            content.update(format!("{kind} {}\n", digests.join(" ")));
        }
        VersionId(hexadecimal(&content.finalize()).into())
    }

    /// All of its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As many of its digits as people are shown.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(SHORT)]
    }
}

impl Version {
    /// The version of files that were loaded, with the audiences that they have.
    pub fn new(
        files: &RuleFiles,
        audiences: BTreeMap<Arc<str>, Arc<str>>,
        by: &str,
        created: String,
    ) -> Version {
        let definitions = files
            .definitions
            .iter()
            .map(|file| DefinitionFile { name: file.name.to_string(), text: file.text.clone() });
        let components = files
            .components
            .iter()
            .map(|file| ComponentRef { name: file.name.to_string(), digest: digest(&file.bytes) });
        Version {
            id: VersionId::of(files),
            created,
            by: by.to_string(),
            definitions: definitions.collect(),
            components: components.collect(),
            without: files.without.clone(),
            audiences,
        }
    }

    /// Its files, with components as `bytes` gives them for their digests.
    ///
    /// # Errors
    /// Whatever `bytes` says.
    pub fn files<E>(&self, bytes: impl Fn(&str) -> Result<Vec<u8>, E>) -> Result<RuleFiles, E> {
        let definitions = self.definitions.iter();
        let definitions = definitions
            .map(|file| Source { name: file.name.as_str().into(), text: file.text.clone() });
        let components = self.components.iter().map(|file| {
            Ok(ComponentFile { name: file.name.as_str().into(), bytes: bytes(&file.digest)? })
        });
        Ok(RuleFiles {
            definitions: definitions.collect(),
            components: components.collect::<Result<_, E>>()?,
            without: self.without.clone(),
        })
    }
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str], component: &[u8]) -> RuleFiles {
        let source =
            |text: &&str| Source { name: format!("{text}.yaml").into(), text: text.to_string() };
        RuleFiles {
            definitions: texts.iter().map(source).collect(),
            components: vec![ComponentFile { name: "c".into(), bytes: component.to_vec() }],
            without: BTreeSet::new(),
        }
    }

    #[test]
    fn a_version_is_named_by_what_is_in_it() {
        let one = VersionId::of(&files(&["a", "b"], b"c"));
        assert_eq!(one, VersionId::of(&files(&["b", "a"], b"c")));
        assert_ne!(one, VersionId::of(&files(&["a", "c"], b"b")));
        assert_ne!(one, VersionId::of(&files(&["ab"], b"c")));
        let without =
            RuleFiles { without: BTreeSet::from(["x".into()]), ..files(&["a", "b"], b"c") };
        assert_ne!(one, VersionId::of(&without));
    }

    #[test]
    fn a_version_gives_its_files_back() {
        let files = files(&["a", "b"], b"c");
        let version = Version::new(&files, BTreeMap::new(), "ann", String::new());
        let bytes = |asked: &str| if asked == digest(b"c") { Ok(b"c".to_vec()) } else { Err(()) };
        assert_eq!(VersionId::of(&version.files(bytes).unwrap()), version.id);
    }
}
