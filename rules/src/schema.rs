//! The published JSON Schemas.

/// The schema of files of definitions, for editors.
pub fn definition_schema() -> &'static str {
    include_str!("../schema/definition.schema.json")
}

/// The schema of a rule module's manifest.
pub fn manifest_schema() -> &'static str {
    include_str!("../schema/manifest.schema.json")
}
