//! Modules that fail: the call is lost, and nothing else.

use super::module::{PARITY, Text, engine, load, module, question};
use crate::guest::GuestInstances;
use muster_core::{Decide, Value};

/// Fails with an odd number of conditions only, in that way.
fn failing(instructions: &str) -> Text {
    let when = "(i32.and (local.get $conditions_len) (i32.const 1))";
    module("hostile", &format!("(if {when} (then {instructions})) {PARITY}"))
}

/// Whatever a module does, its next good call works, and its neighbour never notices.
fn check(hostile: &Text, expected: &str) {
    let engine = engine();
    let modules = vec![load(&engine, hostile), load(&engine, &module("good", PARITY))];
    let mut instances = GuestInstances::new(modules);
    for _ in 0..2 {
        assert_eq!(instances.decide(question(1, &[3])), Ok(vec![true, true]));
        let error = instances.decide(question(0, &[3])).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(instances.decide(question(0, &[3, 4])), Ok(vec![false, false]));
        assert_eq!(instances.decide(question(1, &[])), Ok(vec![false, false]));
    }
}

#[test]
fn a_trap_names_the_module_and_the_reason() {
    check(
        &failing("unreachable"),
        "module `hostile` trapped in `evaluate`: wasm `unreachable` instruction executed",
    );
    check(
        &failing("(i32.store (i32.const -4) (i32.const 0))"),
        "module `hostile` trapped in `evaluate`: out of bounds memory access",
    );
}

#[test]
fn an_endless_loop_is_interrupted() {
    check(
        &failing("(loop $again (br $again))"),
        "module `hostile` took longer than 30ms in `evaluate`: simplify it or raise the limit",
    );
}

#[test]
fn deep_recursion_is_stopped() {
    let again = "(drop (call $evaluate (local.get $audiences) (local.get $audiences_len)
        (local.get $conditions) (local.get $conditions_len)
        (local.get $values) (local.get $values_len)))";
    check(
        &failing(again),
        "module `hostile` needs more than 524288 bytes of stack: simplify it or raise the limit",
    );
}

#[test]
fn memory_and_tables_are_bounded() {
    check(
        &failing("(loop $again (drop (memory.grow (i32.const 1))) (br $again))"),
        "module `hostile` needs 16842752 bytes of memory and may have 16777216: simplify it or \
         raise the limit",
    );
    let mut table = failing("(drop (table.grow $t (ref.null func) (i32.const 100000)))");
    table.definitions = "(table $t 1 funcref)";
    check(
        &table,
        "module `hostile` needs 100001 table elements and may have 100000: simplify it or raise \
         the limit",
    );
}

#[test]
fn a_wrong_answer_is_refused() {
    let answer = |address: i64, length: i64| {
        failing(&format!(
            "(i32.store (i32.const 512) (i32.const {address}))
             (i32.store (i32.const 516) (i32.const {length}))
             (return (i32.const 512))"
        ))
    };
    check(&answer(0, 3), "module `hostile` gave a wrong answer: 3 decisions for 2 audiences");
    check(&answer(0, 0), "module `hostile` gave a wrong answer: 0 decisions for 2 audiences");
    check(
        &answer(65536, 2_000_000_000),
        "module `hostile` gave a wrong answer: list pointer/length out of bounds of memory",
    );
}

#[test]
fn values_reach_the_module() {
    let engine = engine();
    let mut instances = GuestInstances::new(vec![load(&engine, &module("values", VALUES))]);
    let number = muster_core::Decimal::parse("-12.5").unwrap();
    let values = [
        None,
        Some(Value::Boolean(true)),
        Some(Value::Number(number)),
        Some(Value::text("iOS")),
        Some(Value::Composite("[1]".into())),
    ];
    let question = muster_core::Question {
        module: 0,
        audiences: &[0, 1, 2, 3, 4, 5],
        conditions: &[],
        values: &values,
    };
    // The tags 0 to 4 in order, and the low and high half of -12,500,000,000 billionths.
    assert_eq!(instances.evaluate(question).unwrap(), vec![true; 6]);
}

/// Six decisions about the five values of 24 bytes each: is the tag of each its place, and is the
/// third the number -12.5.
const VALUES: &str = "
    (local $i i32)
    (loop $next
        (i32.store8 (i32.add (i32.const 1024) (local.get $i))
            (i32.eq (local.get $i) (i32.load8_u (i32.add (local.get $values)
                (i32.mul (local.get $i) (i32.const 24))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 5))))
    (i32.store8 (i32.const 1029) (i32.and
        (i64.eq (i64.load offset=56 (local.get $values)) (i64.const -1))
        (i64.eq (i64.load offset=64 (local.get $values)) (i64.const -12500000000))))
    (i32.store (i32.const 512) (i32.const 1024))
    (i32.store (i32.const 516) (i32.const 6))
    (i32.const 512)";
