//! Comparisons of values: what definitions write as `{ gte: 10 }`.

use crate::decimal::Decimal;
use crate::value::{Value, write_json_text};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// One or more tests of the same value; it holds when all of them do.
///
/// The tests are sorted and distinct, so that equal comparisons are equal however they were
/// written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Comparison(Vec<Test>);

/// One operator and its operand. A missing value, or one of a type that the operator does not
/// take, makes the negated operators (and `exists: false`) true and all others false.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// `eq`
    Equal(Value),
    /// `ne`
    NotEqual(Value),
    /// `gt`
    Greater(Decimal),
    /// `gte`
    GreaterOrEqual(Decimal),
    /// `lt`
    Less(Decimal),
    /// `lte`
    LessOrEqual(Decimal),
    /// `in`
    In(Vec<Value>),
    /// `not_in`
    NotIn(Vec<Value>),
    /// `exists`
    Exists(bool),
    /// `contains`
    Contains(Arc<str>),
    /// `not_contains`
    NotContains(Arc<str>),
    /// `starts_with`
    StartsWith(Arc<str>),
    /// `not_starts_with`
    NotStartsWith(Arc<str>),
    /// `ends_with`
    EndsWith(Arc<str>),
    /// `not_ends_with`
    NotEndsWith(Arc<str>),
    /// `matches`
    Matches(Pattern),
    /// `not_matches`
    NotMatches(Pattern),
}

/// An unanchored regular expression that runs in linear time.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

/// Bytes that a compiled pattern may take; beyond it a pattern is refused, since a single
/// definition could otherwise fill the host's memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Comparison {
    /// The comparison that holds when all of `tests` do; one of none always holds.
    pub fn new(mut tests: Vec<Test>) -> Comparison {
        for test in &mut tests {
            if let Test::In(values) | Test::NotIn(values) = test {
                values.sort();
                values.dedup();
            }
        }
        tests.sort();
        tests.dedup();
        Comparison(tests)
    }

    /// Its tests, sorted.
    pub fn tests(&self) -> &[Test] {
        &self.0
    }

    /// Whether the value, or its absence, passes every test.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        self.0.iter().all(|test| test.holds(value))
    }

    /// The numbers at which the truth of this comparison of a number can change.
    pub fn thresholds(&self) -> impl Iterator<Item = Decimal> + '_ {
        self.0.iter().flat_map(|test| {
            let (one, many): (Option<Decimal>, &[Value]) = match test {
                Test::Equal(value) | Test::NotEqual(value) => (value.number(), &[]),
                Test::Greater(number)
                | Test::GreaterOrEqual(number)
                | Test::Less(number)
                | Test::LessOrEqual(number) => (Some(*number), &[]),
                Test::In(values) | Test::NotIn(values) => (None, values),
                _ => (None, &[]),
            };
            one.into_iter().chain(many.iter().filter_map(Value::number))
        })
    }
}

impl Test {
    /// The operator as definitions write it.
    pub fn operator(&self) -> &'static str {
        match self {
            Test::Equal(_) => "eq",
            Test::NotEqual(_) => "ne",
            Test::Greater(_) => "gt",
            Test::GreaterOrEqual(_) => "gte",
            Test::Less(_) => "lt",
            Test::LessOrEqual(_) => "lte",
            Test::In(_) => "in",
            Test::NotIn(_) => "not_in",
            Test::Exists(_) => "exists",
            Test::Contains(_) => "contains",
            Test::NotContains(_) => "not_contains",
            Test::StartsWith(_) => "starts_with",
            Test::NotStartsWith(_) => "not_starts_with",
            Test::EndsWith(_) => "ends_with",
            Test::NotEndsWith(_) => "not_ends_with",
            Test::Matches(_) => "matches",
            Test::NotMatches(_) => "not_matches",
        }
    }

    /// Whether the value, or its absence, passes.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match value {
            None => matches!(self, Test::Exists(false)) || self.is_negated(),
            Some(Value::Number(number)) => self.holds_number(|operand| number.cmp(&operand)),
            Some(Value::Boolean(_)) => match self {
                Test::Equal(operand) => value == Some(operand),
                Test::NotEqual(operand) => value != Some(operand),
                Test::In(list) => is_in(list, value),
                Test::NotIn(list) => !is_in(list, value),
                Test::Exists(expected) => *expected,
                _ => self.is_negated(),
            },
            Some(Value::Text(text)) => self.holds_text(text, value),
            Some(Value::Composite(_)) => matches!(self, Test::Exists(true)) || self.is_negated(),
        }
    }

    /// Whether a number passes, given how it compares with an operand.
    pub(crate) fn holds_number(&self, compare: impl Fn(Decimal) -> Ordering) -> bool {
        let equals = |operand: &Value| operand.number().is_some_and(|n| compare(n).is_eq());
        match self {
            Test::Equal(operand) => equals(operand),
            Test::NotEqual(operand) => !equals(operand),
            Test::Greater(operand) => compare(*operand).is_gt(),
            Test::GreaterOrEqual(operand) => compare(*operand).is_ge(),
            Test::Less(operand) => compare(*operand).is_lt(),
            Test::LessOrEqual(operand) => compare(*operand).is_le(),
            Test::In(list) => list.iter().any(equals),
            Test::NotIn(list) => !list.iter().any(equals),
            Test::Exists(expected) => *expected,
            _ => self.is_negated(),
        }
    }

    fn holds_text(&self, text: &str, value: Option<&Value>) -> bool {
        match self {
            Test::Equal(operand) => value == Some(operand),
            Test::NotEqual(operand) => value != Some(operand),
            Test::In(list) => is_in(list, value),
            Test::NotIn(list) => !is_in(list, value),
            Test::Exists(expected) => *expected,
            Test::Contains(part) => text.contains(&**part),
            Test::NotContains(part) => !text.contains(&**part),
            Test::StartsWith(part) => text.starts_with(&**part),
            Test::NotStartsWith(part) => !text.starts_with(&**part),
            Test::EndsWith(part) => text.ends_with(&**part),
            Test::NotEndsWith(part) => !text.ends_with(&**part),
            Test::Matches(pattern) => pattern.0.is_match(text),
            Test::NotMatches(pattern) => !pattern.0.is_match(text),
            Test::Greater(_) | Test::GreaterOrEqual(_) | Test::Less(_) | Test::LessOrEqual(_) => {
                false
            }
        }
    }

    /// Whether the operator is the negation of another, and so true of what it does not take.
    fn is_negated(&self) -> bool {
        matches!(
            self,
            Test::NotEqual(_)
                | Test::NotIn(_)
                | Test::NotContains(_)
                | Test::NotStartsWith(_)
                | Test::NotEndsWith(_)
                | Test::NotMatches(_)
        )
    }
}

fn is_in(list: &[Value], value: Option<&Value>) -> bool {
    value.is_some_and(|value| list.binary_search(value).is_ok())
}

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// When it is malformed or too large; the text says why.
    pub fn new(source: &str) -> Result<Pattern, String> {
        match regex::RegexBuilder::new(source).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(regex) => Ok(Pattern(regex)),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(format!("it takes more than {PATTERN_BYTES_MAX} bytes when compiled"))
            }
            // The last line is the reason; those before it draw the pattern.
            Err(error) => {
                let drawn = error.to_string();
                let reason = drawn.lines().last().unwrap_or_default();
                Err(reason.trim_start_matches("error: ").to_string())
            }
        }
    }

    /// The regular expression as it was written.
    pub fn source(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Pattern) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Pattern) -> Ordering {
        self.source().cmp(other.source())
    }
}

impl fmt::Display for Comparison {
    /// The comparison as JSON, the same for equal comparisons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, test) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "\"{}\":", test.operator())?;
            match test {
                Test::Equal(value) | Test::NotEqual(value) => value.fmt(f)?,
                Test::Greater(number)
                | Test::GreaterOrEqual(number)
                | Test::Less(number)
                | Test::LessOrEqual(number) => number.fmt(f)?,
                Test::In(values) | Test::NotIn(values) => {
                    f.write_str("[")?;
                    for (index, value) in values.iter().enumerate() {
                        if index > 0 {
                            f.write_str(",")?;
                        }
                        value.fmt(f)?;
                    }
                    f.write_str("]")?;
                }
                Test::Exists(expected) => expected.fmt(f)?,
                Test::Contains(text)
                | Test::NotContains(text)
                | Test::StartsWith(text)
                | Test::NotStartsWith(text)
                | Test::EndsWith(text)
                | Test::NotEndsWith(text) => write_json_text(f, text)?,
                Test::Matches(pattern) | Test::NotMatches(pattern) => {
                    write_json_text(f, pattern.source())?;
                }
            }
        }
        f.write_str("}")
    }
}
