//! Simulated users, for tests of rules with plain `cargo test`: no WebAssembly, no service.
//!
//! ```
//! use muster_guest_sdk::*;
//!
//! const BOUGHT: Condition = event("purchase").within(days(30)).happened();
//! audiences! { "recent-buyers": recent_buyers(BOUGHT) }
//!
//! fn recent_buyers(bought: bool) -> bool {
//!     bought
//! }
//!
//! # fn main() {
//! use muster_guest_sdk::simulation::User;
//!
//! let ann = User::new(&MODULE).at("2026-01-03 09:00").event("purchase").property("amount", 12);
//! assert!(ann.is_in("recent-buyers"));
//! assert!(!ann.clone().at("2026-02-02 09:00").is_in("recent-buyers"));
//! assert_eq!(ann.at("2026-03-01").transitions(), [
//!     "2026-01-03 09:00 entered recent-buyers",
//!     "2026-02-02 09:00 left recent-buyers",
//! ]);
//! # }
//! ```
//!
//! The conditions are decided by the engine that the service runs. It is the rules that run here
//! natively: what they may cost in the service is seen by `muster bench module`.

mod given;
mod run;

pub use given::Given;

use crate::Module;
use muster_core::{Event, Message, Time};
use std::sync::Arc;

/// The attribute that stands for membership in an audience of another module. No attribute of a
/// message has such a name, since none begins with a control character by any sender's intent.
fn membership_attribute(audience: &str) -> Arc<str> {
    format!("\u{1}{audience}").into()
}

/// A user, told step by step what she does, and the clock.
#[derive(Clone, Debug)]
pub struct User {
    module: &'static Module,
    clock: Time,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    at: Time,
    message: Message,
}

impl User {
    /// A user of whom nothing is known, in 1970.
    pub fn new(module: &'static Module) -> User {
        User { module, clock: Time::EPOCH, steps: Vec::new() }
    }

    /// Moves the clock: `2026-01-03`, `2026-01-03 09:00` or `2026-01-03 09:00:30`, in UTC. What
    /// follows happens then; users leave and enter by the passing of time on the way.
    ///
    /// # Panics
    /// When the time is none, or lies before the clock: for an event that arrives late see
    /// [`User::late_event`].
    pub fn at(mut self, time: &str) -> User {
        let time = read_time(time);
        assert!(
            time >= self.clock,
            "the clock does not go back: write late events as `late_event`"
        );
        self.clock = time;
        self
    }

    /// Something happens, at the clock.
    pub fn event(self, name: &str) -> User {
        let time = self.clock;
        self.event_of(name, time)
    }

    /// Something arrives that happened earlier.
    ///
    /// # Panics
    /// When the time is none.
    pub fn late_event(self, name: &str, time: &str) -> User {
        self.event_of(name, read_time(time))
    }

    fn event_of(self, name: &str, time: Time) -> User {
        let (properties, context) = (Vec::new(), Arc::default());
        let event = Event { name: name.into(), time, id: None, properties, context };
        self.step(Message { events: vec![Arc::new(event)], ..Message::default() })
    }

    /// Gives the event before it a property.
    ///
    /// # Panics
    /// When no event comes before it.
    pub fn property(mut self, name: &str, value: impl Into<Given>) -> User {
        let Given(value) = value.into();
        insert(&mut self.last_event().properties, name, value);
        self
    }

    /// Gives the context of the event before it.
    ///
    /// # Panics
    /// When no event comes before it.
    pub fn context(mut self, key: &str, value: impl Into<Given>) -> User {
        let Given(value) = value.into();
        insert(Arc::make_mut(&mut self.last_event().context), key, value);
        self
    }

    /// Sets an attribute of her profile.
    pub fn attribute(self, name: &str, value: impl Into<Given>) -> User {
        let Given(value) = value.into();
        self.attributes(name.into(), Some(value))
    }

    /// Removes an attribute of her profile.
    pub fn without_attribute(self, name: &str) -> User {
        self.attributes(name.into(), None)
    }

    /// Enters an audience that is decided elsewhere, and that a rule refers to.
    pub fn enters(self, audience: &str) -> User {
        let value = muster_core::Value::Boolean(true);
        self.attributes(membership_attribute(audience), Some(value))
    }

    /// Leaves an audience that is decided elsewhere.
    pub fn leaves(self, audience: &str) -> User {
        self.attributes(membership_attribute(audience), None)
    }

    /// Whether she is in an audience of the module, at the clock.
    ///
    /// # Panics
    /// When the module has no such audience.
    pub fn is_in(&self, audience: &str) -> bool {
        let outcome = run::run(self);
        assert!(
            outcome.audiences.iter().any(|known| known == audience),
            "`{audience}` is no audience of this module: write one of `{}`",
            outcome.audiences.join("`, `")
        );
        outcome.members.contains(audience)
    }

    /// What she entered and left up to the clock, in order, as
    /// `2026-01-03 09:00 entered recent-buyers`.
    pub fn transitions(&self) -> Vec<String> {
        run::run(self).transitions
    }

    fn attributes(self, name: Arc<str>, value: Option<muster_core::Value>) -> User {
        self.step(Message { attributes: vec![(name, value)], ..Message::default() })
    }

    fn step(mut self, message: Message) -> User {
        self.steps.push(Step { at: self.clock, message });
        self
    }

    fn last_event(&mut self) -> &mut Event {
        let step = self.steps.last_mut();
        let event = step.and_then(|step| step.message.events.last_mut());
        match event {
            Some(event) => Arc::make_mut(event),
            None => panic!("no event before: write `.event(\"purchase\")` first"),
        }
    }
}

fn insert(fields: &mut muster_core::Fields, name: &str, value: muster_core::Value) {
    fields.retain(|(other, _)| **other != *name);
    fields.push((name.into(), value));
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
}

fn read_time(text: &str) -> Time {
    let seconds = if text.len() == "2026-01-03 09:00".len() { ":00" } else { "" };
    let zone = if text.len() > "2026-01-03".len() { "Z" } else { "" };
    let instant = format!("{}{seconds}{zone}", text.replacen(' ', "T", 1));
    match muster_rules::parse_instant(&instant) {
        Some(time) => time,
        None => panic!("`{text}` is not a time: write `2026-01-03` or `2026-01-03 09:00`"),
    }
}
