//! Rules for Muster, written in Rust.
//!
//! A rule says as constants what it looks at, decides in a plain function, and lists both:
//!
//! ```
//! use muster_guest_sdk::*;
//!
//! const BOUGHT: Condition =
//!     event("purchase").context("platform", is("iOS")).within(days(30)).happened();
//! const REFUNDED: Condition = event("refund").within(days(7)).happened();
//!
//! audiences! { "recent-ios-buyers": recent_ios_buyers(BOUGHT, REFUNDED) }
//!
//! fn recent_ios_buyers(bought: bool, refunded: bool) -> bool {
//!     bought && !refunded
//! }
//! # fn main() {}
//! ```
//!
//! The host decides a [`Condition`], exactly and at the right instant. [`Number`], [`Text`] and the
//! others of [`Input`] hand raw values over; the audience is then decided again at each change of
//! them, so conditions are cheaper.
//!
//! What comparisons can't say of an event, a function of it can: see [`predicates!`].
//!
//! `muster new` makes a crate, `muster build` a component, and `muster test` holds it to case files.
//! With the feature `simulation`, rules are tested with plain `cargo test`: see `simulation::User`.
//!
//! A module sees what it is called with and nothing else. It must not keep anything from one call
//! for the next: the calls come from many users in any order, and from several instances.

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated from the contract"
)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "module",
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "muster_guest_sdk::bindings",
    });
}

/// The second interface has types of its own, and only modules with predicates export it.
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated from the contract"
)]
#[doc(hidden)]
pub mod selection_bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package muster:sdk; world predicates { export muster:rules/selection@1.1.0; }",
        world: "muster:sdk/predicates",
        pub_export_macro: true,
        export_macro_name: "export_selection",
        default_bindings_module: "muster_guest_sdk::selection_bindings",
    });
}

mod comparison;
mod events;
mod input;
mod manifest;
mod module;
mod number;
mod predicate;
#[cfg(feature = "simulation")]
pub mod simulation;
mod value;

pub use comparison::{
    Scalar, Test, at_least, at_most, contains, decimal, differs_from, ends_with, equals, exists,
    is, is_false, is_missing, is_not, is_not_false, is_not_true, is_true, less_than, matches,
    more_than, none_of, none_of_numbers, none_of_values, not_contains, not_ends_with, not_matches,
    not_starts_with, of, one_of, one_of_numbers, one_of_values, starts_with,
};
pub use events::{
    Events, Span, any_event, days, event, hours, milliseconds, minutes, seconds, weeks,
};
pub use input::{
    Anything, Boolean, ComparedWith, Condition, Count, Input, Number, Text, Values, attribute,
    audience, kind,
};
#[doc(hidden)]
pub use input::{Kind, Listed, Spec, listed, spec};
#[doc(hidden)]
pub use manifest::{Tables, Writer, count_inputs};
pub use module::Module;
#[doc(hidden)]
pub use module::{Audience, Decide, Reader};
pub use number::Decimal;
#[doc(hidden)]
pub use predicate::{Accept, Predicates};
pub use predicate::{Event, Predicate};
pub use value::{Item, List, Value};
