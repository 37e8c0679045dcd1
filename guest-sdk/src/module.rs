//! A module: audiences, each a function and the inputs that it takes.

use crate::Value;
use crate::bindings::exports::muster::rules::decisions as wire;
use crate::input::{Input, Kind, Spec};
use crate::predicate::Predicates;
use crate::selection_bindings::exports::muster::rules::selection;

/// The audiences of a crate, as [`audiences!`](crate::audiences) declares them.
#[derive(Debug)]
pub struct Module {
    manifest: &'static str,
    /// How many inputs each audience has.
    inputs: &'static [usize],
    /// For each input of each audience, where it is found.
    slots: &'static [u32],
    rules: &'static [Decide],
    predicates: Option<&'static Predicates>,
}

/// Decides one audience.
#[doc(hidden)]
pub type Decide = fn(&mut Reader<'_>) -> bool;

/// One audience, as the manifest describes it. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Audience {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) inputs: &'static [Spec],
}

/// Hands an audience its inputs, one after the other. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
#[derive(Debug)]
pub struct Reader<'a> {
    /// Ascending.
    conditions: &'a [u32],
    values: &'a [wire::Value],
    slots: std::slice::Iter<'a, u32>,
}

/// Bytes of an audience's id, as the manifest allows.
const ID_BYTES_MAX: usize = 128;

pub(crate) const fn is_id(id: &str) -> bool {
    let (bytes, mut at) = (id.as_bytes(), 0);
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() && !matches!(bytes[at], b'.' | b'_' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= ID_BYTES_MAX
}

impl Audience {
    #[doc(hidden)]
    pub const fn new(
        id: &'static str,
        name: &'static str,
        version: &'static str,
        inputs: &'static [Spec],
    ) -> Audience {
        Audience { id, name, version, inputs }
    }

    /// Whether the id is one.
    #[doc(hidden)]
    pub const fn has_id(&self) -> bool {
        is_id(self.id)
    }

    /// How many inputs each of `N` audiences has: all of them that a call needs to know.
    #[doc(hidden)]
    pub const fn inputs<const N: usize>(audiences: &[Audience]) -> [usize; N] {
        let (mut inputs, mut at) = ([0; N], 0);
        while at < N {
            inputs[at] = audiences[at].inputs.len();
            at += 1;
        }
        inputs
    }

    /// Whether no two of them have the same id.
    #[doc(hidden)]
    pub const fn are_distinct(audiences: &[Audience]) -> bool {
        let mut at = 0;
        while at < audiences.len() {
            let mut before = 0;
            while before < at {
                if crate::comparison::is_same(audiences[before].id, audiences[at].id) {
                    return false;
                }
                before += 1;
            }
            at += 1;
        }
        true
    }
}

impl Module {
    #[doc(hidden)]
    pub const fn new(
        manifest: &'static [u8],
        inputs: &'static [usize],
        slots: &'static [u32],
        rules: &'static [Decide],
        predicates: Option<&'static Predicates>,
    ) -> Module {
        match std::str::from_utf8(manifest) {
            Ok(manifest) => Module { manifest, inputs, slots, rules, predicates },
            Err(_) => panic!("a manifest is written as text"),
        }
    }

    /// What the module says of itself: JSON of the schema `muster-manifest-1`.
    pub const fn manifest(&self) -> &'static str {
        self.manifest
    }

    /// Selects events, as the contract says; none by a module without predicates.
    #[doc(hidden)]
    pub fn select(&self, candidates: &[selection::Candidate]) -> Vec<bool> {
        self.predicates.map_or_else(Vec::new, |predicates| predicates.select(candidates))
    }

    /// Decides audiences, as the contract says.
    #[doc(hidden)]
    pub fn evaluate(&self, asked: &[u32], conditions: &[u32], values: &[wire::Value]) -> Vec<bool> {
        let (mut decisions, mut first) = (Vec::with_capacity(asked.len()), 0);
        let mut asked = asked.iter().peekable();
        // What is asked for is ascending.
        for ((index, inputs), decide) in (0u32..).zip(self.inputs).zip(self.rules) {
            let end = first + inputs;
            if asked.next_if(|asked| **asked == index).is_some() {
                let slots = self.slots[first..end].iter();
                decisions.push(decide(&mut Reader { conditions, values, slots }));
            }
            first = end;
        }
        decisions
    }
}

impl<'a> Reader<'a> {
    /// The next input of the audience; each is read in the order in which it was listed.
    pub fn read<K: Kind>(&mut self, _input: Input<K>) -> K::Read<'a> {
        K::read(self)
    }

    pub(crate) fn condition(&mut self) -> bool {
        let slot = self.slots.next();
        slot.is_some_and(|slot| self.conditions.binary_search(slot).is_ok())
    }

    pub(crate) fn value(&mut self) -> Value<'a> {
        let slot = self.slots.next().and_then(|slot| usize::try_from(*slot).ok());
        let value = slot.and_then(|slot| self.values.get(slot));
        value.map_or(Value::Missing, Value::of)
    }
}

/// Declares the audiences of a crate, once, at its root: each an id, a function, and the inputs that
/// the function takes, in the order of its parameters. A name for people follows `as`.
///
/// ```
/// use muster_guest_sdk::*;
///
/// const BOUGHT: Condition = event("purchase").within(days(30)).happened();
/// const SPENT: Number = event("purchase").within(days(30)).sum("amount");
/// const COUNTRY: Text = attribute("country").text();
///
/// audiences! {
///     "buyers": buyers(BOUGHT),
///     "big-spenders" as "Big spenders": big_spenders(SPENT, COUNTRY),
/// }
///
/// fn buyers(bought: bool) -> bool {
///     bought
/// }
///
/// fn big_spenders(spent: Option<Decimal>, country: Option<&str>) -> bool {
///     spent.is_some_and(|spent| spent >= if country == Some("US") { 500 } else { 300 })
/// }
/// # fn main() {
/// # assert!(MODULE.manifest().contains("big-spenders"));
/// # }
/// ```
///
/// The function must decide by what it is handed and by nothing else. It becomes a part of the static
/// `MODULE`, which tests hand to the simulation.
#[macro_export]
macro_rules! audiences {
    ($($id:literal $(as $name:literal)? : $($function:ident)::+ ($($input:expr),* $(,)?)),+ $(,)?) => {
        $($(const _: () = $crate::listed($input);)*)+
        #[doc(hidden)]
        const MUSTER_AUDIENCES: &[$crate::Audience] = &[$(
            $crate::Audience::new(
                $crate::audiences!(@id $id),
                $crate::audiences!(@name $id $($name)?),
                env!("CARGO_PKG_VERSION"),
                const { &[$($crate::spec($input)),*] },
            )
        ),+];
        const _: () = assert!(
            $crate::Audience::are_distinct(MUSTER_AUDIENCES),
            "two audiences have the same id: give one another",
        );
        #[doc(hidden)]
        const MUSTER_TABLES: $crate::Tables<{ $crate::count_inputs(MUSTER_AUDIENCES) }> =
            $crate::Tables::new(MUSTER_AUDIENCES);
        #[doc(hidden)]
        const MUSTER_LENGTH: usize = $crate::Writer::<0>::manifest(
            env!("CARGO_PKG_NAME"),
            MUSTER_AUDIENCES,
            &MUSTER_TABLES,
        )
        .length();
        #[doc(hidden)]
        const MUSTER_MANIFEST: [u8; MUSTER_LENGTH] = $crate::Writer::<MUSTER_LENGTH>::manifest(
            env!("CARGO_PKG_NAME"),
            MUSTER_AUDIENCES,
            &MUSTER_TABLES,
        )
        .bytes();

        /// The audiences of this crate.
        pub static MODULE: $crate::Module = $crate::Module::new(
            &MUSTER_MANIFEST,
            const { &$crate::Audience::inputs::<{ MUSTER_AUDIENCES.len() }>(MUSTER_AUDIENCES) },
            const { &MUSTER_TABLES.slots() },
            // An audience that looks at nothing reads nothing.
            &[$(|_reader| $($function)::+($(_reader.read($input)),*)),+],
            MUSTER_TABLES.predicates(),
        );

        // Linkers of other targets can't take the names that the contract gives its functions.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::muster::rules::decisions::Guest for Exported {
                fn describe() -> String {
                    MODULE.manifest().to_owned()
                }

                fn evaluate(
                    audiences: Vec<u32>,
                    conditions: Vec<u32>,
                    values: Vec<$crate::bindings::exports::muster::rules::decisions::Value>,
                ) -> Vec<bool> {
                    MODULE.evaluate(&audiences, &conditions, &values)
                }
            }

            $crate::bindings::export_bindings!(Exported with_types_in $crate::bindings);

            #[unsafe(link_section = "muster:manifest")]
            static SECTION: [u8; MUSTER_LENGTH] = MUSTER_MANIFEST;
        };
    };
    (@id $id:literal) => {{
        assert!(
            $crate::Audience::new($id, $id, "", &[]).has_id(),
            concat!("`", $id, "` is no audience's id: write 1 to 128 letters, digits, `.`, `_` or `-`"),
        );
        $id
    }};
    (@name $id:literal) => { $id };
    (@name $id:literal $name:literal) => { $name };
    ($($other:tt)*) => {
        compile_error!(
            "audiences are written as `\"id\": function(INPUT, …),`: the id in quotes, then the \
             function that decides, then the constants that it takes; a name for people follows \
             the id after `as`"
        );
    };
}
