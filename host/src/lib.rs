//! The runtime of Muster.
pub mod guest;
pub mod store;
