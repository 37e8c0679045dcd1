//! Making a rule module of a component that some other tool built.

use super::{BuildError, Built, unusable, write};
use crate::guest::{CODE_VERSION, GuestEngine, GuestError, embed_manifest};
use muster_rules::manifest;
use std::path::Path;

/// Gives a component the section with the manifest that it tells, and its audiences the version of
/// its code, and writes it into the folder `muster` beside it. Until it has told its name, it has
/// the limits of the module that is called as its file.
///
/// # Errors
/// When the component is refused, has a manifest already, or versions that don't follow its code.
pub fn adopt(path: &Path, guests: &GuestEngine) -> Result<Built, BuildError> {
    let foreign = std::fs::read(path).map_err(unusable(path))?;
    if manifest::read_manifest_section(&foreign).is_ok() {
        return Err(BuildError::AdoptedAlready { path: path.to_path_buf() });
    }
    let not_a_rule_module =
        |source| BuildError::NotARuleModule { path: path.to_path_buf(), source };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let told = guests.manifest_told(&foreign, &name).map_err(not_a_rule_module)?;
    let module = manifest::read(&told).map_err(GuestError::from).map_err(not_a_rule_module)?;
    let own = module.audiences.iter().find(|audience| !audience.version.contains(CODE_VERSION));
    if let Some(audience) = own {
        let (audience, version) = (audience.id.to_string(), audience.version.to_string());
        return Err(BuildError::VersionOfItsOwn { path: path.to_path_buf(), audience, version });
    }
    let component = embed_manifest(foreign.clone(), told.as_bytes());
    let folder = path.parent().unwrap_or(Path::new("")).join("muster");
    let file = path.file_name().unwrap_or_default();
    write(&folder, &file.to_string_lossy(), component, foreign.len())
}
