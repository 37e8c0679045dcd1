//! The definition language of Muster: from YAML or JSON to WebAssembly components.
//!
//! [`check`] reads files of definitions and gives either all of their audiences or everything that
//! must be mended, each with its place. [`packs`] reduces their rules and divides them into packs;
//! [`PackSource::compile`] makes each a component of the contract in `wit/`. No toolchain is needed,
//! and nothing is evaluated here: that is the host's.
//!
//! ```
//! use muster_rules::{Source, check, packs};
//!
//! let text = "audiences: [{ id: buyers, where: { event: purchase, within: 30d } }]";
//! let definitions = check(&[Source { name: "shop.yaml".into(), text: text.into() }]).unwrap();
//! let packs = packs(&definitions);
//! assert_eq!(&*packs[0].module().audiences[0].id, "buyers");
//! assert!(packs[0].compile().unwrap().starts_with(b"\0asm"));
//!
//! let wrong = Source { name: "shop.yaml".into(), text: text.replace("30d", "30 days") };
//! let mistake = &check(&[wrong]).unwrap_err()[0];
//! assert!(mistake.to_string().starts_with("shop.yaml:1:"));
//! ```

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
pub use operand::OPERATORS;
pub use pack::{PackSource, packs};
pub use schema::{definition_schema, manifest_schema};
pub use span::{SpanError, format_span, parse_span};
pub use window::{format_instant, parse_instant};
