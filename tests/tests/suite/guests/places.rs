//! Where a failure is said to be.

use super::{engine, question};
use muster::guest::GuestInstances;
use muster_rules::{Source, check, packs};

/// Its second condition in the order of their texts is looked at in the third line.
const RULES: &str = "audiences:
  - { id: buyers, where: { all: [{ event: look },
      { event: purchase }] } }
";

#[test]
fn a_failure_of_a_compiled_definition_names_its_line() {
    let source = Source { name: "shop.yaml".into(), text: RULES.into() };
    let pack = packs(&check(&[source]).unwrap()).remove(0);
    let mut component = pack.compile().unwrap();
    // No definition compiles to a trap: its `and`, behind the second look at a byte, becomes a
    // division by that byte.
    let is_and = |at: &usize| {
        component[*at..].starts_with(&[0x71, 0x0b]) && component[at - 6..*at].contains(&0x2d)
    };
    let ands: Vec<usize> = (6..component.len()).filter(is_and).collect();
    assert_eq!(ands.len(), 1, "{ands:?}");
    component[ands[0]] = 0x6e;
    let loaded = engine().load(&component).unwrap();
    let decide = |module| {
        let question = muster_core::Question { audiences: &[0], ..question(0, &[]) };
        GuestInstances::new(vec![module]).evaluate(question).unwrap_err().to_string()
    };
    let told =
        "module `definitions-0-0` trapped in `buyers` at shop.yaml:3:9: integer divide by zero";
    assert_eq!(decide(loaded.clone()), told);

    let moved = Source { name: "shop.yaml".into(), text: format!("# moved\n{RULES}") };
    let moved = packs(&check(&[moved]).unwrap()).remove(0).source_map();
    assert_eq!(decide(loaded.compiled_from(moved)), told.replace(":3:", ":4:"));
}
