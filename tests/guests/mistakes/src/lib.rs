//! Rules that must not compile are in `examples`.
