//! Where commands write: data to standard output, everything else to standard error.

use super::rules::RefusedBy;
use super::{Exit, Format};
use crate::build::BuildError;
use crate::ruleset::RulesetError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_rules::Diagnostic;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

/// Says what went wrong, and how the command ends.
pub(super) fn report(error: &anyhow::Error, format: Format) -> Exit {
    if is_closed_pipe(error) {
        return Exit::Done;
    }
    if let Some(
        BuildError::Refused { .. }
        | BuildError::NoLibrary { .. }
        | BuildError::NotARuleModule { .. },
    ) = error.downcast_ref::<BuildError>()
    {
        say(error, format);
        return Exit::Rules;
    }
    if error.downcast_ref::<RefusedBy>().is_some_and(|refused| refused.status == 422) {
        say(error, format);
        return Exit::Rules;
    }
    match error.downcast_ref::<RulesetError>() {
        Some(RulesetError::Invalid(diagnostics)) => {
            diagnose(diagnostics, format);
            Exit::Rules
        }
        Some(
            RulesetError::Compile(_)
            | RulesetError::Component { .. }
            | RulesetError::Guest(_)
            | RulesetError::Plan(_),
        ) => {
            say(error, format);
            Exit::Rules
        }
        _ => {
            say(error, format);
            Exit::Failed
        }
    }
}

/// Whoever read the output has gone, which ends a command and is no failure of it.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    })
}

fn say(error: &anyhow::Error, format: Format) {
    // Some messages end with their cause, which then is no news.
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.ends_with(&cause) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&cause);
        }
    }
    note(&match format {
        Format::Text => format!("error: {told}"),
        Format::Json => serde_json::json!({ "error": told }).to_string(),
    });
}

/// Writes what must be mended, a line each.
fn diagnose(diagnostics: &[Diagnostic], format: Format) {
    for diagnostic in diagnostics {
        note(&match format {
            Format::Text => diagnostic.to_string(),
            Format::Json => serde_json::to_string(diagnostic).unwrap_or_default(),
        });
    }
    if format == Format::Text {
        note(&format!("{} to mend", counted(diagnostics.len(), "thing")));
    }
}

/// A number of things, as people write it.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Writes a line to standard error. When that is closed there is nobody to tell.
pub(super) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Opens a file to write to; `-` is standard output.
pub(super) fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path.to_str() == Some("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path)
        .map_err(|error| anyhow::anyhow!("cannot write to `{}`: {error}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// A bar on standard error, when that is a terminal.
pub(super) fn progress(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5));
    let template = "{msg} [{bar:32}] {human_pos} of {human_len}, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// A sign of life on standard error, when that is a terminal.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} {msg}, {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}
