//! Files of rules: definitions and components, as they lie in folders.

use super::RulesetError;
use muster_core::AudienceKey;
use muster_rules::Source;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders in folders that are looked into: links may lead in circles.
const DEPTH_MAX: usize = 16;

/// Files of rules as they were read.
#[derive(Clone, Debug, Default)]
pub struct RuleFiles {
    /// Definitions.
    pub definitions: Vec<Source>,
    /// Components.
    pub components: Vec<ComponentFile>,
    /// Audiences of the files that are left out.
    pub without: BTreeSet<String>,
}

/// A component as it was read.
#[derive(Clone, Debug)]
pub struct ComponentFile {
    /// The file, as it was named.
    pub name: Arc<str>,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl AsRef<[u8]> for ComponentFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl RuleFiles {
    /// The files of a folder and of the folders within it, in the order of names. What begins with a
    /// dot is hidden: the folder of a version control, an editor's copy, the places that a mounted
    /// volume swaps its files between.
    ///
    /// # Errors
    /// When one of the folders cannot be read, or they lie too deep.
    pub fn within(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut inside = Vec::new();
        walk(folder, DEPTH_MAX, &mut inside).map_err(|(_, error)| error)?;
        Ok(inside)
    }

    /// Reads files, and the files of folders and of the folders within them, in the order of names.
    ///
    /// # Errors
    /// When one cannot be read, or a path holds no rules.
    pub fn read(paths: &[PathBuf]) -> Result<RuleFiles, RulesetError> {
        let mut files = RuleFiles::default();
        for path in paths {
            let before = files.len();
            files.read_path(path, true)?;
            if files.len() == before {
                return Err(RulesetError::Empty { path: path.clone() });
            }
        }
        Ok(files)
    }

    /// What the audiences that are left out are called in plans.
    pub fn without(&self) -> BTreeSet<AudienceKey> {
        self.without.iter().map(|id| AudienceKey::of(id)).collect()
    }

    fn len(&self) -> usize {
        self.definitions.len() + self.components.len()
    }

    fn read_path(&mut self, path: &Path, named: bool) -> Result<(), RulesetError> {
        let unreadable = |source| RulesetError::Unreadable { path: path.to_path_buf(), source };
        if path.is_dir() {
            let mut inside = Vec::new();
            walk(path, DEPTH_MAX, &mut inside)
                .map_err(|(path, source)| RulesetError::Unreadable { path, source })?;
            return inside.iter().try_for_each(|path| self.read_path(path, false));
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") => {
                let bytes = std::fs::read(path).map_err(unreadable)?;
                self.components
                    .push(ComponentFile { name: path.display().to_string().into(), bytes });
            }
            Some("yaml" | "yml" | "json") => self.read_definitions(path).map_err(unreadable)?,
            _ if named => self.read_definitions(path).map_err(unreadable)?,
            _ => {}
        }
        Ok(())
    }

    fn read_definitions(&mut self, path: &Path) -> io::Result<()> {
        let text = std::fs::read_to_string(path)?;
        self.definitions.push(Source { name: path.display().to_string().into(), text });
        Ok(())
    }
}

fn walk(
    folder: &Path,
    depth: usize,
    inside: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_path_buf(), error);
    let Some(depth) = depth.checked_sub(1) else {
        let reason = format!("it lies more than {DEPTH_MAX} folders deep");
        return Err(failed(io::Error::other(reason)));
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => walk(&path, depth, inside)?,
            false => inside.push(path),
        }
    }
    Ok(())
}
