//! How a plan evaluates.

/// Which engine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Reads the user's events for every condition: simple, and slow for busy users.
    Scan,
    /// Reads the numbers that are kept for each user.
    #[default]
    State,
}

/// How a plan evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which engine answers.
    pub engine: Engine,
    /// How many merged intervals a series keeps beside its newest events.
    pub intervals: usize,
    /// Whether history is read when intervals alone do not decide; else the likelier answer counts.
    pub exact: bool,
    /// Whether series without events are kept. They never change an answer; keeping them shows what
    /// discarding them saves.
    pub keep_empty: bool,
    /// For how long an event's or a message's id is remembered, in milliseconds.
    pub id_horizon_ms: i64,
    /// How many ids of a user are remembered at the most.
    pub ids: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: Engine::State,
            intervals: 64,
            exact: true,
            keep_empty: false,
            id_horizon_ms: 86_400_000,
            ids: 256,
        }
    }
}

impl Engine {
    /// Its name in transitions, metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Scan => "scan",
            Engine::State => "state",
        }
    }
}
