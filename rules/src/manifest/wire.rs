//! The shape of a manifest, as serde reads it.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest<'a> {
    pub(super) manifest: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) predicates: Vec<String>,
    #[serde(borrow, default)]
    pub(super) selectors: Vec<Selector<'a>>,
    #[serde(default)]
    pub(super) features: Vec<Feature>,
    #[serde(borrow, default)]
    pub(super) conditions: Vec<Condition<'a>>,
    #[serde(default)]
    pub(super) values: Vec<u32>,
    #[serde(default)]
    pub(super) audiences: Vec<Audience>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selector<'a> {
    pub(super) event: String,
    #[serde(borrow, default)]
    pub(super) context: Object<'a>,
    #[serde(borrow, default)]
    pub(super) with: Object<'a>,
    pub(super) predicate: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feature {
    pub(super) attribute: Option<String>,
    pub(super) selector: Option<u32>,
    pub(super) aggregate: Option<String>,
    pub(super) of: Option<String>,
    pub(super) within: Option<String>,
    pub(super) older_than: Option<String>,
    pub(super) between: Option<Between>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Between {
    pub(super) from: Option<Instant>,
    pub(super) to: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Instant {
    Milliseconds(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition<'a> {
    pub(super) feature: Option<u32>,
    #[serde(borrow)]
    pub(super) is: Option<Object<'a>>,
    pub(super) audience: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audience {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) version: String,
    #[serde(default)]
    pub(super) conditions: Vec<u32>,
    #[serde(default)]
    pub(super) values: Vec<u32>,
    #[serde(default)]
    pub(super) requires: Vec<u32>,
    #[serde(default)]
    pub(super) excludes: Vec<u32>,
}

/// An object in the order in which it was written, its values as they were written, so that
/// numbers keep all their digits. A key that is written twice is an error.
#[derive(Default)]
pub(super) struct Object<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if !seen.insert(key.clone()) {
                let key = crate::diagnostic::quoted(&key);
                return Err(serde::de::Error::custom(format_args!("key {key} is written twice")));
            }
            entries.push((key, value));
        }
        Ok(Object(entries))
    }
}
