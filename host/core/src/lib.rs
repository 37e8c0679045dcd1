//! The pure core of Muster.
pub mod codec;
mod comparison;
mod decide;
mod decimal;
mod event;
mod feature;
mod module;
mod time;
mod value;
mod window;

pub use comparison::{Comparison, Pattern, Test};
pub use decide::{Decide, DecideError, Question};
pub use decimal::{Decimal, DecimalError};
pub use event::{Arrival, Event, Fields, Message};
pub use feature::{Aggregate, Condition, Feature, Selector};
pub use module::{Audience, AudienceKey, Module};
pub use time::{Span, Time};
pub use value::Value;
pub use window::{Extent, Window};
