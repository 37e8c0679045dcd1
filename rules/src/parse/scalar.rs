//! Scalars, and what the core schema of YAML 1.2 takes them for.

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: Box<str>,
    /// Whether it may be something other than text: written without quotes.
    pub(crate) plain: bool,
}

/// What a scalar stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved<'a> {
    Null,
    Boolean(bool),
    /// A number, as JSON would write it, with all its digits.
    Number(String),
    /// An infinity, or not a number.
    NotFinite,
    Text(&'a str),
}

impl Scalar {
    /// Resolves it by the core schema.
    pub(crate) fn resolve(&self) -> Resolved<'_> {
        if !self.plain {
            return Resolved::Text(&self.text);
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
            "true" | "True" | "TRUE" => return Resolved::Boolean(true),
            "false" | "False" | "FALSE" => return Resolved::Boolean(false),
            _ => {}
        }
        let unsigned = self.text.strip_prefix(['+', '-']).unwrap_or(&self.text);
        match unsigned {
            ".inf" | ".Inf" | ".INF" => return Resolved::NotFinite,
            ".nan" | ".NaN" | ".NAN" if unsigned.len() == self.text.len() => {
                return Resolved::NotFinite;
            }
            _ => {}
        }
        match number(&self.text, unsigned) {
            Some(number) => Resolved::Number(number),
            None => Resolved::Text(&self.text),
        }
    }
}

fn number(text: &str, unsigned: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    if !has_digits || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let mut number = String::with_capacity(text.len() + 2);
    if text.starts_with('-') {
        number.push('-');
    }
    number.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        number.push('.');
        number.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !are_digits(digits) {
            return None;
        }
        number.push('e');
        number.push_str(exponent);
    }
    Some(number)
}

/// What fits no 128 bits is beyond every bound on numbers, and said to be so by one that is too.
fn radix(digits: &str, radix: u32) -> Option<String> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(u128::from_str_radix(digits, radix).unwrap_or(u128::MAX).to_string())
}
