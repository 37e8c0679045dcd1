//! What is wrong with a definition, where, and what to write instead.

use crate::definition::Location;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::cmp::Reverse;

/// One thing to mend in a definition. Shown as `file:line:column: message; help`, on one line;
/// serialised as an object of `file`, `line`, `column`, `message` and `help`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{}:{}:{}: {message}; {help}", location.file, location.line, location.column)]
pub struct Diagnostic {
    /// Where.
    pub location: Location,
    /// What is wrong, with the offending text in backticks.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// Characters of offending text that a message repeats; more would hide the message.
const QUOTED_CHARACTERS_MAX: usize = 60;
/// Longer names are not compared: nobody mistypes them by a letter or two, and the comparison
/// takes the product of both lengths.
const COMPARED_CHARACTERS_MAX: usize = 128;

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Diagnostic", 5)?;
        object.serialize_field("file", &*self.location.file)?;
        object.serialize_field("line", &self.location.line)?;
        object.serialize_field("column", &self.location.column)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

/// The text in backticks, on one line, shortened when it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == QUOTED_CHARACTERS_MAX {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.push('`');
    shown
}

/// The names in backticks, separated by commas.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The candidate that somebody who wrote `text` most likely meant, if one is near enough.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written: Vec<char> = normalised(text);
    if written.len() > COMPARED_CHARACTERS_MAX {
        return None;
    }
    let distance_max = (written.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= distance_max * 4)
        .map(|candidate| (distance(&written, &normalised(candidate), distance_max), candidate))
        .filter(|(distance, _)| *distance <= distance_max && *distance < written.len())
        // Of two that are as near, the longer one has more in common with what was written.
        .min_by_key(|(distance, candidate)| (*distance, Reverse(candidate.len()), *candidate))
        .map(|(_, candidate)| candidate)
}

fn normalised(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c }).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the
/// other (optimal string alignment), or more than `most` when they are more than that.
fn distance(from: &[char], to: &[char], most: usize) -> usize {
    if from.len().abs_diff(to.len()) > most {
        return most + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, c) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, d) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(c != d);
            let mut least = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swaps = row > 0 && column > 0 && *c == to[column - 1] && from[row - 1] == *d;
            if swaps {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        if current.iter().all(|least| *least > most) {
            return most + 1;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let candidates = ["within", "older_than", "count", "gte", "gt", "not_in"];
        assert_eq!(nearest(text, candidates), expected, "`{text}`");
    }

    #[test]
    fn finds_what_was_meant() {
        check("withn", Some("within"));
        check("older-than", Some("older_than"));
        check("OlderThan", Some("older_than"));
        check("coutn", Some("count"));
        check("gtr", Some("gte"));
        check("a", None);
        check("banana", None);
        check("", None);
        check(&"within".repeat(100), None);
    }

    #[test]
    fn quotes_on_one_line() {
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), QUOTED_CHARACTERS_MAX + 3);
    }
}
