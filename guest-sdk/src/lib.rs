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
//! # From nothing to a live rule
//!
//! What follows takes some minutes and needs `muster` on your path, Rust, and what compiles it to
//! WebAssembly: `rustup target add wasm32-unknown-unknown`. Where something is missing,
//! `muster build` says what to install.
//!
//! ## 1. Make a crate
//!
//! ```sh
//! muster new shop-rules
//! cd shop-rules
//! ```
//!
//! In `src/lib.rs` is the rule from above. It is a crate like any other; what makes it a rule module
//! are its `crate-type` and [`audiences!`].
//!
//! ## 2. Say what it looks at
//!
//! [`event`] says which events count, [`Events::within`] and its like which span of time, and the last
//! call what is asked of them. The host decides a [`Condition`], exactly, and at the very instant at
//! which it changes: that of a window's end, too, when nothing happens.
//!
//! Where true and false are not enough, [`Number`], [`Text`] and the others of [`Input`] hand raw
//! values over, exact as well. The function takes what the inputs give, in their order:
//!
//! ```
//! use muster_guest_sdk::*;
//!
//! const REFUNDED: Condition = event("refund").within(days(7)).happened();
//! const SPENT: Number = event("purchase").within(days(30)).sum("amount");
//! const COUNTRY: Text = attribute("country").text();
//!
//! audiences! { "big-spenders": big_spenders(REFUNDED, SPENT, COUNTRY) }
//!
//! fn big_spenders(refunded: bool, spent: Option<Decimal>, country: Option<&str>) -> bool {
//!     let much = if country == Some("US") { 500 } else { 300 };
//!     !refunded && spent.is_some_and(|spent| spent >= much)
//! }
//! # fn main() {}
//! ```
//!
//! Prefer conditions: an audience is decided again at each change of a raw value, and only when the
//! truth changes of a condition. What comparisons can't say of an event, a function of it can: see
//! [`predicates!`].
//!
//! ## 3. Try it on simulated users
//!
//! The function is a function, and can be called by tests. With the feature `simulation`, which the
//! crate has for its tests, a simulated user does things, and a clock passes; the conditions are
//! decided by the engine that the service runs:
//!
//! ```
//! # use muster_guest_sdk::*;
//! # const BOUGHT: Condition =
//! #     event("purchase").context("platform", is("iOS")).within(days(30)).happened();
//! # const REFUNDED: Condition = event("refund").within(days(7)).happened();
//! # audiences! { "recent-ios-buyers": recent_ios_buyers(BOUGHT, REFUNDED) }
//! # fn recent_ios_buyers(bought: bool, refunded: bool) -> bool { bought && !refunded }
//! # #[cfg(feature = "simulation")]
//! # fn main() {
//! use muster_guest_sdk::simulation::User;
//!
//! let ann = User::new(&MODULE).at("2026-01-03 09:00").event("purchase").context("platform", "iOS");
//! assert!(ann.is_in("recent-ios-buyers"));
//! let refunded = ann.at("2026-01-05").event("refund");
//! assert_eq!(refunded.at("2026-03-01").transitions(), [
//!     "2026-01-03 09:00 entered recent-ios-buyers",
//!     "2026-01-05 left recent-ios-buyers",
//!     "2026-01-12 entered recent-ios-buyers",
//!     "2026-02-02 09:00 left recent-ios-buyers",
//! ]);
//! # }
//! # #[cfg(not(feature = "simulation"))]
//! # fn main() {}
//! ```
//!
//! The crate has this test already. It needs no WebAssembly:
//!
//! ```sh
//! cargo test
//! ```
//!
//! ## 4. Build it
//!
//! ```sh
//! muster build
//! muster test
//! muster inspect target/muster/shop-rules.wasm
//! ```
//!
//! The first makes a component, `target/muster/shop-rules.wasm`, and loads it as the service will. The
//! second holds it to the files in `cases/`: what happens, a line a message, and below it who enters
//! and leaves; after a change that is meant, `muster test --update` writes them, and the difference is
//! there to be read. The third shows what the component says of itself, its limits, and what a call
//! takes.
//!
//! ## 5. Bring it to life
//!
//! A service has a folder of rules for each workspace. Without a token nobody may ask it for anything;
//! each `muster token` prints its secret once, and adds its hash to the settings:
//!
//! ```sh
//! mkdir -p ../service/rules
//! cd ../service
//! printf '[workspaces]\nshop = "rules"\n' > muster.toml
//! muster token --name website --ingest --workspace shop >> muster.toml 2> key
//! muster token --name me --role viewer --workspace shop >> muster.toml 2> token
//! muster serve --config muster.toml &
//! ```
//!
//! The rule goes live when its component lies in that folder. The service notices within a second, and
//! lists its audience:
//!
//! ```sh
//! cp ../shop-rules/target/muster/shop-rules.wasm rules/
//! until curl -sf -H "authorization: Bearer $(cat token)" \
//!     localhost:7400/v1/workspaces/shop/audiences | grep recent-ios-buyers
//! do sleep 1; done
//! ```
//!
//! Send a purchase. When it is answered it is durable, and so is what follows from it:
//!
//! ```sh
//! curl -sf -H "authorization: Bearer $(cat key)" -H 'content-type: application/json' \
//!     localhost:7400/v1/messages -d '{"workspace": "shop", "user": "ann",
//!     "context": {"platform": "iOS"},
//!     "events": [{"name": "purchase", "time": "'$(date -u +%FT%TZ)'"}]}'
//! curl -sf -H "authorization: Bearer $(cat token)" \
//!     localhost:7400/v1/workspaces/shop/transitions
//! ```
//!
//! Ann has entered. In thirty days she will leave, and that too will be told.
//!
//! ## 6. Change it
//!
//! Change the code, build, test, and copy the component again. Its audiences then have another version,
//! which is made of the code, and everybody is decided anew in the background. A component that does
//! not load is reported in the log, and the rules stay as they were.
//!
//! # What a module sees
//!
//! What it is called with, and nothing else: no clock, no network, no randomness. It must not keep
//! anything from one call for the next: the calls come from many users in any order, and from several
//! instances. What a call may cost is bounded; see `muster bench module` for what it does cost, and
//! `muster bench beside` for what that does to everybody else.

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
