//! The definition language of Muster.
mod definition;
pub use definition::{Definition, Location, Rule};
