//! Case files: rules and messages in, transitions out, readable by the people who write audiences.
//!
//! The format is described in `tests/cases/README.md`. What a case expects stands in lines that begin
//! with `->`, below the step that brings it about, so a case is blessed by writing the file anew
//! with the lines that were found.

mod parse;
mod run;
pub mod timeline;
mod words;

pub use run::{evaluate, memberships, tell};

use crate::decode::decode;
use muster_core::Time;
use muster_rules::{Definitions, Source, check};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use timeline::{Entry, IdLimits, Outcome, UserKey};

/// A case file.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file, as errors name it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The definitions of its `rules:` blocks.
    pub sources: Vec<Source>,
    /// Which ids are remembered.
    pub limits: IdLimits,
    /// The latest time that a message may have; none where there is no future.
    latest: Option<Time>,
    /// Its lines without the expected ones, each with the step or the rules that it completes.
    lines: Vec<(String, Completes)>,
    steps: Vec<Step>,
}

/// What a line of a case is the last line of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completes {
    Nothing,
    Rules,
    Step(usize),
}

/// One step of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A message as JSON arrives.
    Message(String),
    /// A run ends at this instant.
    Until(Time),
    /// A run ends where the clock stands, and memberships are listed.
    Members,
}

/// A case that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct CaseError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Why, and what to write.
    pub reason: String,
}

/// What was found where a case says what it expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    rules: Vec<String>,
    steps: Vec<Vec<String>>,
}

impl Case {
    /// Reads a case that holds its rules.
    ///
    /// # Errors
    /// When a line is of no known form, or there are no rules.
    pub fn parse(file: &str, text: &str) -> Result<Case, CaseError> {
        let case = Case::parse_beside_rules(file, text)?;
        if case.sources.is_empty() {
            let reason = "no rules: begin with a line `rules:`, the definitions indented below it";
            return Err(CaseError { file: file.to_string(), line: 1, reason: reason.to_string() });
        }
        Ok(case)
    }

    /// Reads a case whose rules may be kept elsewhere.
    ///
    /// # Errors
    /// When a line is of no known form.
    pub fn parse_beside_rules(file: &str, text: &str) -> Result<Case, CaseError> {
        parse::parse(file, text)
    }

    /// Runs the case on an evaluator, and returns the text that the file would have if it expected
    /// exactly what was found. The evaluator is not called when the rules are refused.
    pub fn run(
        &self,
        evaluate: &mut dyn FnMut(&Case, &Definitions, &[Entry]) -> Outcome,
    ) -> String {
        let mut found = Found { rules: Vec::new(), steps: vec![Vec::new(); self.steps.len()] };
        match check(&self.sources) {
            Err(diagnostics) => {
                found.rules.extend(diagnostics.iter().map(ToString::to_string));
            }
            Ok(definitions) => {
                let (timeline, step_of) = self.timeline(&mut found);
                let outcome = evaluate(self, &definitions, &timeline);
                self.describe(&timeline, &step_of, &outcome, &mut found);
            }
        }
        self.render(&found)
    }

    /// The timeline of the steps, and for each of its entries the step that it belongs to.
    fn timeline(&self, found: &mut Found) -> (Vec<Entry>, Vec<usize>) {
        let (mut timeline, mut step_of) = (Vec::new(), Vec::new());
        for (index, step) in self.steps.iter().enumerate() {
            let entry = match step {
                Step::Until(until) => Some(Entry::End(Some(*until))),
                Step::Members => Some(Entry::End(None)),
                Step::Message(json) => self.message(json, &mut found.steps[index]),
            };
            if let Some(entry) = entry {
                timeline.push(entry);
                step_of.push(index);
            }
        }
        if !matches!(timeline.last(), Some(Entry::End(_))) {
            timeline.push(Entry::End(None));
            step_of.push(self.steps.len().saturating_sub(1));
        }
        (timeline, step_of)
    }

    fn message(&self, json: &str, found: &mut Vec<String>) -> Option<Entry> {
        match decode(json.as_bytes(), self.latest) {
            Err(refusal) => {
                found.push(format!("refused: {refusal}"));
                None
            }
            Ok(decoded) => {
                found.extend(decoded.refused.iter().map(|refusal| format!("refused: {refusal}")));
                let user = UserKey { workspace: decoded.workspace, user: decoded.user };
                Some(Entry::Message(user, decoded.message?))
            }
        }
    }

    fn describe(
        &self,
        timeline: &[Entry],
        step_of: &[usize],
        outcome: &Outcome,
        found: &mut Found,
    ) {
        let mut numbers: BTreeMap<&UserKey, u64> = BTreeMap::new();
        for told in &outcome.transitions {
            let number = numbers.entry(&told.user).or_default();
            *number += 1;
            let numbered = match told.number == *number {
                true => String::new(),
                false => format!(" as number {} where {number} is due", told.number),
            };
            let (user, at) = (words::user(&told.user), words::time(told.at));
            let (change, audience) = (told.change.name(), &told.audience);
            let cause = told.cause.name();
            let line = format!("{user} {change} {audience} at {at} ({cause}){numbered}");
            found.steps[step_of[told.entry]].push(line);
        }
        let ends = (0..timeline.len()).filter(|index| matches!(timeline[*index], Entry::End(_)));
        for (end, memberships) in ends.zip(&outcome.memberships) {
            let step = step_of[end];
            if self.steps.get(step) == Some(&Step::Members) {
                found.steps[step].extend(memberships.iter().map(|membership| {
                    let user = words::user(&membership.user);
                    let since = words::time(membership.since);
                    format!("{user} in {} since {since}", membership.audience)
                }));
            }
        }
    }

    /// The file's text with the lines that were found in place of those that it expects.
    fn render(&self, found: &Found) -> String {
        let mut text = String::new();
        let nothing = Vec::new();
        for (line, completes) in &self.lines {
            text.push_str(line);
            text.push('\n');
            let found = match completes {
                Completes::Nothing => &nothing,
                Completes::Rules => &found.rules,
                Completes::Step(step) => &found.steps[*step],
            };
            found.iter().for_each(|line| text.push_str(&format!("-> {line}\n")));
        }
        text
    }
}

/// All case files of a folder and of the folders in it, in the order of their names. Each holds its
/// rules.
///
/// # Errors
/// When a folder or a file cannot be read, or a case is malformed.
pub fn read_all(folder: &Path) -> Result<Vec<Case>, CasesError> {
    read_files(folder)?.iter().map(|(file, text)| Ok(Case::parse(file, text)?)).collect()
}

/// The case of a file, or all those of a folder, whose rules are kept elsewhere.
///
/// # Errors
/// When a folder or a file cannot be read, or a case is malformed.
pub fn read_beside_rules(path: &Path) -> Result<Vec<Case>, CasesError> {
    let cases = read_files(path)?;
    cases.iter().map(|(file, text)| Ok(Case::parse_beside_rules(file, text)?)).collect()
}

/// Why cases cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// A folder or a file cannot be read.
    #[error("cannot read cases from `{}`: make it, or name files of cases", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A case is malformed.
    #[error(transparent)]
    Malformed(#[from] CaseError),
}

/// The names and texts of a file, or of all those in a folder that end in `.txt`.
fn read_files(path: &Path) -> Result<Vec<(String, String)>, CasesError> {
    let unreadable = |source| CasesError::Unreadable { path: path.to_path_buf(), source };
    if !path.is_dir() {
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        return Ok(vec![(path.display().to_string(), text)]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let files: Result<Vec<_>, CasesError> = paths.iter().map(|path| read_files(path)).collect();
    Ok(files?.concat())
}

/// The first line in which two texts differ, shown from both; nothing when they are equal.
pub fn first_difference(expected: &str, found: &str) -> Option<String> {
    let mut lines = (expected.lines(), found.lines());
    for number in 1.. {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => {
                let shown = |line: Option<&str>| line.unwrap_or("(the end)").to_string();
                return Some(format!("line {number}\n  - {}\n  + {}", shown(one), shown(other)));
            }
        }
    }
    None
}

/// Names of source texts, as diagnostics repeat them.
fn source(name: &str, text: String) -> Source {
    Source { name: Arc::from(name), text }
}
