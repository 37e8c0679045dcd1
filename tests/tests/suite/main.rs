//! What is tested through the library and the command. One executable, since what makes one takes a minute: tests are
//! chosen by module, as in `cargo test -p muster-tests --test suite tls::`.

#![allow(
    clippy::unwrap_used,
    reason = "a test whose service or command does not answer has failed"
)]

mod access;
mod architecture;
mod cases;
mod changed_settings;
mod engines;
mod first_rule;
mod folders;
mod full_disk;
mod generated;
mod guests;
mod http;
mod isolation;
mod javascript;
mod lifecycle;
mod measurements;
mod process;
mod requests;
mod restart;
mod running;
mod rust_language;
mod rust_mistakes;
mod rust_predicates;
mod rust_rules;
mod rust_simulation;
mod secure;
mod service;
mod stage;
mod story;
mod tls;
mod token;
