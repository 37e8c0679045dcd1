//! Comparisons as manifests write them: objects of operators.

use super::wire::Object;
use crate::diagnostic::{listed, quoted};
use crate::operand::{self, Misfit, OPERATORS, Operand};
use muster_core::{Aggregate, Comparison};
use serde_json::value::RawValue;

/// Reads a comparison of a value, or of an aggregate.
pub(super) fn read(
    object: &Object<'_>,
    aggregate: Option<Aggregate>,
) -> Result<Comparison, Misfit> {
    if object.0.is_empty() {
        return Err(Misfit {
            message: "comparison is empty".to_owned(),
            help: "write an operator and its operand, as in `{\"gte\":10}`".to_owned(),
        });
    }
    let tests = object.0.iter().map(|(operator, written)| {
        let test = operand::test(operator, &operand(written)?).ok_or_else(|| Misfit {
            message: format!("unknown operator {}", quoted(operator)),
            help: format!("write one of {}", listed(OPERATORS)),
        })??;
        if let Some(aggregate) = aggregate {
            operand::fits(aggregate, &test)?;
        }
        Ok(test)
    });
    tests.collect::<Result<_, _>>().map(Comparison::new)
}

fn operand(written: &RawValue) -> Result<Operand, Misfit> {
    let text = written.get();
    // The text is JSON already, so that its first character says what it is.
    Ok(match text.as_bytes().first() {
        Some(b'n') => Operand::Null,
        Some(b't') => Operand::Boolean(true),
        Some(b'f') => Operand::Boolean(false),
        Some(b'{') => Operand::Map,
        Some(b'"') => Operand::Text(serde_json::from_str(text).map_err(unreadable)?),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(unreadable)?;
            // Lists hold no lists, and one that does is refused without a look inside.
            let element = |element: &RawValue| match element.get().as_bytes().first() {
                Some(b'[') => Ok(Operand::List(Vec::new())),
                _ => operand(element),
            };
            Operand::List(elements.into_iter().map(element).collect::<Result<_, _>>()?)
        }
        _ => Operand::Number(text.to_owned()),
    })
}

fn unreadable(error: serde_json::Error) -> Misfit {
    Misfit { message: format!("operand is not JSON: {error}"), help: "mend it".to_owned() }
}
