//! The pure core of Muster: values, windows, series, and the step that decides audiences.
//!
//! [`step()`] takes a user's stored state, a micro-batch and an instant, and gives her new state, who
//! entered and left, and when to look again. It imports no runtime, store, clock, randomness or Wasm
//! engine: what it needs of history it asks for, and rule modules answer through [`Decide`].
mod answer;
pub mod codec;
mod comparison;
mod decide;
mod decimal;
mod distinct;
mod event;
mod feature;
mod interval;
mod module;
mod origin;
mod plan;
mod profile;
mod retry;
mod series;
mod shelf;
mod step;
mod tally;
mod time;
mod transition;
mod user;
mod value;
mod window;

pub use comparison::{Comparison, Pattern, Test};
pub use decide::{Candidate, Decide, DecideError, Question, Selection};
pub use decimal::{Decimal, DecimalError};
pub use event::{Arrival, Event, Fields, Message};
pub use feature::{Aggregate, Condition, Feature, Predicate, Selector};
pub use module::{Audience, AudienceKey, Module};
pub use origin::{Origin, Place};
pub use plan::{
    AudienceInfo, Engine, ExactFrom, Plan, PlanError, PlanSizes, Reach, Settings, Standing,
    Succession,
};
pub use profile::{Memberships, Profile};
pub use step::{
    Explanation, Ground, Input, Looked, Outcome, Report, Request, Step, Verdicts, explain, step,
};
pub use time::{Span, Time};
pub use transition::{Cause, Change, Transition, transition_id};
pub use user::{Counts, anew, check_state, due, evaluated_by, has_taken, transitions};
pub use value::Value;
pub use window::{Extent, Window};
