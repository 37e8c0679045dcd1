//! What an audience looks at: conditions, which the host decides, and values, which it hands over.

use crate::comparison::{Comparison, Test, of};
use crate::events::{Aggregate, Events};
use crate::value::{List, Value};
use crate::{Decimal, Reader};
use std::marker::PhantomData;

/// Something of a user that an audience looks at. `K`, one of [`kind`], says what it is handed over
/// as; [`Condition`], [`Count`], [`Number`], [`Text`], [`Boolean`], [`Values`] and [`Anything`] are
/// its names. Declared as a constant, and listed by the audiences that look at it.
#[derive(Clone, Copy, Debug)]
pub struct Input<K> {
    spec: Spec,
    kind: PhantomData<K>,
}

/// What is true or false of a user: a `bool`.
pub type Condition = Input<kind::Condition>;
/// How many: a `u64`.
pub type Count = Input<kind::Count>;
/// A number, exact: an `Option<Decimal>`, since an aggregate of nothing has no value.
pub type Number = Input<kind::Number>;
/// Text: an `Option<&str>`.
pub type Text = Input<kind::Text>;
/// True or false: an `Option<bool>`.
pub type Boolean = Input<kind::Boolean>;
/// A list of values: an `Option<List>`.
pub type Values = Input<kind::Values>;
/// A value of any type: a [`Value`].
pub type Anything = Input<kind::Anything>;

/// What inputs are handed over as.
pub mod kind {
    /// A condition, handed over as `bool`.
    #[derive(Clone, Copy, Debug)]
    pub struct Condition;
    /// A count, handed over as `u64`.
    #[derive(Clone, Copy, Debug)]
    pub struct Count;
    /// A number, handed over as `Option<Decimal>`.
    #[derive(Clone, Copy, Debug)]
    pub struct Number;
    /// Text, handed over as `Option<&str>`.
    #[derive(Clone, Copy, Debug)]
    pub struct Text;
    /// True or false, handed over as `Option<bool>`.
    #[derive(Clone, Copy, Debug)]
    pub struct Boolean;
    /// A list, handed over as `Option<List>`.
    #[derive(Clone, Copy, Debug)]
    pub struct Values;
    /// A value of any type, handed over as `Value`.
    #[derive(Clone, Copy, Debug)]
    pub struct Anything;
}

/// How the manifest describes an input. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub(crate) source: Source,
    pub(crate) comparison: Option<Comparison>,
}

#[allow(clippy::large_enum_variant, reason = "only the compiler ever handles one")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Events { events: Events, aggregate: Aggregate, of: &'static str },
    Attribute(&'static str),
    Audience(&'static str),
}

/// A kind of input, and what it is handed over as. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
pub trait Kind: Copy {
    /// What a rule's function takes.
    type Read<'a>;

    /// Takes the next input off the reader.
    fn read<'a>(reader: &mut Reader<'a>) -> Self::Read<'a>;
}

/// Which kinds of input have which comparisons.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` has no comparison with `{T}`",
    label = "this compares with `{T}`",
    note = "counts and numbers: `at_least(10)`, `equals(3)`, `decimal::less_than(\"9.99\")`",
    note = "text: `is(\"gold\")`, `one_of(&[\"US\", \"CA\"])`, `starts_with(\"a\")`",
    note = "attributes, `first` and `last` take any of them until `.text()` or `.number()` is said"
)]
pub trait ComparedWith<T> {}

impl ComparedWith<of::Numbers> for kind::Count {}
impl ComparedWith<of::Existence> for kind::Count {}
impl ComparedWith<of::Numbers> for kind::Number {}
impl ComparedWith<of::Existence> for kind::Number {}
impl ComparedWith<of::Texts> for kind::Text {}
impl ComparedWith<of::Existence> for kind::Text {}
impl ComparedWith<of::Booleans> for kind::Boolean {}
impl ComparedWith<of::Existence> for kind::Boolean {}
impl ComparedWith<of::Existence> for kind::Values {}
impl<T> ComparedWith<T> for kind::Anything {}

impl<K: Copy> Input<K> {
    pub(crate) const fn new(source: Source) -> Input<K> {
        Input { spec: Spec { source, comparison: None }, kind: PhantomData }
    }

    /// The condition that this passes a comparison.
    pub const fn test<T: Copy>(self, test: Test<T>) -> Condition
    where
        K: ComparedWith<T>,
    {
        if let Source::Events { aggregate: Aggregate::Count, .. } = self.spec.source {
            assert!(
                !test.comparison.is_negative(),
                "a count is compared with a negative number: write 0 or more"
            );
        }
        let spec = Spec { comparison: Some(test.comparison), ..self.spec };
        Input { spec, kind: PhantomData }
    }

    const fn read_as<Other: Copy>(self) -> Input<Other> {
        Input { spec: self.spec, kind: PhantomData }
    }
}

/// How the manifest describes an input. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
pub const fn spec<K: Copy>(input: Input<K>) -> Spec {
    input.spec
}

/// What an audience can list. For [`audiences!`](crate::audiences) alone.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an audience can't look at `{Self}` as it is",
    label = "this is neither a condition nor a value",
    note = "events need an aggregate: `.happened()` for at least one, `.count().test(at_least(3))` \
            for a condition, `.sum(\"amount\")` for the value itself",
    note = "attributes and audiences are written as `attribute(\"country\").text()` and \
            `audience(\"vip\")`"
)]
pub trait Listed {}

impl<K> Listed for Input<K> {}

#[doc(hidden)]
pub const fn listed<T: Listed + Copy>(_input: T) {}

impl Anything {
    /// Handed over if it is text.
    pub const fn text(self) -> Text {
        self.read_as()
    }

    /// Handed over if it is a number.
    pub const fn number(self) -> Number {
        self.read_as()
    }

    /// Handed over if it is true or false.
    pub const fn boolean(self) -> Boolean {
        self.read_as()
    }

    /// Handed over if it is a list.
    pub const fn list(self) -> Values {
        self.read_as()
    }
}

impl Spec {
    /// Whether the host decides it, rather than hand its value over.
    pub(crate) const fn is_condition(&self) -> bool {
        matches!(self.source, Source::Audience(_)) || self.comparison.is_some()
    }
}

/// An attribute of the user's profile.
pub const fn attribute(name: &'static str) -> Anything {
    assert!(!name.is_empty(), "an attribute has no name: write it between the quotes");
    Input::new(Source::Attribute(name))
}

/// Membership in an audience of another module, or of definitions. What an audience of this module
/// holds is had by calling its function.
pub const fn audience(id: &'static str) -> Condition {
    assert!(
        crate::module::is_id(id),
        "an audience's id has 1 to 128 letters, digits, `.`, `_` or `-`"
    );
    Input::new(Source::Audience(id))
}

impl Kind for kind::Condition {
    type Read<'a> = bool;

    fn read<'a>(reader: &mut Reader<'a>) -> bool {
        reader.condition()
    }
}

impl Kind for kind::Count {
    type Read<'a> = u64;

    fn read<'a>(reader: &mut Reader<'a>) -> u64 {
        let whole = reader.value().number().map(|count| count.billionths() / 1_000_000_000);
        whole.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }
}

impl Kind for kind::Number {
    type Read<'a> = Option<Decimal>;

    fn read<'a>(reader: &mut Reader<'a>) -> Option<Decimal> {
        reader.value().number()
    }
}

impl Kind for kind::Text {
    type Read<'a> = Option<&'a str>;

    fn read<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
        reader.value().text()
    }
}

impl Kind for kind::Boolean {
    type Read<'a> = Option<bool>;

    fn read<'a>(reader: &mut Reader<'a>) -> Option<bool> {
        reader.value().boolean()
    }
}

impl Kind for kind::Values {
    type Read<'a> = Option<List>;

    fn read<'a>(reader: &mut Reader<'a>) -> Option<List> {
        reader.value().list()
    }
}

impl Kind for kind::Anything {
    type Read<'a> = Value<'a>;

    fn read<'a>(reader: &mut Reader<'a>) -> Value<'a> {
        reader.value()
    }
}
