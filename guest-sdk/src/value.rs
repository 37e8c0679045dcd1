//! Raw values, as the host hands them over.

use crate::Decimal;
use crate::bindings::exports::muster::rules::decisions as wire;
use crate::selection_bindings::exports::muster::rules::selection;

/// A value of any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A missing attribute or property, or an aggregate of nothing.
    Missing,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(Decimal),
    /// Text.
    Text(&'a str),
    /// A list or an object, as compact JSON with sorted keys.
    Json(&'a str),
}

/// The values of a list.
///
/// ```
/// use muster_guest_sdk::{Item, Value};
/// let list = Value::Json(r#"["gold","new",3]"#).list().unwrap();
/// assert!(list.contains("gold") && !list.contains("old"));
/// assert_eq!(list.items()[2], Item::Number(3.into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(Vec<Item>);

/// A value of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(Decimal),
    /// Text.
    Text(String),
    /// Null, a list, an object, or a number that takes more than nine places, as JSON.
    Json(String),
}

impl<'a> Value<'a> {
    pub(crate) fn of(value: &'a wire::Value) -> Value<'a> {
        match value {
            wire::Value::None => Value::Missing,
            wire::Value::Boolean(boolean) => Value::Boolean(*boolean),
            wire::Value::Number(wire::Decimal { high, low }) => Value::Number(decimal(*high, *low)),
            wire::Value::Text(text) => Value::Text(text),
            wire::Value::Json(json) => Value::Json(json),
        }
    }

    pub(crate) fn of_present(value: &'a selection::Value) -> Value<'a> {
        match value {
            selection::Value::Boolean(boolean) => Value::Boolean(*boolean),
            selection::Value::Number(selection::Decimal { high, low }) => {
                Value::Number(decimal(*high, *low))
            }
            selection::Value::Text(text) => Value::Text(text),
            selection::Value::Json(json) => Value::Json(json),
        }
    }

    /// The number, if it is one.
    pub fn number(self) -> Option<Decimal> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is true, if it is true or false.
    pub fn boolean(self) -> Option<bool> {
        match self {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn list(self) -> Option<List> {
        match self {
            Value::Json(json) => List::parse(json),
            _ => None,
        }
    }
}

fn decimal(high: i64, low: u64) -> Decimal {
    Decimal::from_billionths(i128::from(high) << 64 | i128::from(low))
}

impl List {
    /// Its values, in their order.
    pub fn items(&self) -> &[Item] {
        &self.0
    }

    /// Whether this text is among them.
    pub fn contains(&self, text: &str) -> bool {
        self.texts().any(|item| item == text)
    }

    /// Those that are text.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|item| match item {
            Item::Text(text) => Some(&**text),
            _ => None,
        })
    }

    /// Those that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = Decimal> {
        self.0.iter().filter_map(|item| match item {
            Item::Number(number) => Some(*number),
            _ => None,
        })
    }

    /// Reads a list from compact JSON, which the host has checked.
    fn parse(json: &str) -> Option<List> {
        let inside = json.strip_prefix('[')?.strip_suffix(']')?;
        let (mut items, mut rest) = (Vec::new(), inside);
        while !rest.is_empty() {
            let (item, after) = rest.split_at(item_length(rest));
            items.push(Item::parse(item));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        Some(List(items))
    }
}

impl Item {
    fn parse(json: &str) -> Item {
        match json {
            "true" => Item::Boolean(true),
            "false" => Item::Boolean(false),
            _ => match json.strip_prefix('"') {
                Some(inside) => Item::Text(unescape(inside.strip_suffix('"').unwrap_or(inside))),
                None => Decimal::parse(json).map_or_else(|| Item::Json(json.into()), Item::Number),
            },
        }
    }
}

/// How far the first item of what is inside a list reaches.
fn item_length(json: &str) -> usize {
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    json.len()
}

/// The text between the quotes of a JSON text.
fn unescape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                // The host writes nothing so but control characters.
                let digits: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                text.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(itself) => text.push(itself),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_host_writes_them() {
        let json = r#"["a,\"b\"]",-2.5,true,null,[1,["x"]],{"k":"]"},1e30,"\u0007\n\\é"]"#;
        let expected = [
            Item::Text("a,\"b\"]".into()),
            Item::Number(Decimal::parse("-2.5").unwrap()),
            Item::Boolean(true),
            Item::Json("null".into()),
            Item::Json("[1,[\"x\"]]".into()),
            Item::Json("{\"k\":\"]\"}".into()),
            Item::Json("1e30".into()),
            Item::Text("\u{7}\n\\é".into()),
        ];
        assert_eq!(Value::Json(json).list().unwrap().items(), expected);
        assert_eq!(Value::Json("[]").list().unwrap().items(), []);
        assert_eq!(Value::Json("{}").list(), None);
        assert_eq!(Value::Text("[]").list(), None);
    }

    #[test]
    fn decimals_keep_their_sign_and_size() {
        for billionths in [0, 1, -1, 12_000_000_000, i128::from(u64::MAX) + 1, i128::MIN] {
            let (high, low) = ((billionths >> 64) as i64, billionths as u64);
            let value = wire::Value::Number(wire::Decimal { high, low });
            let number = Value::of(&value).number();
            assert_eq!(number.map(Decimal::billionths), Some(billionths));
        }
    }
}
