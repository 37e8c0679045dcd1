//! Values as tests write them.

use crate::Decimal;
use muster_core::Value;

/// The value of a property or an attribute: text, a number, true or false, a list of those.
#[derive(Clone, Debug)]
pub struct Given(pub(super) Value);

impl From<&str> for Given {
    fn from(text: &str) -> Given {
        Given(Value::text(text))
    }
}

impl From<i32> for Given {
    fn from(number: i32) -> Given {
        Given(Value::Number(i64::from(number).into()))
    }
}

impl From<i64> for Given {
    fn from(number: i64) -> Given {
        Given(Value::Number(number.into()))
    }
}

impl From<f64> for Given {
    /// The number that is written, as JSON would send it: 9.99 is 9.99.
    ///
    /// # Panics
    /// When it is none that Muster accepts.
    fn from(number: f64) -> Given {
        match muster_core::Decimal::parse(&number.to_string()) {
            Ok(number) => Given(Value::Number(number)),
            Err(error) => panic!("`{number}` is no value: {error}"),
        }
    }
}

impl From<Decimal> for Given {
    fn from(number: Decimal) -> Given {
        Given(Value::Number(muster_core::Decimal::from_billionths(number.billionths())))
    }
}

impl From<bool> for Given {
    fn from(boolean: bool) -> Given {
        Given(Value::Boolean(boolean))
    }
}

impl<T: Clone + Into<Given>, const N: usize> From<[T; N]> for Given {
    fn from(list: [T; N]) -> Given {
        let items: Vec<String> = list.into_iter().map(|item| item.into().0.to_string()).collect();
        Given(Value::Composite(format!("[{}]", items.join(",")).into()))
    }
}
