//! Which events count, over which span of time, and how they become one value.

use crate::comparison::{Comparison, Test, at_least};
use crate::input::{Anything, Condition, Count, Input, Number, Source};
use crate::predicate::Predicate;

/// Events of a user, of which an aggregate is taken: [`Events::happened`], [`Events::count`],
/// [`Events::sum`] and so on.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    pub(crate) name: &'static str,
    pub(crate) context: [Option<Field>; FIELDS_MAX],
    pub(crate) with: [Option<Field>; FIELDS_MAX],
    pub(crate) predicate: Option<Predicate>,
    pub(crate) within: Option<Span>,
    pub(crate) older_than: Option<Span>,
    pub(crate) between: Option<(&'static str, &'static str)>,
}

/// Properties that one selector compares: constants have a size, and more are hard to read.
const FIELDS_MAX: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) comparison: Comparison,
}

/// A length of time: [`days`], [`hours`] and so on. A day is 24 hours.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub(crate) milliseconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    Distinct,
    First,
    Last,
}

/// Events of that name. The whole lifetime counts, unless a window is given.
///
/// ```
/// use muster_guest_sdk::*;
/// const BOUGHT: Condition = event("purchase").context("platform", is("iOS")).happened();
/// const SPENT: Number = event("purchase").within(days(30)).sum("amount");
/// # audiences! { "buyers": buyers(BOUGHT, SPENT) }
/// # fn buyers(bought: bool, spent: Option<Decimal>) -> bool { bought && spent.is_some() }
/// # fn main() {}
/// ```
pub const fn event(name: &'static str) -> Events {
    assert!(!name.is_empty(), "an event has no name: write it, or `any_event()`");
    assert!(!crate::comparison::is_same(name, "*"), "`*` is no name: write `any_event()`");
    named(name)
}

/// Events of any name.
pub const fn any_event() -> Events {
    named("*")
}

const fn named(name: &'static str) -> Events {
    let (context, with, predicate) = ([None; FIELDS_MAX], [None; FIELDS_MAX], None);
    Events { name, context, with, predicate, within: None, older_than: None, between: None }
}

impl Events {
    /// Only those whose property passes a comparison.
    pub const fn with<T: Copy>(mut self, property: &'static str, test: Test<T>) -> Events {
        add(&mut self.with, Field { name: property, comparison: test.comparison });
        self
    }

    /// Only those in whose context something passes a comparison.
    pub const fn context<T: Copy>(mut self, key: &'static str, test: Test<T>) -> Events {
        add(&mut self.context, Field { name: key, comparison: test.comparison });
        self
    }

    /// Only those that a predicate of this crate accepts, which [`predicates!`](crate::predicates)
    /// declares. It is asked only about events that pass everything else, so compare what can be
    /// compared.
    pub const fn matching(mut self, predicate: Predicate) -> Events {
        assert!(
            self.predicate.is_none(),
            "`matching` is written twice: declare a predicate that says both"
        );
        self.predicate = Some(predicate);
        self
    }

    /// Only those younger than this: at exactly this age an event is out.
    pub const fn within(mut self, span: Span) -> Events {
        assert!(self.within.is_none(), "`within` is written twice: write it once");
        self.within = Some(span);
        self.checked()
    }

    /// Only those at least this old.
    pub const fn older_than(mut self, span: Span) -> Events {
        assert!(self.older_than.is_none(), "`older_than` is written twice: write it once");
        self.older_than = Some(span);
        self.checked()
    }

    /// Only those from one instant (inclusive) to another (exclusive): dates, as in `2026-01-31`, or
    /// RFC 3339 times.
    pub const fn between(mut self, from: &'static str, to: &'static str) -> Events {
        assert!(
            is_dated(from) && is_dated(to),
            "not a date: write `2026-01-31` or `2026-01-31T09:00:00Z`"
        );
        self.between = Some((from, to));
        self
    }

    const fn checked(self) -> Events {
        if let (Some(within), Some(older_than)) = (self.within, self.older_than) {
            assert!(
                older_than.milliseconds < within.milliseconds,
                "nothing is older than `older_than` and within `within`: make `within` longer"
            );
        }
        self
    }

    const fn aggregate<K: Copy>(self, aggregate: Aggregate, of: &'static str) -> Input<K> {
        assert!(
            matches!(aggregate, Aggregate::Count) || !of.is_empty(),
            "the property to aggregate has no name: write it between the quotes"
        );
        Input::new(Source::Events { events: self, aggregate, of })
    }

    /// The condition that there is at least one.
    pub const fn happened(self) -> Condition {
        self.count().test(at_least(1))
    }

    /// How many there are.
    pub const fn count(self) -> Count {
        self.aggregate(Aggregate::Count, "")
    }

    /// The sum of a property.
    pub const fn sum(self, property: &'static str) -> Number {
        self.aggregate(Aggregate::Sum, property)
    }

    /// The least number that a property had.
    pub const fn min(self, property: &'static str) -> Number {
        self.aggregate(Aggregate::Min, property)
    }

    /// The greatest number that a property had.
    pub const fn max(self, property: &'static str) -> Number {
        self.aggregate(Aggregate::Max, property)
    }

    /// The mean of a property.
    pub const fn avg(self, property: &'static str) -> Number {
        self.aggregate(Aggregate::Avg, property)
    }

    /// How many different values a property had.
    pub const fn distinct(self, property: &'static str) -> Count {
        self.aggregate(Aggregate::Distinct, property)
    }

    /// The value of a property in the earliest event that has it.
    pub const fn first(self, property: &'static str) -> Anything {
        self.aggregate(Aggregate::First, property)
    }

    /// The value of a property in the latest event that has it.
    pub const fn last(self, property: &'static str) -> Anything {
        self.aggregate(Aggregate::Last, property)
    }
}

const fn add(fields: &mut [Option<Field>; FIELDS_MAX], field: Field) {
    assert!(!field.name.is_empty(), "a property has no name: write it between the quotes");
    let mut at = 0;
    while let Some(other) = fields[at] {
        if crate::comparison::is_same(other.name, field.name) {
            panic!("a property is compared twice: join the comparisons with `.and(…)`");
        }
        at += 1;
        if at == FIELDS_MAX {
            panic!("events compare more than eight properties: use fewer");
        }
    }
    fields[at] = Some(field);
}

/// Whether a text begins as a date does; the host reads the rest.
const fn is_dated(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < 10 {
        if at >= bytes.len() || (bytes[at] == b'-') != (at == 4 || at == 7) {
            return false;
        }
        if bytes[at] != b'-' && !bytes[at].is_ascii_digit() {
            return false;
        }
        at += 1;
    }
    bytes.len() == 10 || bytes[10] == b'T'
}

const fn span(number: u32, milliseconds: i64) -> Span {
    assert!(number > 0, "a length of time is 0: write 1 or more");
    Span { milliseconds: number as i64 * milliseconds }
}

/// So many milliseconds.
pub const fn milliseconds(number: u32) -> Span {
    span(number, 1)
}

/// So many seconds.
pub const fn seconds(number: u32) -> Span {
    span(number, 1_000)
}

/// So many minutes.
pub const fn minutes(number: u32) -> Span {
    span(number, 60_000)
}

/// So many hours.
pub const fn hours(number: u32) -> Span {
    span(number, 3_600_000)
}

/// So many days of 24 hours.
pub const fn days(number: u32) -> Span {
    span(number, 86_400_000)
}

/// So many weeks of seven days.
pub const fn weeks(number: u32) -> Span {
    span(number, 7 * 86_400_000)
}

impl Aggregate {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Avg => "avg",
            Aggregate::Distinct => "distinct",
            Aggregate::First => "first",
            Aggregate::Last => "last",
        }
    }
}
