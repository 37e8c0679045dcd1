//! Comparisons of values: what definitions write as `{ gte: 10 }`.
//!
//! The negated ones hold of what is missing, and of what is of another type; all others do not.

use crate::Decimal;
use std::marker::PhantomData;

/// A comparison with something of type `T`, one of [`of`]. Several are joined by [`Test::and`].
#[derive(Clone, Copy, Debug)]
pub struct Test<T> {
    pub(crate) comparison: Comparison,
    of: PhantomData<T>,
}

/// What things are compared with.
pub mod of {
    /// Numbers.
    #[derive(Clone, Copy, Debug)]
    pub struct Numbers;
    /// Text.
    #[derive(Clone, Copy, Debug)]
    pub struct Texts;
    /// True or false.
    #[derive(Clone, Copy, Debug)]
    pub struct Booleans;
    /// Values of several types.
    #[derive(Clone, Copy, Debug)]
    pub struct Values;
    /// Nothing: whether there is a value at all.
    #[derive(Clone, Copy, Debug)]
    pub struct Existence;
}

/// A value to be compared with, where lists hold several types.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// A number, written as text so that it stays exact: `"9.99"`.
    Number(&'static str),
    /// Text.
    Text(&'static str),
    /// True or false.
    Boolean(bool),
}

/// Operators joined in one comparison: as many as there are kinds of bounds and patterns to join.
pub(crate) const OPERATORS_MAX: usize = 6;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) operators: [Option<Operator>; OPERATORS_MAX],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    pub(crate) name: &'static str,
    pub(crate) operand: Operand,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand {
    Whole(i64),
    One(Scalar),
    Wholes(&'static [i64]),
    Numbers(&'static [&'static str]),
    Texts(&'static [&'static str]),
    Values(&'static [Scalar]),
}

impl<T: Copy> Test<T> {
    const fn new(name: &'static str, operand: Operand) -> Test<T> {
        let mut operators = [None; OPERATORS_MAX];
        operators[0] = Some(Operator { name, operand });
        Test { comparison: Comparison { operators }, of: PhantomData }
    }

    /// Both: this and the other.
    ///
    /// ```
    /// # use muster_guest_sdk::*;
    /// const MEDIUM: Condition = attribute("age").test(at_least(18).and(less_than(65)));
    /// # audiences! { "medium": medium(MEDIUM) }
    /// # fn medium(medium: bool) -> bool { medium }
    /// # fn main() {}
    /// ```
    pub const fn and(mut self, other: Test<T>) -> Test<T> {
        let mut at = 0;
        while at < OPERATORS_MAX {
            if let Some(operator) = other.comparison.operators[at] {
                self.comparison.join(operator);
            }
            at += 1;
        }
        self
    }
}

impl Comparison {
    const fn join(&mut self, operator: Operator) {
        let mut at = 0;
        while let Some(joined) = self.operators[at] {
            if is_same(joined.name, operator.name) {
                panic!("a comparison has the same operator twice: write it once");
            }
            at += 1;
            if at == OPERATORS_MAX {
                panic!("a comparison joins more than six operators: use fewer");
            }
        }
        self.operators[at] = Some(operator);
    }

    /// Whether a count could be compared so: counts are never negative.
    pub(crate) const fn is_negative(&self) -> bool {
        let mut at = 0;
        while at < OPERATORS_MAX {
            if let Some(Operator { operand: Operand::Whole(whole), .. }) = self.operators[at]
                && whole < 0
            {
                return true;
            }
            at += 1;
        }
        false
    }
}

pub(crate) const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    one.len() == other.len() && at == one.len()
}

const fn number(text: &'static str) -> Operand {
    match Decimal::parse(text) {
        Some(_) => Operand::One(Scalar::Number(text)),
        None => panic!("not a decimal number: write digits and at most nine places, as in `9.99`"),
    }
}

const fn numbers(list: &'static [&'static str]) -> Operand {
    let mut at = 0;
    while at < list.len() {
        number(list[at]);
        at += 1;
    }
    Operand::Numbers(list)
}

const fn text(text: &'static str) -> Operand {
    Operand::One(Scalar::Text(text))
}

const fn filled(operand: Operand) -> Operand {
    let length = match operand {
        Operand::Wholes(list) => list.len(),
        Operand::Numbers(list) | Operand::Texts(list) => list.len(),
        Operand::Values(list) => list.len(),
        Operand::Whole(_) | Operand::One(_) => 1,
    };
    assert!(length > 0, "a list to compare with is empty: write its values between the brackets");
    operand
}

macro_rules! tests {
    ($($(#[$doc:meta])+ $name:ident($($argument:ident: $type:ty)?) -> $of:ident =
        $operator:literal, $operand:expr;)+) => {$(
        $(#[$doc])+
        pub const fn $name($($argument: $type)?) -> Test<of::$of> {
            Test::new($operator, $operand)
        }
    )+};
}

tests! {
    /// Equals this text; text is case-sensitive.
    is(wanted: &'static str) -> Texts = "eq", text(wanted);
    /// Is not this text.
    is_not(unwanted: &'static str) -> Texts = "ne", text(unwanted);
    /// Equals one of these texts.
    one_of(list: &'static [&'static str]) -> Texts = "in", filled(Operand::Texts(list));
    /// Equals none of these texts.
    none_of(list: &'static [&'static str]) -> Texts = "not_in", filled(Operand::Texts(list));
    /// Text that contains this.
    contains(part: &'static str) -> Texts = "contains", text(part);
    /// The negation of [`contains`].
    not_contains(part: &'static str) -> Texts = "not_contains", text(part);
    /// Text that starts with this.
    starts_with(part: &'static str) -> Texts = "starts_with", text(part);
    /// The negation of [`starts_with`].
    not_starts_with(part: &'static str) -> Texts = "not_starts_with", text(part);
    /// Text that ends with this.
    ends_with(part: &'static str) -> Texts = "ends_with", text(part);
    /// The negation of [`ends_with`].
    not_ends_with(part: &'static str) -> Texts = "not_ends_with", text(part);
    /// Text in which this regular expression matches somewhere.
    matches(pattern: &'static str) -> Texts = "matches", text(pattern);
    /// The negation of [`matches`](fn@matches).
    not_matches(pattern: &'static str) -> Texts = "not_matches", text(pattern);

    /// Equals this number. Numbers with places are compared by [`decimal`].
    equals(number: i64) -> Numbers = "eq", Operand::Whole(number);
    /// Is not this number.
    differs_from(number: i64) -> Numbers = "ne", Operand::Whole(number);
    /// This number or more.
    at_least(number: i64) -> Numbers = "gte", Operand::Whole(number);
    /// This number or less.
    at_most(number: i64) -> Numbers = "lte", Operand::Whole(number);
    /// More than this number.
    more_than(number: i64) -> Numbers = "gt", Operand::Whole(number);
    /// Less than this number.
    less_than(number: i64) -> Numbers = "lt", Operand::Whole(number);
    /// Equals one of these numbers.
    one_of_numbers(list: &'static [i64]) -> Numbers = "in", filled(Operand::Wholes(list));
    /// Equals none of these numbers.
    none_of_numbers(list: &'static [i64]) -> Numbers = "not_in", filled(Operand::Wholes(list));

    /// Is true.
    is_true() -> Booleans = "eq", Operand::One(Scalar::Boolean(true));
    /// Is false.
    is_false() -> Booleans = "eq", Operand::One(Scalar::Boolean(false));
    /// Is anything but true, or missing.
    is_not_true() -> Booleans = "ne", Operand::One(Scalar::Boolean(true));
    /// Is anything but false, or missing.
    is_not_false() -> Booleans = "ne", Operand::One(Scalar::Boolean(false));

    /// Equals one of these values, of whatever types.
    one_of_values(list: &'static [Scalar]) -> Values = "in", filled(Operand::Values(list));
    /// Equals none of these values.
    none_of_values(list: &'static [Scalar]) -> Values = "not_in", filled(Operand::Values(list));

    /// Is there at all.
    exists() -> Existence = "exists", Operand::One(Scalar::Boolean(true));
    /// Is missing.
    is_missing() -> Existence = "exists", Operand::One(Scalar::Boolean(false));
}

/// Comparisons with numbers that have places, written as text so that they stay exact.
///
/// ```
/// # use muster_guest_sdk::*;
/// const DEAR: Condition =
///     event("purchase").with("amount", decimal::at_least("9.99")).happened();
/// # audiences! { "dear": dear(DEAR) }
/// # fn dear(dear: bool) -> bool { dear }
/// # fn main() {}
/// ```
pub mod decimal {
    use super::{Test, filled, number, numbers, of};

    tests! {
        /// Equals this number.
        equals(text: &'static str) -> Numbers = "eq", number(text);
        /// Is not this number.
        differs_from(text: &'static str) -> Numbers = "ne", number(text);
        /// This number or more.
        at_least(text: &'static str) -> Numbers = "gte", number(text);
        /// This number or less.
        at_most(text: &'static str) -> Numbers = "lte", number(text);
        /// More than this number.
        more_than(text: &'static str) -> Numbers = "gt", number(text);
        /// Less than this number.
        less_than(text: &'static str) -> Numbers = "lt", number(text);
        /// Equals one of these numbers.
        one_of(list: &'static [&'static str]) -> Numbers = "in", filled(numbers(list));
        /// Equals none of these numbers.
        none_of(list: &'static [&'static str]) -> Numbers = "not_in", filled(numbers(list));
    }
}
