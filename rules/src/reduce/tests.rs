use super::{Formula, Junction, reduce};
use crate::definition::{Location, Rule};
use muster_core::{Comparison, Condition, Feature, Test, Value};
use proptest::prelude::*;

const ATTRIBUTES: usize = 5;

fn test(attribute: usize, test: Test) -> Rule {
    let feature = Feature::Attribute(format!("a{attribute}").into());
    let comparison = Comparison::new(vec![test]);
    let location = Location { file: "f.yaml".into(), line: 1, column: 1 };
    Rule::Condition(Condition::Compare { feature, comparison }, location)
}

fn is(attribute: usize) -> Rule {
    test(attribute, Test::Equal(Value::Boolean(true)))
}

fn is_not(attribute: usize) -> Rule {
    test(attribute, Test::NotEqual(Value::Boolean(true)))
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

/// The truth of a rule when bit `i` of `bits` says whether attribute `a<i>` is true.
fn rule_holds(rule: &Rule, bits: u32) -> bool {
    match rule {
        Rule::All(rules) => rules.iter().all(|rule| rule_holds(rule, bits)),
        Rule::Any(rules) => rules.iter().any(|rule| rule_holds(rule, bits)),
        Rule::Not(rule) => !rule_holds(rule, bits),
        Rule::Condition(condition, _) => condition_holds(condition, bits),
    }
}

fn condition_holds(condition: &Condition, bits: u32) -> bool {
    let Condition::Compare { feature: Feature::Attribute(name), comparison } = condition else {
        panic!("only attributes are compared here");
    };
    let bit: u32 = name[1..].parse().unwrap();
    // A user without the attribute is as likely as one with another value.
    let value = (bits >> bit & 1 == 1).then_some(Value::Boolean(true));
    comparison.holds(value.as_ref())
}

fn formula_holds(formula: &Formula, truths: &[bool]) -> bool {
    match formula {
        Formula::Literal { condition, negated } => truths[*condition as usize] != *negated,
        Formula::Join(Junction::All, parts) => parts.iter().all(|part| formula_holds(part, truths)),
        Formula::Join(Junction::Any, parts) => parts.iter().any(|part| formula_holds(part, truths)),
    }
}

fn literals(formula: &Formula) -> usize {
    match formula {
        Formula::Literal { .. } => 1,
        Formula::Join(_, parts) => parts.iter().map(literals).sum(),
    }
}

fn conditions(rule: &Rule) -> usize {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().map(conditions).sum(),
        Rule::Not(rule) => conditions(rule),
        Rule::Condition(..) => 1,
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let leaf =
        (0..ATTRIBUTES, any::<bool>()).prop_map(|(a, yes)| if yes { is(a) } else { is_not(a) });
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Rule::All),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Rule::Any),
            inner.prop_map(not),
        ]
    })
}

fn reversed(rule: &Rule) -> Rule {
    match rule {
        Rule::All(rules) => Rule::All(rules.iter().rev().map(reversed).collect()),
        Rule::Any(rules) => Rule::Any(rules.iter().rev().map(reversed).collect()),
        Rule::Not(rule) => not(reversed(rule)),
        Rule::Condition(..) => rule.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn says_the_same_with_no_more_literals(rule in any_rule()) {
        let reduced = reduce(&rule);
        for bits in 0..1 << ATTRIBUTES {
            let truths: Vec<bool> =
                reduced.conditions.iter().map(|c| condition_holds(&c.condition, bits)).collect();
            prop_assert_eq!(formula_holds(&reduced.formula, &truths), rule_holds(&rule, bits));
        }
        prop_assert!(literals(&reduced.formula) <= conditions(&rule));
        prop_assert!(reduced.conditions.len() <= ATTRIBUTES);
    }

    #[test]
    fn does_not_depend_on_the_order(rule in any_rule()) {
        prop_assert_eq!(reduce(&rule), reduce(&reversed(&rule)));
    }
}

fn check(rule: Rule, same: Rule) {
    assert_eq!(reduce(&rule), reduce(&same), "{rule:?}");
}

fn check_literals(rule: Rule, expected: usize) {
    assert_eq!(literals(&reduce(&rule).formula), expected, "{rule:?}");
}

#[test]
fn equal_parts_are_kept_once() {
    check(Rule::All(vec![is(0), Rule::All(vec![is(0), is(1)])]), Rule::All(vec![is(0), is(1)]));
    check(Rule::Any(vec![Rule::Any(vec![is(2)])]), is(2));
}

#[test]
fn negations_meet() {
    check(not(not(is(0))), is(0));
    check(not(is_not(0)), is(0));
    check(not(Rule::All(vec![is(0), is(1)])), Rule::Any(vec![is_not(0), is_not(1)]));
}

#[test]
fn contradictions_and_tautologies_need_no_condition() {
    for (rule, constant) in [
        (Rule::All(vec![is(0), is_not(0)]), Junction::Any),
        (Rule::Any(vec![is(0), not(is(0)), is(1)]), Junction::All),
    ] {
        let reduced = reduce(&rule);
        assert_eq!(reduced.formula, Formula::Join(constant, Vec::new()));
        assert!(reduced.conditions.is_empty());
    }
}

#[test]
fn what_siblings_imply_goes() {
    check(Rule::All(vec![is(0), Rule::Any(vec![is(0), is(1)])]), is(0));
    check(Rule::All(vec![is(0), Rule::Any(vec![is_not(0), is(1)])]), Rule::All(vec![is(0), is(1)]));
    let wide = Rule::Any(vec![is(0), is(1), is(2)]);
    check_literals(Rule::All(vec![Rule::Any(vec![is(0), is(1)]), wide]), 2);
}
