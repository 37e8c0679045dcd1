//! What rules look at, in words: for `muster inspect`, and for differences from a shadow.

use muster_core::{Condition, Feature, Looked, Window};
use muster_rules::{format_instant, format_span};

/// A condition.
pub fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Compare { feature: of, comparison } => {
            format!("{} is {comparison}", feature(of))
        }
        Condition::Member(id) => member(id),
    }
}

/// What an audience looks at.
pub fn looked(of: &Looked) -> String {
    match of {
        Looked::Feature(of) => feature(of),
        Looked::Member(id) => member(id),
    }
}

/// A value.
pub fn feature(feature: &Feature) -> String {
    match feature {
        Feature::Attribute(name) => format!("attribute `{name}`"),
        Feature::Events { selector, aggregate, of, window } => {
            let of = of.as_ref().map_or(String::new(), |of| format!(" of `{of}`"));
            // Comparisons that there are none of say nothing.
            let selector = selector.to_string().replace(",\"context\":{}", "");
            let selector = selector.replace(",\"with\":{}", "");
            format!("{}{of} over {selector}{}", aggregate.name(), bounds(window))
        }
    }
}

fn member(id: &str) -> String {
    format!("in audience `{id}`")
}

fn bounds(window: &Window) -> String {
    let instant = |time| format_instant(time).unwrap_or_default();
    let bounds = [
        window.within.map(|within| format!(", within {}", format_span(within))),
        window.older_than.map(|older| format!(", older than {}", format_span(older))),
        window.from.map(|from| format!(", from {}", instant(from))),
        window.to.map(|to| format!(", to {}", instant(to))),
    ];
    bounds.into_iter().flatten().collect()
}
