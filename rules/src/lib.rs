//! The definition language of Muster.

mod check;
mod compile;
mod definition;
mod diagnostic;
pub mod manifest;
mod operand;
mod pack;
mod parse;
mod reduce;
mod schema;
mod span;
mod window;

pub use check::{Source, check};
pub use compile::{
    AudienceSource, CompileError, ConditionSource, SectionError, SourceMap, read_source_map,
};
pub use definition::{Definition, Definitions, Location, Rule};
pub use diagnostic::Diagnostic;
pub use pack::{PackSource, packs};
pub use schema::{definition_schema, manifest_schema};
pub use span::{SpanError, parse_span};
