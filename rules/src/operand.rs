//! Operators and their operands, however they were written: what definitions and manifests share.

use crate::diagnostic::quoted;
use muster_core::{Aggregate, Decimal, DecimalError, Pattern, Test, Value};

/// The operators of comparisons, as definitions and manifests write them.
pub const OPERATORS: [&str; 17] = [
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "not_in",
    "exists",
    "contains",
    "not_contains",
    "starts_with",
    "not_starts_with",
    "ends_with",
    "not_ends_with",
    "matches",
    "not_matches",
];

/// What was written beside an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Null,
    Boolean(bool),
    /// A number as JSON writes it, with all its digits.
    Number(String),
    /// An infinity, or not a number.
    NotFinite,
    Text(String),
    List(Vec<Operand>),
    Map,
}

/// Why an operand does not fit its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) message: String,
    pub(crate) help: String,
}

fn misfit<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { message: message.into(), help: help.into() })
}

/// The test that an operator makes with that operand; nothing when there is no such operator.
pub(crate) fn test(operator: &str, operand: &Operand) -> Option<Result<Test, Misfit>> {
    let number = |make: fn(Decimal) -> Test| number(operator, operand).map(make);
    let text = |make: fn(std::sync::Arc<str>) -> Test| {
        text(operator, operand).map(|text| make(text.into()))
    };
    let pattern = |make: fn(Pattern) -> Test| pattern(operator, operand).map(make);
    Some(match operator {
        "eq" => scalar(operator, operand).map(Test::Equal),
        "ne" => scalar(operator, operand).map(Test::NotEqual),
        "gt" => number(Test::Greater),
        "gte" => number(Test::GreaterOrEqual),
        "lt" => number(Test::Less),
        "lte" => number(Test::LessOrEqual),
        "in" => list(operator, operand).map(Test::In),
        "not_in" => list(operator, operand).map(Test::NotIn),
        "exists" => boolean(operator, operand).map(Test::Exists),
        "contains" => text(Test::Contains),
        "not_contains" => text(Test::NotContains),
        "starts_with" => text(Test::StartsWith),
        "not_starts_with" => text(Test::NotStartsWith),
        "ends_with" => text(Test::EndsWith),
        "not_ends_with" => text(Test::NotEndsWith),
        "matches" => pattern(Test::Matches),
        "not_matches" => pattern(Test::NotMatches),
        _ => return None,
    })
}

/// Whether a comparison can be made of the aggregate: one of numbers takes numbers alone, and a
/// count takes none below zero.
pub(crate) fn fits(aggregate: Aggregate, test: &Test) -> Result<(), Misfit> {
    if !aggregate.is_numeric() {
        return Ok(());
    }
    let name = aggregate.name();
    let operands: Vec<Value> = match test {
        Test::Equal(value) | Test::NotEqual(value) => vec![value.clone()],
        Test::Greater(number)
        | Test::GreaterOrEqual(number)
        | Test::Less(number)
        | Test::LessOrEqual(number) => vec![Value::Number(*number)],
        Test::In(values) | Test::NotIn(values) => values.clone(),
        Test::Exists(_) => Vec::new(),
        _ => {
            return misfit(
                format!("`{}` compares text, and `{name}` is a number", test.operator()),
                "write one of `eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `not_in`",
            );
        }
    };
    for operand in operands {
        match operand.number() {
            None => {
                return misfit(
                    format!("{} is not a number, and `{name}` is", quoted(&operand.to_string())),
                    "write a number without quotes",
                );
            }
            Some(number) if aggregate == Aggregate::Count && number < Decimal::ZERO => {
                return misfit(
                    format!("`{number}` is negative, and a count never is"),
                    "write 0 or more",
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Reads a number exactly.
pub(crate) fn decimal(text: &str) -> Result<Decimal, Misfit> {
    match Decimal::parse(text) {
        Ok(_) if Decimal::is_rounded(text) => misfit(
            format!("{} has more than nine decimal places", quoted(text)),
            "write at most nine decimal places",
        ),
        Ok(number) => Ok(number),
        Err(DecimalError::TooLarge) => misfit(
            format!("{} is too large", quoted(text)),
            "write a number below 10^18, either side of zero",
        ),
        Err(DecimalError::Malformed) => {
            misfit(format!("{} is not a number", quoted(text)), "write a decimal number")
        }
    }
}

impl Operand {
    /// The operand as it is shown in messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Operand::Null => "null".to_owned(),
            Operand::Boolean(boolean) => boolean.to_string(),
            Operand::Number(text) => quoted(text),
            Operand::NotFinite => "an infinity or not a number".to_owned(),
            Operand::Text(text) => format!("text {}", quoted(text)),
            Operand::List(_) => "a list".to_owned(),
            Operand::Map => "a mapping".to_owned(),
        }
    }
}

fn scalar(operator: &str, operand: &Operand) -> Result<Value, Misfit> {
    match operand {
        Operand::Boolean(boolean) => Ok(Value::Boolean(*boolean)),
        Operand::Number(text) => decimal(text).map(Value::Number),
        Operand::Text(text) => Ok(Value::text(text)),
        Operand::Null => misfit(
            format!("`{operator}` compares with null, which nothing equals"),
            "write `exists: false` for what is missing",
        ),
        Operand::NotFinite => {
            misfit(format!("`{operator}` has no finite number"), "write a decimal number")
        }
        Operand::List(_) => misfit(
            format!("`{operator}` takes one value, not a list"),
            "write `in` with the list, or `not_in`",
        ),
        Operand::Map => misfit(
            format!("`{operator}` takes a value, not a mapping"),
            "write a number, text, true or false",
        ),
    }
}

fn number(operator: &str, operand: &Operand) -> Result<Decimal, Misfit> {
    match operand {
        Operand::Number(text) => decimal(text),
        Operand::Text(text) if Decimal::parse(text).is_ok() => misfit(
            format!("`{operator}` takes a number, not text {}", quoted(text)),
            format!("write `{operator}: {text}` without quotes"),
        ),
        other => misfit(
            format!("`{operator}` takes a number, not {}", other.shown()),
            format!("write a number, as in `{operator}: 10`"),
        ),
    }
}

fn text<'a>(operator: &str, operand: &'a Operand) -> Result<&'a str, Misfit> {
    match operand {
        Operand::Text(text) => Ok(text),
        Operand::Number(number) => misfit(
            format!("`{operator}` takes text, not the number {}", quoted(number)),
            "write the text in quotes",
        ),
        other => misfit(
            format!("`{operator}` takes text, not {}", other.shown()),
            format!("write text, as in `{operator}: \"a\"`"),
        ),
    }
}

fn boolean(operator: &str, operand: &Operand) -> Result<bool, Misfit> {
    match operand {
        Operand::Boolean(boolean) => Ok(*boolean),
        other => misfit(
            format!("`{operator}` takes true or false, not {}", other.shown()),
            format!("write `{operator}: true` or `{operator}: false`"),
        ),
    }
}

fn list(operator: &str, operand: &Operand) -> Result<Vec<Value>, Misfit> {
    let help = format!("write values between brackets, as in `{operator}: [US, CA]`");
    match operand {
        Operand::List(operands) if operands.is_empty() => {
            misfit(format!("list of `{operator}` is empty"), help)
        }
        Operand::List(operands) => {
            operands.iter().map(|operand| element(operator, operand)).collect()
        }
        other => misfit(format!("`{operator}` takes a list, not {}", other.shown()), help),
    }
}

fn element(operator: &str, operand: &Operand) -> Result<Value, Misfit> {
    match operand {
        Operand::List(_) | Operand::Map => misfit(
            format!("list of `{operator}` holds {}", operand.shown()),
            "write numbers, text, true or false",
        ),
        _ => scalar(operator, operand),
    }
}

fn pattern(operator: &str, operand: &Operand) -> Result<Pattern, Misfit> {
    let source = text(operator, operand)?;
    Pattern::new(source).or_else(|reason| {
        misfit(
            format!("{} is not a regular expression: {reason}", quoted(source)),
            "mend it, or put a backslash before what stands for itself",
        )
    })
}
