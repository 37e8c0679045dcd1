//! Predicates over events: what comparisons can't say.

use crate::Value;
use crate::selection_bindings::exports::muster::rules::selection as wire;

/// A crate's own predicate over an event, as [`predicates!`](crate::predicates) declares it; see
/// [`Events::matching`](crate::Events::matching).
#[derive(Clone, Copy, Debug)]
pub struct Predicate {
    pub(crate) all: &'static Predicates,
    pub(crate) name: &'static str,
}

/// The predicates of a crate. For [`predicates!`](crate::predicates) alone.
#[doc(hidden)]
#[derive(Debug)]
pub struct Predicates {
    pub(crate) names: &'static [&'static str],
    functions: &'static [Accept],
}

/// Whether an event counts.
#[doc(hidden)]
pub type Accept = fn(Event<'_>) -> bool;

/// An event, as a predicate sees it. What is missing is [`Value::Missing`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a>(&'a wire::Event);

impl Predicate {
    #[doc(hidden)]
    pub const fn new(all: &'static Predicates, name: &'static str) -> Predicate {
        Predicate { all, name }
    }
}

impl Predicates {
    #[doc(hidden)]
    pub const fn new(names: &'static [&'static str], functions: &'static [Accept]) -> Predicates {
        assert!(names.len() == functions.len(), "a predicate has a name and a function");
        Predicates { names, functions }
    }

    /// Whether these are the others, by their names.
    pub(crate) const fn is_same(&self, others: &Predicates) -> bool {
        let mut at = 0;
        while at < self.names.len() && at < others.names.len() {
            if !crate::comparison::is_same(self.names[at], others.names[at]) {
                return false;
            }
            at += 1;
        }
        self.names.len() == others.names.len()
    }

    /// Selects events, as the contract says.
    #[doc(hidden)]
    pub fn select(&self, candidates: &[wire::Candidate]) -> Vec<bool> {
        let answers = candidates.iter().flat_map(|candidate| {
            let event = Event(&candidate.event);
            let functions = candidate.predicates.iter().filter_map(|index| {
                usize::try_from(*index).ok().and_then(|index| self.functions.get(index))
            });
            functions.map(move |accept| accept(event))
        });
        answers.collect()
    }
}

impl<'a> Event<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        &self.0.name
    }

    /// When it happened, in milliseconds since 1970.
    pub fn time_ms(self) -> i64 {
        self.0.time
    }

    /// A property.
    pub fn property(self, name: &str) -> Value<'a> {
        find(&self.0.properties, name)
    }

    /// Something of the context of its message.
    pub fn context(self, key: &str) -> Value<'a> {
        find(&self.0.context, key)
    }
}

/// The entry of that name; they are sorted by it.
fn find<'a>(entries: &'a [wire::Property], name: &str) -> Value<'a> {
    let at = entries.binary_search_by(|entry| entry.name.as_str().cmp(name));
    at.map_or(Value::Missing, |at| Value::of_present(&entries[at].value))
}

/// Declares a crate's predicates over events, once, at its root: a constant each, and the function
/// that decides. Beside the comparisons of [`Events`](crate::Events), a predicate says which events
/// count: whatever a function of one event can say.
///
/// ```
/// use muster_guest_sdk::*;
///
/// predicates! { NEAR: is_near }
///
/// const VISITED: Condition = event("visit").matching(NEAR).within(days(7)).happened();
///
/// audiences! { "visitors": visitors(VISITED) }
///
/// fn is_near(visit: Event) -> bool {
///     let distance = |name, from: i64| {
///         let degrees = visit.property(name).number()?.to_f64() - from as f64;
///         Some(degrees * degrees)
///     };
///     distance("latitude", 52).zip(distance("longitude", 13)).is_some_and(|(a, b)| a + b < 1.0)
/// }
///
/// fn visitors(visited: bool) -> bool {
///     visited
/// }
///
/// # fn main() {
/// # #[cfg(feature = "simulation")] {
/// use muster_guest_sdk::simulation::User;
///
/// let ann = User::new(&MODULE).at("2026-01-03").event("visit").property("latitude", 52.2);
/// assert!(!ann.is_in("visitors"));
/// assert!(ann.property("longitude", 13.5).is_in("visitors"));
/// # }
/// # }
/// ```
///
/// The function must decide by the event alone, and always alike: the host asks when the event
/// arrives, and again when it reads history. What is selected by the code of one build is gathered
/// anew under the next.
#[macro_export]
macro_rules! predicates {
    ($($name:ident : $($function:ident)::+),+ $(,)?) => {
        #[doc(hidden)]
        static MUSTER_PREDICATES: $crate::Predicates = $crate::Predicates::new(
            &[$(stringify!($name)),+],
            &[$($($function)::+),+],
        );

        $(const $name: $crate::Predicate =
            $crate::Predicate::new(&MUSTER_PREDICATES, stringify!($name));)+

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::selection_bindings::exports::muster::rules::selection::Guest for Exported {
                fn select(
                    candidates: Vec<
                        $crate::selection_bindings::exports::muster::rules::selection::Candidate,
                    >,
                ) -> Vec<bool> {
                    MUSTER_PREDICATES.select(&candidates)
                }
            }

            $crate::selection_bindings::export_selection!(
                Exported with_types_in $crate::selection_bindings
            );
        };
    };
    ($($other:tt)*) => {
        compile_error!(
            "predicates are written as `NAME: function,`: the constant that events are matched with, \
             then the function that takes an `Event` and says whether it counts"
        );
    };
}
