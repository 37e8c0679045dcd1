//! The example modules, as their authors build them.

use anyhow::bail;
use muster::build::{Toolchain, build};
use muster::ruleset::{ComponentFile, RuleFiles};
use std::path::{Path, PathBuf};

/// The folder of an example.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// The component of an example in Rust. Building it needs a toolchain for WebAssembly.
///
/// # Errors
/// When something is missing, which is named, or the example does not compile.
pub fn component(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut built = build(&folder(name), &Toolchain::find()?)?;
    match (built.pop(), built.is_empty()) {
        (Some(built), true) => Ok(built.component),
        _ => bail!("`{name}` is not one rule module"),
    }
}

/// A component as the only file of rules.
pub fn rules_of(component: Vec<u8>) -> RuleFiles {
    let file = ComponentFile { name: "rules.wasm".into(), bytes: component };
    RuleFiles { components: vec![file], ..RuleFiles::default() }
}
