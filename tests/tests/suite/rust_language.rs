//! What rules in Rust can look at, beside the same in YAML: both must mean the same to the host.

use muster_core::{Condition as Meaning, Feature};
use muster_guest_sdk::*;
use muster_rules::{Rule, Source, check, manifest};

fn holds(holds: bool) -> bool {
    holds
}

/// Declares an audience of one condition for each line, and the definitions beside them.
macro_rules! pairs {
    ($($id:literal: $condition:expr, $yaml:literal;)+) => {
        audiences! { $($id: holds($condition)),+ }
        const YAML: &[(&str, &str)] = &[$(($id, $yaml)),+];
    };
}

pairs! {
    "happened": event("buy").happened(), "{ event: buy }";
    "any": any_event().count().test(at_least(3)), "{ event: '*', count: { gte: 3 } }";
    "count-few": event("buy").count().test(at_most(2)), "{ event: buy, count: { lte: 2 } }";
    "count-some": event("buy").count().test(one_of_numbers(&[1, 3])), "{ event: buy, count: { in: [1, 3] } }";
    "count-not": event("buy").count().test(none_of_numbers(&[0, 2])), "{ event: buy, count: { not_in: [0, 2] } }";
    "sum": event("buy").sum("amount").test(decimal::at_least("99.5")), "{ event: buy, sum: { gte: 99.5 }, of: amount }";
    "min": event("buy").min("amount").test(less_than(-3)), "{ event: buy, min: { lt: -3 }, of: amount }";
    "max": event("buy").max("amount").test(more_than(3)), "{ event: buy, max: { gt: 3 }, of: amount }";
    "avg": event("buy").avg("amount").test(decimal::equals("0.000000001")), "{ event: buy, avg: 0.000000001, of: amount }";
    "avg-is": event("buy").avg("amount").test(exists()), "{ event: buy, avg: { exists: true }, of: amount }";
    "distinct": event("view").distinct("item").test(equals(5)), "{ event: view, distinct: 5, of: item }";
    "first": event("view").first("item").test(is("a")), "{ event: view, first: a, of: item }";
    "last": event("view").last("item").test(differs_from(4)), "{ event: view, last: { ne: 4 }, of: item }";
    "range": event("buy").sum("amount").test(at_least(10).and(less_than(20))), "{ event: buy, sum: { gte: 10, lt: 20 }, of: amount }";

    "within": event("buy").within(days(30)).happened(), "{ event: buy, within: 30d }";
    "older": event("buy").older_than(hours(4)).happened(), "{ event: buy, older_than: 4h }";
    "slice": event("buy").within(weeks(2)).older_than(minutes(90)).happened(), "{ event: buy, within: 2w, older_than: 90m }";
    "fine": event("buy").within(seconds(5)).older_than(milliseconds(7)).happened(), "{ event: buy, within: 5s, older_than: 7ms }";
    "between": event("buy").between("2026-01-01", "2026-02-01T09:30:00Z").happened(),
        "{ event: buy, between: { from: 2026-01-01, to: '2026-02-01T09:30:00Z' } }";

    "with": event("buy").with("amount", at_least(10)).with("kind", is_not("gift")).happened(),
        "{ event: buy, with: { amount: { gte: 10 }, kind: { ne: gift } } }";
    "context": event("buy").context("platform", one_of(&["iOS", "Android"])).happened(),
        "{ event: buy, context: { platform: { in: [iOS, Android] } } }";
    "quoted": event("say \"hi\"\\").with("a.b", is("tab\there é")).happened(),
        "{ event: 'say \"hi\"\\', with: { a.b: \"tab\\there é\" } }";

    "eq-text": attribute("tier").test(is("gold")), "{ profile: { tier: gold } }";
    "ne-number": attribute("age").test(differs_from(3)), "{ profile: { age: { ne: 3 } } }";
    "ne-decimal": attribute("age").test(decimal::differs_from("3.25")), "{ profile: { age: { ne: 3.25 } } }";
    "lte-decimal": attribute("age").test(decimal::at_most("0.5").and(decimal::more_than("-0.5"))),
        "{ profile: { age: { lte: 0.5, gt: -0.5 } } }";
    "lt-decimal": attribute("age").number().test(decimal::less_than("0.5")), "{ profile: { age: { lt: 0.5 } } }";
    "in-decimals": attribute("age").test(decimal::one_of(&["0.5", "2"])), "{ profile: { age: { in: [0.5, 2] } } }";
    "not-in-decimals": attribute("age").test(decimal::none_of(&["0.5"])), "{ profile: { age: { not_in: [0.5] } } }";
    "true": attribute("new").test(is_true()), "{ profile: { new: true } }";
    "false": attribute("new").boolean().test(is_false()), "{ profile: { new: false } }";
    "not-true": attribute("new").test(is_not_true()), "{ profile: { new: { ne: true } } }";
    "not-false": attribute("new").test(is_not_false()), "{ profile: { new: { ne: false } } }";
    "in-mixed": attribute("x").test(one_of_values(&[Scalar::Text("3"), Scalar::Number("3"), Scalar::Boolean(true)])),
        "{ profile: { x: { in: ['3', 3, true] } } }";
    "not-in-mixed": attribute("x").test(none_of_values(&[Scalar::Text("a")])), "{ profile: { x: { not_in: [a] } } }";
    "not-in": attribute("x").text().test(none_of(&["a", "b"])), "{ profile: { x: { not_in: [a, b] } } }";
    "exists": attribute("tags").list().test(exists()), "{ profile: { tags: { exists: true } } }";
    "missing": attribute("tags").test(is_missing()), "{ profile: { tags: { exists: false } } }";
    "contains": attribute("x").test(contains("a").and(not_contains("b"))), "{ profile: { x: { contains: a, not_contains: b } } }";
    "starts": attribute("x").test(starts_with("a").and(not_starts_with("b"))), "{ profile: { x: { starts_with: a, not_starts_with: b } } }";
    "ends": attribute("x").test(ends_with("a").and(not_ends_with("b"))), "{ profile: { x: { ends_with: a, not_ends_with: b } } }";
    "matches": attribute("x").test(matches("^a+$").and(not_matches("b\\d"))),
        "{ profile: { x: { matches: '^a+$', not_matches: 'b\\d' } } }";
    "vip": audience("happened-elsewhere"), "{ audience: happened-elsewhere }";
}

/// The one condition of a definition.
fn meaning(yaml: &str) -> Meaning {
    let text = format!(
        "audiences:\n  - {{ id: it, where: {yaml} }}\n  - {{ id: happened-elsewhere, where: {{ event: x }} }}\n"
    );
    let definitions = check(&[Source { name: "pair.yaml".into(), text }]);
    let definitions = definitions.unwrap_or_else(|mistakes| panic!("{yaml}: {}", mistakes[0]));
    let it = definitions.audiences.into_iter().find(|audience| &*audience.id == "it");
    match it.map(|it| it.rule) {
        Some(Rule::Condition(condition, _)) => condition,
        other => panic!("{yaml} is {other:?}"),
    }
}

#[test]
fn every_condition_means_what_its_definition_means() {
    let module = manifest::read(MODULE.manifest()).expect("the manifest is one");
    assert_eq!(module.audiences.len(), YAML.len());
    for (audience, (id, yaml)) in module.audiences.iter().zip(YAML) {
        assert_eq!(&*audience.id, *id);
        let [at] = audience.conditions[..] else { panic!("`{id}` has one condition") };
        assert_eq!(module.conditions[at as usize], meaning(yaml), "`{id}`");
    }
}

#[test]
fn every_operator_aggregate_and_window_is_among_them() {
    let module = manifest::read(MODULE.manifest()).expect("the manifest is one");
    let text = manifest::write(&module);
    for operator in muster_rules::OPERATORS {
        assert!(text.contains(&format!("\"{operator}\":")), "{operator}");
    }
    for aggregate in muster_core::Aggregate::ALL {
        assert!(text.contains(&format!("\"aggregate\":\"{}\"", aggregate.name())));
    }
    for window in ["within", "older_than", "between"] {
        assert!(text.contains(&format!("\"{window}\":")), "{window}");
    }
}

mod listed {
    use super::*;

    const BOUGHT: Condition = event("buy").happened();
    const SPENT: Number = event("buy").sum("amount");
    const COUNTRY: Text = attribute("country").text();
    const VIP: Condition = audience("vip");

    audiences! {
        "one": one(SPENT, BOUGHT),
        "two" as "Number two": two(VIP, COUNTRY, BOUGHT, SPENT),
        "none": none(),
    }

    fn one(spent: Option<Decimal>, bought: bool) -> bool {
        bought && spent.is_some()
    }

    fn two(vip: bool, country: Option<&str>, bought: bool, spent: Option<Decimal>) -> bool {
        vip && one(spent, bought) && country == Some("US")
    }

    fn none() -> bool {
        true
    }

    #[test]
    fn what_audiences_share_is_listed_once() {
        let module = manifest::read(MODULE.manifest()).expect("the manifest is one");
        assert_eq!(&*module.name, "muster-tests");
        assert_eq!((module.conditions.len(), module.values.len()), (2, 2));
        let looks: Vec<(&[u32], &[u32])> =
            module.audiences.iter().map(|a| (&a.conditions[..], &a.values[..])).collect();
        assert_eq!(looks, [(&[0][..], &[0][..]), (&[0, 1], &[0, 1]), (&[], &[])]);
        assert_eq!(&*module.audiences[1].name, "Number two");
        assert_eq!(module.values[1], Feature::Attribute("country".into()));
        assert_eq!(module.values[0], meaning_of_sum());
    }

    fn meaning_of_sum() -> Feature {
        match meaning("{ event: buy, sum: { gte: 1 }, of: amount }") {
            Meaning::Compare { feature, .. } => feature,
            Meaning::Member(id) => panic!("`{id}` is a membership"),
        }
    }

    #[test]
    fn functions_get_what_they_list_whatever_its_place() {
        use muster_guest_sdk::bindings::exports::muster::rules::decisions::{Decimal, Value};
        let amount = Value::Number(Decimal { high: 0, low: 5 });
        let values = [amount, Value::Text("US".to_owned())];
        assert_eq!(MODULE.evaluate(&[0, 1, 2], &[0, 1], &values), [true, true, true]);
        assert_eq!(MODULE.evaluate(&[1], &[0], &values), [false]);
        assert_eq!(MODULE.evaluate(&[0, 2], &[1], &values), [false, true]);
        assert_eq!(MODULE.evaluate(&[0], &[0], &[]), [false]);
    }
}
