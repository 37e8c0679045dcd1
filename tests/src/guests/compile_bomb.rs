//! A small component that takes a compiler minutes.

use super::{PARITY, Text, module};
use std::fmt::Write;

/// Loops in each other.
const LOOPS: usize = 1_000;
/// Variables that change in the innermost one, so that each loop must carry every one of them.
const LOCALS: usize = 2_000;

/// A module of some ten kilobytes whose code has as many values as it has loops times variables.
/// Everything else of it is good.
pub fn compile_bomb(name: &str) -> Text {
    let mut bomb = format!("(func $bomb (local {})", "i64 ".repeat(LOCALS));
    let write = |text: &mut String, part: std::fmt::Arguments<'_>| {
        assert!(text.write_fmt(part).is_ok(), "writing to a string does not fail");
    };
    bomb.push_str(&"(loop ".repeat(LOOPS));
    for local in 0..LOCALS {
        let other = (local * 7 + 1) % LOCALS;
        write(
            &mut bomb,
            format_args!("(local.set {local} (i64.add (local.get {local}) (local.get {other})))"),
        );
    }
    for depth in 0..LOOPS {
        let local = depth % LOCALS;
        write(&mut bomb, format_args!("(br_if 0 (i64.eqz (local.get {local}))))"));
    }
    bomb.push(')');
    Text { definitions: bomb, ..module(name, PARITY) }
}
