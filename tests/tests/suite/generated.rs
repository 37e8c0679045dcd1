//! The naive evaluator over random definitions and messages: what it says is consistent, and what
//! it is compared with says the same.

use muster_core::Change;
use muster_rules::{Definitions, Source, check};
use muster_tests::generate::{UNITS, Unit, definitions, hot_user, timeline};
use muster_tests::naive;
use muster_tests::timeline::{Entry, IdLimits, Outcome};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Few ids for a short time, so that they are forgotten while a case goes on.
const LIMITS: IdLimits = IdLimits { horizon_ms: 40, count: 6 };

fn unit() -> impl Strategy<Value = Unit> {
    prop_oneof![3 => Just(UNITS[0]), 2 => proptest::sample::select(&UNITS[..])]
}

fn checked(yaml: &str) -> Definitions {
    let source = Source { name: "generated.yaml".into(), text: yaml.to_string() };
    check(&[source]).unwrap_or_else(|diagnostics| {
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        panic!("generated definitions are refused:\n{}\n{yaml}", lines.join("\n"))
    })
}

/// Everyone enters before she leaves, instants of a user never go back, numbers count from 1.
fn is_consistent(outcome: &Outcome) -> bool {
    let mut members = BTreeMap::new();
    let mut users = BTreeMap::new();
    outcome.transitions.iter().all(|told| {
        let (number, at) = users.entry(&told.user).or_insert((0, told.at));
        let in_order = told.number == *number + 1 && told.at >= *at;
        (*number, *at) = (told.number, told.at);
        let was_in = members.insert((&told.user, &told.audience), told.change);
        in_order && (was_in == Some(Change::Entered)) == (told.change == Change::Left)
    })
}

/// Who is in which audience when the last run ends. `since` is left out: a run's end brings forward
/// what is due at that very instant, so that a user may leave and enter where she stayed.
fn memberships_at_the_end(outcome: &Outcome) -> Vec<String> {
    let last = outcome.memberships.last().into_iter().flatten();
    last.map(|membership| format!("{:?} {}", membership.user, membership.audience)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn naive_evaluator_is_consistent(
        (yaml, timeline) in unit().prop_flat_map(|unit| (definitions(unit), timeline(unit))),
    ) {
        let outcome = naive::evaluate(&checked(&yaml).audiences, LIMITS, &timeline);
        prop_assert!(is_consistent(&outcome), "{yaml}\n{outcome:#?}");
    }

    #[test]
    fn ends_of_runs_do_not_change_who_is_in(
        (yaml, timeline) in unit().prop_flat_map(|unit| (definitions(unit), timeline(unit))),
    ) {
        let definitions = checked(&yaml).audiences;
        let mut one_run: Vec<Entry> = timeline.clone();
        one_run.retain(|entry| matches!(entry, Entry::Message(..)));
        one_run.push(Entry::End(None));
        let many_runs: Vec<Entry> =
            one_run.iter().flat_map(|entry| [entry.clone(), Entry::End(None)]).collect();
        let one = naive::evaluate(&definitions, LIMITS, &one_run);
        let many = naive::evaluate(&definitions, LIMITS, &many_runs);
        prop_assert_eq!(memberships_at_the_end(&one), memberships_at_the_end(&many), "{}", yaml);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn naive_evaluator_is_consistent_for_a_hot_user(
        (yaml, timeline) in unit().prop_flat_map(|unit| (definitions(unit), hot_user(unit))),
    ) {
        let outcome = naive::evaluate(&checked(&yaml).audiences, LIMITS, &timeline);
        prop_assert!(is_consistent(&outcome), "{yaml}\n{outcome:#?}");
    }
}
