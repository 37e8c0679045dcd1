//! Fields of messages: objects, texts, times, values.

use muster_core::{Decimal, DecimalError, Fields, Time, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of one text, list or object: longer ones are documents, not values to compare.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Properties of an event, attributes of a user, keys of a context.
const FIELDS_MAX: usize = 256;
/// Bytes of a field's name.
const NAME_BYTES_MAX: usize = 256;
/// Lists in lists: far more than anybody compares, and no danger to the stack.
const DEPTH_MAX: usize = 64;
/// Bytes of an offending value that a reason repeats.
const SHOWN_BYTES_MAX: usize = 64;

/// Why something was refused: one line, lowercase, with the mend.
pub(super) type Reason = String;

/// A JSON object's keys and values, in order, the values unread.
pub(super) struct Object<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn text(raw: &RawValue) -> Result<Arc<str>, Reason> {
    if raw.get().len() > VALUE_BYTES_MAX {
        return Err(format!("text is too long: write at most {VALUE_BYTES_MAX} bytes"));
    }
    match serde_json::from_str::<Key<'_>>(raw.get()) {
        Ok(Key(text)) => Ok(text.into()),
        Err(_) => Err(format!("{} is not text: put it in quotes", shown(raw))),
    }
}

pub(super) fn list(raw: &RawValue) -> Result<Vec<&RawValue>, Reason> {
    serde_json::from_str(raw.get())
        .map_err(|_| format!("{} is not a list: put the events in brackets", shown(raw)))
}

pub(super) fn time(raw: &RawValue) -> Result<Time, Reason> {
    let time = match raw.get().as_bytes().first() {
        Some(b'"') => parse_time(&text(raw)?),
        _ => raw.get().parse().ok().and_then(Time::from_milliseconds),
    };
    time.ok_or_else(|| {
        let example = "write RFC 3339 (2026-01-03T09:00:00Z) or whole milliseconds since 1970";
        format!("{} is not a time: {example}", shown(raw))
    })
}

/// An RFC 3339 time; what is finer than a millisecond is cut off. None when it is no time.
pub fn parse_time(text: &str) -> Option<Time> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Time::from_milliseconds(timestamp.as_microsecond().div_euclid(1_000))
}

/// A time as RFC 3339 in UTC with milliseconds.
pub fn format_time(time: Time) -> String {
    match jiff::Timestamp::from_millisecond(time.milliseconds()) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => time.milliseconds().to_string(),
    }
}

/// A value; none when it is null.
pub(super) fn attribute(raw: &RawValue) -> Result<Option<Value>, Reason> {
    let json = raw.get();
    if json.len() > VALUE_BYTES_MAX {
        return Err(format!("value is too long: write at most {VALUE_BYTES_MAX} bytes"));
    }
    Ok(Some(match json.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'"') => Value::Text(text(raw)?),
        Some(b'[' | b'{') => Value::Composite(canonical(raw, DEPTH_MAX)?.into()),
        _ => Value::Number(number(raw)?),
    }))
}

fn number(raw: &RawValue) -> Result<Decimal, Reason> {
    Decimal::parse(raw.get()).map_err(|error| match error {
        DecimalError::TooLarge => format!("{} is out of range: {error}", shown(raw)),
        DecimalError::Malformed => format!("{} is not a number", shown(raw)),
    })
}

pub(super) fn identity(raw: &RawValue) -> Result<Option<Arc<str>>, Reason> {
    super::optional(raw, text)
}

/// Names and what was read of them, sorted; of a name given twice the last counts.
pub(super) fn object<T>(
    raw: &RawValue,
    read: impl Fn(&RawValue) -> Result<T, Reason>,
) -> Result<Vec<(Arc<str>, T)>, Reason> {
    if raw.get() == "null" {
        return Ok(Vec::new());
    }
    let object: Object<'_> = serde_json::from_str(raw.get())
        .map_err(|_| format!("{} is not an object: write names and values", shown(raw)))?;
    if object.0.len() > FIELDS_MAX {
        return Err(format!("too many names: write at most {FIELDS_MAX}"));
    }
    let mut entries = Vec::with_capacity(object.0.len());
    for (name, raw) in object.0 {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name is too long: write at most {NAME_BYTES_MAX} bytes"));
        }
        let value = read(raw).map_err(|reason| format!("`{name}`: {reason}"))?;
        entries.push((Arc::<str>::from(name), value));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    // A stable sort left equal names in their order.
    entries.reverse();
    entries.dedup_by(|later, kept| later.0 == kept.0);
    entries.reverse();
    Ok(entries)
}

pub(super) fn fields(raw: &RawValue) -> Result<Fields, Reason> {
    let entries = object(raw, attribute)?;
    Ok(entries.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The offending text, shortened.
pub(super) fn shown(raw: &RawValue) -> String {
    let json = raw.get();
    let end = json.floor_char_boundary(SHOWN_BYTES_MAX);
    let dots = if end < json.len() { "…" } else { "" };
    format!("`{}{dots}`", &json[..end])
}

/// Compact JSON with sorted keys and numbers as they print, so that equal lists and objects are equal
/// texts. Of a key given twice the last counts.
fn canonical(raw: &RawValue, depth: usize) -> Result<String, Reason> {
    let malformed = |error: serde_json::Error| format!("malformed JSON: {error}");
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("lists lie more than {DEPTH_MAX} deep: write them flatter"));
    };
    let json = raw.get();
    Ok(match json.as_bytes().first() {
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(malformed)?;
            let elements: Result<Vec<String>, Reason> =
                elements.into_iter().map(|element| canonical(element, depth)).collect();
            format!("[{}]", elements?.join(","))
        }
        Some(b'{') => {
            let Object(entries) = serde_json::from_str(json).map_err(malformed)?;
            let mut sorted = BTreeMap::new();
            for (key, value) in entries {
                sorted.insert(key, canonical(value, depth)?);
            }
            let entries: Result<Vec<String>, serde_json::Error> = sorted
                .iter()
                .map(|(key, value)| Ok(format!("{}:{value}", serde_json::to_string(key)?)))
                .collect();
            format!("{{{}}}", entries.map_err(malformed)?.join(","))
        }
        Some(b'"') => serde_json::to_string(&*text(raw)?).map_err(malformed)?,
        Some(b't' | b'f' | b'n') => json.to_string(),
        _ => number(raw)?.to_string(),
    })
}
