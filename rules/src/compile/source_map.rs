//! Source maps: from places in compiled code back to places in definition files.

use crate::definition::Location;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Where the code of a compiled pack comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMap {
    /// One entry for each audience, in the manifest's order.
    pub audiences: Vec<AudienceSource>,
}

/// Where one audience's function comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceSource {
    /// The audience's id.
    pub id: Arc<str>,
    /// The index of its function in the core module.
    pub function: u32,
    /// Where the audience begins.
    pub location: Location,
    /// Where the function looks at conditions, by ascending offset.
    pub conditions: Vec<ConditionSource>,
}

/// Where one look at a condition comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionSource {
    /// In bytes from the beginning of the function's body, its declaration of locals included.
    pub offset: u32,
    /// The condition, as an index into the manifest's conditions.
    pub condition: u32,
    /// Where the condition was first written in this audience.
    pub location: Location,
}

/// A source map's JSON is not what this version writes.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceMapError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("source map version `{0}` is not 1")]
    Version(u32),
    #[error("file `{0}` is not among the files of the source map")]
    File(u32),
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    source_map: u32,
    files: Vec<String>,
    audiences: Vec<AudienceEntry>,
}

#[derive(Serialize, Deserialize)]
struct AudienceEntry {
    id: String,
    function: u32,
    #[serde(flatten)]
    place: Place,
    conditions: Vec<ConditionEntry>,
}

#[derive(Serialize, Deserialize)]
struct ConditionEntry {
    offset: u32,
    condition: u32,
    #[serde(flatten)]
    place: Place,
}

/// A location, with its file as an index.
#[derive(Serialize, Deserialize)]
struct Place {
    file: u32,
    line: u32,
    column: u32,
}

#[derive(Default)]
struct Files {
    names: Vec<String>,
    numbers: HashMap<Arc<str>, u32>,
}

impl SourceMap {
    /// The place in a definition file that the code at that offset of that function comes from: the
    /// condition looked at last before it, else the audience; nothing for other functions.
    pub fn locate(&self, function: u32, offset: u32) -> Option<&Location> {
        let audience = self.audiences.iter().find(|audience| audience.function == function)?;
        let after = audience.conditions.partition_point(|condition| condition.offset <= offset);
        let condition = after.checked_sub(1).map(|last| &audience.conditions[last].location);
        Some(condition.unwrap_or(&audience.location))
    }

    pub(super) fn to_json(&self) -> String {
        let mut files = Files::default();
        let mut audiences = Vec::with_capacity(self.audiences.len());
        for audience in &self.audiences {
            let place = files.place(&audience.location);
            let conditions = audience.conditions.iter().map(|source| ConditionEntry {
                offset: source.offset,
                condition: source.condition,
                place: files.place(&source.location),
            });
            let conditions = conditions.collect();
            let (id, function) = (audience.id.to_string(), audience.function);
            audiences.push(AudienceEntry { id, function, place, conditions });
        }
        let document = Document { source_map: VERSION, files: files.names, audiences };
        serde_json::to_string(&document).expect("texts and integers are always valid JSON")
    }

    pub(super) fn from_json(json: &str) -> Result<SourceMap, SourceMapError> {
        let document: Document = serde_json::from_str(json)?;
        if document.source_map != VERSION {
            return Err(SourceMapError::Version(document.source_map));
        }
        let files: Vec<Arc<str>> = document.files.into_iter().map(Arc::from).collect();
        let mut audiences = Vec::with_capacity(document.audiences.len());
        for entry in document.audiences {
            let mut conditions = Vec::with_capacity(entry.conditions.len());
            for ConditionEntry { offset, condition, place } in entry.conditions {
                let location = place.location(&files)?;
                conditions.push(ConditionSource { offset, condition, location });
            }
            let location = entry.place.location(&files)?;
            let (id, function) = (entry.id.into(), entry.function);
            audiences.push(AudienceSource { id, function, location, conditions });
        }
        Ok(SourceMap { audiences })
    }
}

impl Files {
    fn place(&mut self, location: &Location) -> Place {
        let next = self.names.len() as u32;
        let file = *self.numbers.entry(location.file.clone()).or_insert(next);
        if file == next {
            self.names.push(location.file.to_string());
        }
        Place { file, line: location.line, column: location.column }
    }
}

impl Place {
    fn location(&self, files: &[Arc<str>]) -> Result<Location, SourceMapError> {
        let file = files.get(self.file as usize).ok_or(SourceMapError::File(self.file))?;
        Ok(Location { file: file.clone(), line: self.line, column: self.column })
    }
}
