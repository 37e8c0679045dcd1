//! Why a plan cannot be made.

use std::sync::Arc;

/// Why modules cannot be evaluated together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two modules define an audience of one id.
    #[error("audience `{id}` is in module `{first}` and in `{second}`: rename or remove one")]
    DuplicateAudience {
        /// The audience.
        id: Arc<str>,
        /// The module that has it.
        first: Arc<str>,
        /// The other.
        second: Arc<str>,
    },
    /// An audience refers to one that no module defines.
    #[error(
        "module `{module}` refers to audience `{id}`, which no module defines: deploy it first"
    )]
    UnknownAudience {
        /// The module that refers.
        module: Arc<str>,
        /// What it refers to.
        id: Arc<str>,
    },
    /// Modules refer to each other in a circle, or one to itself.
    #[error("modules refer to each other in a circle: {}", modules.join(" -> "))]
    Cycle {
        /// The modules of the circle.
        modules: Vec<Arc<str>>,
    },
    /// Two different things have one content key.
    #[error("`{one}` and `{other}` have the same content key: rename or rewrite one of them")]
    KeyCollision {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// A module did not decide the audiences of a user of whom nothing is known.
    #[error("module `{module}` cannot be evaluated: {reason}")]
    Undecided {
        /// The module.
        module: Arc<str>,
        /// What it said.
        reason: Arc<str>,
    },
}
