//! Rules for Muster, written in Rust.
//!
//! A rule module is a library of crate type `cdylib`, built for `wasm32-unknown-unknown` and made
//! into a component. It holds one type that implements [`Rules`], and hands it to [`export!`]:
//!
//! ```
//! use muster_guest_sdk::{Facts, Rules};
//!
//! struct Buyers;
//!
//! impl Rules for Buyers {
//!     const MANIFEST: &'static str = r#"{"manifest":1,"name":"buyers"}"#;
//!
//!     fn decide(audience: u32, facts: &Facts<'_>) -> bool {
//!         match audience {
//!             0 => facts.holds(0) && !facts.holds(1),
//!             _ => facts.number(0).is_some_and(|spent| spent > 100 * muster_guest_sdk::ONE),
//!         }
//!     }
//! }
//!
//! muster_guest_sdk::export!(Buyers);
//! # fn main() {}
//! ```
//!
//! It is built with `cargo build --release --target wasm32-unknown-unknown`; what that writes is a
//! core module, of which the host's command line makes a component.
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

mod facts;

pub use bindings::exports::muster::rules::decisions::{Decimal, Value};
pub use facts::{Facts, ONE};

use bindings::exports::muster::rules::decisions::Guest;
use std::marker::PhantomData;

/// The rules of a module.
pub trait Rules {
    /// The manifest: a JSON document of the schema `muster-manifest-1` that lists the conditions
    /// and values that the audiences look at, and the audiences. Best kept in a file and taken in
    /// with `include_str!`.
    const MANIFEST: &'static str;

    /// Whether the user belongs to an audience, given by its index in the manifest. The decision
    /// must follow from what the manifest lists for this audience.
    fn decide(audience: u32, facts: &Facts<'_>) -> bool;
}

/// The contract, kept by any rules. For [`export!`] alone.
#[doc(hidden)]
pub struct Exported<R>(PhantomData<R>);

impl<R: Rules> Guest for Exported<R> {
    fn describe() -> String {
        R::MANIFEST.to_owned()
    }

    fn evaluate(audiences: Vec<u32>, conditions: Vec<u32>, values: Vec<Value>) -> Vec<bool> {
        let facts = Facts::new(&conditions, &values);
        audiences.into_iter().map(|audience| R::decide(audience, &facts)).collect()
    }
}

/// Makes rules the module's own: exports the functions of the contract, and puts the manifest into
/// the section `muster:manifest`, from where it can be read without running the module. Used once
/// in a crate, at its root.
#[macro_export]
macro_rules! export {
    ($rules:ty) => {
        const MUSTER_MANIFEST: &[u8] = <$rules as $crate::Rules>::MANIFEST.as_bytes();

        // Linkers of other targets can't take the names that the contract gives its functions.
        #[cfg(target_arch = "wasm32")]
        type MusterExported = $crate::Exported<$rules>;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export_bindings!(MusterExported with_types_in $crate::bindings);

        #[cfg(target_arch = "wasm32")]
        #[unsafe(link_section = "muster:manifest")]
        static MUSTER_SECTION: [u8; MUSTER_MANIFEST.len()] =
            *MUSTER_MANIFEST.first_chunk().unwrap();

        const _: () = assert!(!MUSTER_MANIFEST.is_empty(), "the manifest is empty");
    };
}
