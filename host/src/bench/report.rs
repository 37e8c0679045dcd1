//! Figures, and how they are shown.

use std::fmt;

/// A measurement's figures.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// What was measured, and of how much.
    pub title: String,
    /// What came of it.
    pub figures: Vec<Figure>,
}

/// One figure.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The goal, in the same unit, and what it is compared with.
    pub goal: Option<String>,
}

impl Report {
    pub(super) fn new(title: impl Into<String>) -> Report {
        Report { title: title.into(), figures: Vec::new() }
    }

    pub(super) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, goal: None });
    }

    pub(super) fn add_with_goal(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: &str,
    ) {
        let goal = Some(goal.to_string());
        self.figures.push(Figure { name: name.into(), value, unit, goal });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for figure in &self.figures {
            let digits =
                if figure.value.abs() < 10.0 { 2 } else { usize::from(figure.value < 100.0) };
            write!(f, "  {:58} {:>12.digits$} {}", figure.name, figure.value, figure.unit)?;
            match &figure.goal {
                Some(goal) => writeln!(f, "   (goal: {goal})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Durations of many batches.
#[derive(Default)]
pub(super) struct Durations(Vec<f64>);

impl Durations {
    pub(super) fn add(&mut self, duration: std::time::Duration) {
        self.0.push(duration.as_secs_f64() * 1e6);
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / (self.0.len() as f64).max(1.0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The duration below which that share of them lies, in microseconds.
    pub(super) fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let at = ((self.0.len() as f64 - 1.0) * share).round() as usize;
        self.0.get(at).copied().unwrap_or(0.0)
    }
}
