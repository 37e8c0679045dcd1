//! Conditions as literals: a positive condition and whether it is negated.

use muster_core::{Aggregate, Comparison, Condition, Feature, Test};
use std::fmt::Write as _;

/// The condition without its negation, and whether it had one. A negated operator is true exactly
/// when the plain one is not, whatever the value or its absence, so that both share one condition.
pub(super) fn positive(condition: &Condition) -> (Condition, bool) {
    if let Condition::Compare { feature, comparison } = condition
        && let [test] = comparison.tests()
        && let Some(test) = opposite(test, is_always_a_number(feature))
    {
        let comparison = Comparison::new(vec![test]);
        return (Condition::Compare { feature: feature.clone(), comparison }, true);
    }
    (condition.clone(), false)
}

/// The plain test that a negated one is the opposite of.
fn opposite(test: &Test, always_a_number: bool) -> Option<Test> {
    Some(match test {
        Test::NotEqual(value) => Test::Equal(value.clone()),
        Test::NotIn(values) => Test::In(values.clone()),
        Test::NotContains(text) => Test::Contains(text.clone()),
        Test::NotStartsWith(text) => Test::StartsWith(text.clone()),
        Test::NotEndsWith(text) => Test::EndsWith(text.clone()),
        Test::NotMatches(pattern) => Test::Matches(pattern.clone()),
        Test::Exists(false) => Test::Exists(true),
        Test::Less(number) if always_a_number => Test::GreaterOrEqual(*number),
        Test::LessOrEqual(number) if always_a_number => Test::Greater(*number),
        _ => return None,
    })
}

/// Only where there is always a number is "less" the opposite of "greater or equal".
fn is_always_a_number(feature: &Feature) -> bool {
    match feature {
        Feature::Events { aggregate, .. } => {
            matches!(aggregate, Aggregate::Count | Aggregate::Distinct)
        }
        Feature::Attribute(_) => false,
    }
}

/// The condition as canonical text, which versions are hashes of: independent of how and where the
/// condition was written.
pub(crate) fn text(condition: &Condition) -> String {
    let mut out = String::new();
    match condition {
        Condition::Member(id) => push_text(&mut out, "member", id),
        Condition::Compare { feature, comparison } => {
            push_feature(&mut out, feature);
            push_text(&mut out, "is", &comparison.to_string());
        }
    }
    out
}

fn push_feature(out: &mut String, feature: &Feature) {
    match feature {
        Feature::Attribute(name) => push_text(out, "attribute", name),
        Feature::Events { selector, aggregate, of, window } => {
            push_text(out, "events", &selector.to_string());
            push_text(out, aggregate.name(), of.as_deref().unwrap_or_default());
            let bounds = [
                ("within", window.within.map(|span| span.milliseconds())),
                ("older_than", window.older_than.map(|span| span.milliseconds())),
                ("from", window.from.map(|time| time.milliseconds())),
                ("to", window.to.map(|time| time.milliseconds())),
            ];
            for (label, milliseconds) in bounds {
                if let Some(milliseconds) = milliseconds {
                    push_text(out, label, &milliseconds.to_string());
                }
            }
        }
    }
}

/// Appends a label and a text behind its length, so that no text can pose as something else.
fn push_text(out: &mut String, label: &str, text: &str) {
    if write!(out, "{label}:{}:{text};", text.len()).is_err() {
        unreachable!("writing to a string does not fail");
    }
}
