//! From the text of a case file to a case.

use super::timeline::IdLimits;
use super::{Case, CaseError, Completes, Step, source, words};
use muster_rules::Source;

/// How far the lines of a `rules:` block are indented.
const INDENT: &str = "  ";
/// The name of a `rules:` block that is given none.
const DEFAULT_RULES: &str = "rules.yaml";

struct Parser {
    sources: Vec<Source>,
    limits: IdLimits,
    latest: Option<muster_core::Time>,
    lines: Vec<(String, Completes)>,
    steps: Vec<Step>,
    /// The message whose further events may follow.
    open: Option<words::Message>,
    in_rules: bool,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Case, CaseError> {
    let mut parser = Parser {
        sources: Vec::new(),
        limits: IdLimits::default(),
        latest: None,
        lines: Vec::new(),
        steps: Vec::new(),
        open: None,
        in_rules: false,
    };
    for (index, line) in text.lines().enumerate() {
        parser.line(line).map_err(|reason| {
            let (file, line) = (file.to_string(), index + 1);
            CaseError { file, line, reason }
        })?;
    }
    parser.mark_rules();
    let Parser { sources, limits, latest, lines, steps, .. } = parser;
    Ok(Case {
        file: file.to_string(),
        text: text.to_string(),
        sources,
        limits,
        latest,
        lines,
        steps,
    })
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with("->") {
            return Ok(());
        }
        let completes = self.completes(line)?;
        // Further events move what is expected of a message below themselves.
        if let Completes::Step(step) = completes
            && let Some((_, before)) =
                self.lines.iter_mut().find(|(_, c)| *c == Completes::Step(step))
        {
            *before = Completes::Nothing;
        }
        self.lines.push((line.to_string(), completes));
        Ok(())
    }

    fn completes(&mut self, line: &str) -> Result<Completes, String> {
        if self.in_rules && (line.is_empty() || line.starts_with(INDENT)) {
            let text = &mut self.sources.last_mut().ok_or("no rules")?.text;
            text.push_str(line.strip_prefix(INDENT).unwrap_or(line));
            text.push('\n');
            return Ok(Completes::Nothing);
        }
        self.in_rules = false;
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "" if rest.is_empty() => return Ok(Completes::Nothing),
            _ if line.starts_with('#') => return Ok(Completes::Nothing),
            "rules:" => self.begin_rules(DEFAULT_RULES)?,
            "rules" => self.begin_rules(rest.strip_suffix(':').ok_or("end the line with `:`")?)?,
            "latest" => self.latest = Some(words::parse_time(rest)?),
            "remember" => self.limits = words::parse_limits(rest)?,
            "+" => {
                let open = self.open.as_mut().ok_or("`+` adds an event to the message above it")?;
                open.add_event(rest)?;
                let step = self.steps.len() - 1;
                self.steps[step] = Step::Message(open.to_json());
                return Ok(Completes::Step(step));
            }
            _ => return self.step(first, rest, line),
        }
        Ok(Completes::Nothing)
    }

    fn begin_rules(&mut self, name: &str) -> Result<(), String> {
        if !self.steps.is_empty() {
            return Err("rules come before the first step".to_string());
        }
        self.sources.push(source(name, String::new()));
        self.in_rules = true;
        Ok(())
    }

    fn step(&mut self, first: &str, rest: &str, line: &str) -> Result<Completes, String> {
        self.open = None;
        let step = match first {
            "until" => Step::Until(words::parse_time(rest)?),
            "members" if rest.is_empty() => Step::Members,
            "json" => Step::Message(words::expand(rest)?),
            _ => {
                let message = words::Message::parse(line)?;
                let json = message.to_json();
                self.open = Some(message);
                Step::Message(json)
            }
        };
        self.steps.push(step);
        Ok(Completes::Step(self.steps.len() - 1))
    }

    /// What is expected of the rules stands below the last of them that is not blank.
    fn mark_rules(&mut self) {
        let mut last = None;
        let mut inside = false;
        for (index, (line, _)) in self.lines.iter().enumerate() {
            inside = line.starts_with("rules")
                || (inside && (line.is_empty() || line.starts_with(INDENT)));
            if inside && !line.is_empty() {
                last = Some(index);
            }
        }
        if let Some(last) = last {
            self.lines[last].1 = Completes::Rules;
        }
    }
}
