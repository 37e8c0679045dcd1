//! Property and attribute values.

use crate::decimal::Decimal;
use std::fmt;
use std::sync::Arc;

/// A property's or attribute's value. What is null is missing and has no `Value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A number: 3 equals 3.0, and never "3".
    Number(Decimal),
    /// Text, compared case-sensitively.
    Text(Arc<str>),
    /// A list or an object, as compact JSON with sorted keys. It answers only `exists`.
    Composite(Arc<str>),
}

impl Value {
    /// A text value.
    pub fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<Decimal> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Boolean(_) => 1,
            Value::Number(_) => 8,
            Value::Text(text) | Value::Composite(text) => text.len(),
        }
    }
}

impl fmt::Display for Value {
    /// The value as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(boolean) => boolean.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => write_json_text(f, text),
            Value::Composite(json) => f.write_str(json),
        }
    }
}

/// Writes a JSON string literal.
pub(crate) fn write_json_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            c if (c as u32) < 0x20 => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
