//! Reading a manifest, and believing none of it before it is checked.

use super::wire;
use super::{BYTES_MAX, ManifestError, VERSION, comparison};
use crate::check::id_fault;
use crate::diagnostic::{listed, quoted};
use crate::operand::Misfit;
use crate::span::parse_span;
use crate::window::{check_window, parse_time};
use muster_core::{
    Aggregate, Audience, Comparison, Condition, Feature, Module, Predicate, Selector, Span, Time,
    Window,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes of a module's name, an audience's name or version: they go into messages, metrics and
/// transitions.
const NAME_BYTES_MAX: usize = 1024;

/// Reads a manifest.
///
/// # Errors
/// When it is not of the published schema, or an index, an id, a comparison or a window in it can't
/// be: the first that is found.
pub fn read(text: &str) -> Result<Module, ManifestError> {
    if text.len() > BYTES_MAX {
        return Err(ManifestError::TooLong { bytes: text.len() });
    }
    let manifest: wire::Manifest<'_> =
        serde_json::from_str(text).map_err(ManifestError::Malformed)?;
    if manifest.manifest != VERSION {
        return Err(ManifestError::Version { version: manifest.manifest });
    }
    at("name", || check_name(&manifest.name))?;
    let predicates = each("predicates", &manifest.predicates, |name| {
        check_name(name).map(|()| Arc::from(name.as_str()))
    })?;
    check_once(&predicates)?;
    let selectors =
        each("selectors", &manifest.selectors, |selector| read_selector(selector, &predicates))?;
    let features =
        each("features", &manifest.features, |feature| read_feature(feature, &selectors))?;
    let conditions =
        each("conditions", &manifest.conditions, |condition| read_condition(condition, &features))?;
    let values =
        each("values", &manifest.values, |index| get(&features, *index, "features").cloned())?;
    let sizes = Sizes { conditions: conditions.len(), values: values.len() };
    let audiences =
        each("audiences", &manifest.audiences, |audience| read_audience(audience, sizes))?;
    check_ids(&audiences, &conditions)?;
    Ok(Module {
        name: manifest.name.into(),
        code: "".into(),
        predicates,
        conditions,
        values,
        audiences,
    })
}

#[derive(Clone, Copy)]
struct Sizes {
    conditions: usize,
    values: usize,
}

fn at<T>(place: &str, read: impl FnOnce() -> Result<T, Misfit>) -> Result<T, ManifestError> {
    read().map_err(|Misfit { message, help }| ManifestError::Entry {
        place: place.to_owned(),
        reason: message,
        help,
    })
}

fn each<F, T>(
    list: &str,
    from: &[F],
    read: impl Fn(&F) -> Result<T, Misfit>,
) -> Result<Vec<T>, ManifestError> {
    from.iter()
        .enumerate()
        .map(|(index, entry)| {
            read(entry).map_err(|Misfit { message, help }| ManifestError::Entry {
                place: format!("{list}[{index}]"),
                reason: message,
                help,
            })
        })
        .collect()
}

fn misfit(message: impl Into<String>, help: impl Into<String>) -> Misfit {
    Misfit { message: message.into(), help: help.into() }
}

fn get<'a, T>(entries: &'a [T], index: u32, list: &str) -> Result<&'a T, Misfit> {
    entries.get(index as usize).ok_or_else(|| {
        let length = entries.len();
        let help = format!("write an index below {length}");
        misfit(format!("index `{index}` is beyond the {length} of `{list}`"), help)
    })
}

fn check_name(name: &str) -> Result<(), Misfit> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let help = format!("write 1 to {NAME_BYTES_MAX} bytes on one line");
        return Err(misfit(format!("{} is not allowed", quoted(name)), help));
    }
    Ok(())
}

/// What names an event, a property or an attribute.
fn named(name: &str) -> Result<Arc<str>, Misfit> {
    if name.is_empty() {
        return Err(misfit("a name is empty", "write the name of an event, property or attribute"));
    }
    Ok(name.into())
}

fn read_selector(
    selector: &wire::Selector<'_>,
    predicates: &[Arc<str>],
) -> Result<Arc<Selector>, Misfit> {
    let event = named(&selector.event)?;
    let event = (&*event != "*").then_some(event);
    let context = read_comparisons(&selector.context)?;
    let read = Selector::new(event, context, read_comparisons(&selector.with)?);
    let Some(name) = &selector.predicate else { return Ok(Arc::new(read)) };
    let found = (0u32..).zip(predicates).find(|(_, predicate)| ***predicate == **name);
    let (index, name) = found.ok_or_else(|| {
        let message = format!("predicate {} is not listed", quoted(name));
        misfit(message, "list it under `predicates`")
    })?;
    // Whose code it is, is not the manifest's to say.
    let predicate = Predicate { name: name.clone(), index, code: "".into() };
    Ok(Arc::new(read.matching(predicate)))
}

fn read_comparisons(object: &wire::Object<'_>) -> Result<Vec<(Arc<str>, Comparison)>, Misfit> {
    let read = |(name, written): &(String, &serde_json::value::RawValue)| {
        let operators: wire::Object<'_> = serde_json::from_str(written.get()).map_err(|error| {
            let help = "write an object of operators, as in `{\"gte\":10}`";
            misfit(format!("comparison of {} is not one: {error}", quoted(name)), help)
        })?;
        Ok((named(name)?, comparison::read(&operators, None)?))
    };
    object.0.iter().map(read).collect()
}

fn read_feature(feature: &wire::Feature, selectors: &[Arc<Selector>]) -> Result<Feature, Misfit> {
    let wire::Feature { attribute, selector, aggregate, of, within, older_than, between } = feature;
    let help = "write `attribute` alone, or `selector`, `aggregate`, `of` and a window";
    let (selector, aggregate) = match (attribute, selector, aggregate) {
        (None, Some(selector), Some(aggregate)) => (selector, aggregate),
        (Some(attribute), None, None) => {
            let is_alone =
                (of.is_none() && within.is_none()) && (older_than.is_none() && between.is_none());
            return match is_alone {
                true => Ok(Feature::Attribute(named(attribute)?)),
                false => Err(misfit("feature is of an attribute and of events", help)),
            };
        }
        _ => return Err(misfit("feature is neither of an attribute nor of events", help)),
    };
    let selector = get(selectors, *selector, "selectors")?.clone();
    let names = Aggregate::ALL.map(Aggregate::name);
    let aggregate =
        Aggregate::ALL.into_iter().find(|known| known.name() == aggregate).ok_or_else(|| {
            let help = format!("write one of {}", listed(names));
            misfit(format!("unknown aggregate {}", quoted(aggregate)), help)
        })?;
    let of = match (aggregate, of) {
        (Aggregate::Count, None) => None,
        (Aggregate::Count, Some(_)) => {
            return Err(misfit("`count` takes no `of`", "remove it"));
        }
        (_, Some(of)) => Some(named(of)?),
        (_, None) => {
            let message = format!("`{}` has no key `of`", aggregate.name());
            return Err(misfit(message, "write the property that is aggregated"));
        }
    };
    let window = read_window(within.as_deref(), older_than.as_deref(), between.as_ref())?;
    Ok(Feature::Events { selector, aggregate, of, window })
}

fn read_window(
    within: Option<&str>,
    older_than: Option<&str>,
    between: Option<&wire::Between>,
) -> Result<Window, Misfit> {
    let span = |text: Option<&str>| -> Result<Option<Span>, Misfit> {
        text.map(parse_span).transpose().map_err(|error| misfit(error.message(), error.help()))
    };
    let time = |instant: Option<&wire::Instant>| -> Result<Option<Time>, Misfit> {
        match instant {
            None => Ok(None),
            Some(wire::Instant::Text(text)) => parse_time(text).map(Some),
            Some(wire::Instant::Milliseconds(milliseconds)) => {
                let time = Time::from_milliseconds(*milliseconds);
                time.map(Some).ok_or_else(|| {
                    let message = format!("`{milliseconds}` lies beyond the years that count");
                    misfit(message, "write milliseconds since 1970 of a year up to 9999")
                })
            }
        }
    };
    let window = Window {
        within: span(within)?,
        older_than: span(older_than)?,
        from: time(between.and_then(|between| between.from.as_ref()))?,
        to: time(between.and_then(|between| between.to.as_ref()))?,
    };
    check_window(&window).map_err(|(_, misfit)| misfit)?;
    Ok(window)
}

fn read_condition(
    condition: &wire::Condition<'_>,
    features: &[Feature],
) -> Result<Condition, Misfit> {
    match (condition.feature, &condition.is, &condition.audience) {
        (Some(feature), Some(is), None) => {
            let feature = get(features, feature, "features")?.clone();
            let aggregate = match feature {
                Feature::Events { aggregate, .. } => Some(aggregate),
                Feature::Attribute(_) => None,
            };
            let comparison = comparison::read(is, aggregate)?;
            Ok(Condition::Compare { feature, comparison })
        }
        (None, None, Some(id)) => check_id(id).map(|()| Condition::Member(id.as_str().into())),
        _ => Err(misfit(
            "condition is neither a comparison nor a reference",
            "write `feature` and `is`, or `audience` alone",
        )),
    }
}

fn check_id(id: &str) -> Result<(), Misfit> {
    match id_fault(id) {
        None => Ok(()),
        Some(help) => Err(misfit(format!("id {} is not allowed", quoted(id)), help)),
    }
}

fn read_audience(audience: &wire::Audience, sizes: Sizes) -> Result<Audience, Misfit> {
    check_id(&audience.id)?;
    let name = audience.name.as_ref().unwrap_or(&audience.id);
    check_name(name)?;
    check_name(&audience.version)?;
    check_indices(&audience.conditions, sizes.conditions, "conditions")?;
    check_indices(&audience.values, sizes.values, "values")?;
    check_listed(&audience.requires, &audience.conditions, "requires")?;
    check_listed(&audience.excludes, &audience.conditions, "excludes")?;
    Ok(Audience {
        id: audience.id.as_str().into(),
        name: name.as_str().into(),
        version: audience.version.as_str().into(),
        conditions: audience.conditions.clone(),
        values: audience.values.clone(),
        requires: audience.requires.clone(),
        excludes: audience.excludes.clone(),
    })
}

/// What an audience says of its own conditions speaks of no others.
fn check_listed(indices: &[u32], conditions: &[u32], list: &str) -> Result<(), Misfit> {
    check_indices(indices, usize::MAX, list)?;
    match indices.iter().find(|index| conditions.binary_search(index).is_err()) {
        None => Ok(()),
        Some(index) => Err(misfit(
            format!("condition `{index}` of `{list}` is not one of the audience's `conditions`"),
            "list it there too, or remove it here",
        )),
    }
}

fn check_indices(indices: &[u32], length: usize, list: &str) -> Result<(), Misfit> {
    if let Some(pair) = indices.windows(2).find(|pair| pair[0] >= pair[1]) {
        let message = format!("`{}` follows `{}` in `{list}`", pair[1], pair[0]);
        return Err(misfit(message, "write each index once, in ascending order"));
    }
    match indices.last() {
        Some(last) if *last as usize >= length => {
            let message = format!("index `{last}` is beyond the {length} of `{list}`");
            Err(misfit(message, format!("write an index below {length}")))
        }
        _ => Ok(()),
    }
}

/// A selector names its predicate, so that each name stands for one.
fn check_once(predicates: &[Arc<str>]) -> Result<(), ManifestError> {
    let mut names: HashSet<&Arc<str>> = HashSet::with_capacity(predicates.len());
    match predicates.iter().position(|name| !names.insert(name)) {
        None => Ok(()),
        Some(index) => at(&format!("predicates[{index}]"), || {
            let name = quoted(&predicates[index]);
            Err(misfit(format!("predicate {name} is listed twice"), "list it once"))
        }),
    }
}

/// A module decides each audience once, and refers to none of its own.
fn check_ids(audiences: &[Audience], conditions: &[Condition]) -> Result<(), ManifestError> {
    let mut ids: HashSet<&str> = HashSet::with_capacity(audiences.len());
    for (index, audience) in audiences.iter().enumerate() {
        if !ids.insert(&audience.id) {
            return at(&format!("audiences[{index}]"), || {
                Err(misfit(format!("id `{}` is taken", audience.id), "write another id"))
            });
        }
    }
    for (index, condition) in conditions.iter().enumerate() {
        let Condition::Member(id) = condition else { continue };
        if ids.contains(&**id) {
            return at(&format!("conditions[{index}]"), || {
                let message = format!("`{id}` is an audience of this module");
                Err(misfit(message, "decide it inside, or move it to another module"))
            });
        }
    }
    Ok(())
}
