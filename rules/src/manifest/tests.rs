use super::*;
use crate::check::{Source, check as check_definitions};
use crate::pack::packs;
use muster_core::{
    Aggregate, Audience, Comparison, Condition, Decimal, Feature, Module, Predicate, Selector,
    Span, Test, Time, Value, Window,
};
use proptest::prelude::*;
use std::sync::Arc;

fn names() -> impl Strategy<Value = Arc<str>> {
    "[a-z\"\\\\é\n]{1,5}".prop_map(Arc::from)
}

fn numbers() -> impl Strategy<Value = Decimal> {
    let size = 10i128.pow(27);
    (1 - size..size).prop_map(Decimal::from_billionths)
}

fn tests() -> impl Strategy<Value = Test> {
    let values = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        numbers().prop_map(Value::Number),
        names().prop_map(Value::Text),
    ];
    prop_oneof![
        values.clone().prop_map(Test::Equal),
        prop::collection::vec(values, 1..4).prop_map(Test::NotIn),
        numbers().prop_map(Test::Less),
        any::<bool>().prop_map(Test::Exists),
        names().prop_map(Test::NotEndsWith),
    ]
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    // An object has each operator once, and so have definitions.
    prop::collection::vec(tests(), 1..3).prop_map(|mut tests| {
        tests.sort_by_key(Test::operator);
        tests.dedup_by_key(|test| test.operator());
        Comparison::new(tests)
    })
}

fn windows() -> impl Strategy<Value = Window> {
    let span = (1i64..10_000_000_000).prop_map(|length| Span::from_milliseconds(length).unwrap());
    let time = (Time::MIN.milliseconds()..Time::MAX.milliseconds() - 1)
        .prop_map(|milliseconds| Time::from_milliseconds(milliseconds).unwrap());
    (prop::option::of(span), prop::option::of(time.clone()), prop::option::of(time)).prop_map(
        |(within, from, to)| {
            let ordered = from.zip(to).is_none_or(|(from, to)| from < to);
            Window { within, older_than: None, from, to: to.filter(|_| ordered) }
        },
    )
}

fn predicate(index: u32) -> Predicate {
    Predicate { name: format!("\"{index}\"").into(), index, code: "".into() }
}

fn features() -> impl Strategy<Value = Feature> {
    let named = || prop::collection::btree_map(names(), comparisons(), 0..3);
    let selector = (prop::option::of(names()), named(), named(), prop::option::of(0u32..2))
        .prop_map(|(event, context, with, index)| {
            let list = |map: std::collections::BTreeMap<_, _>| map.into_iter().collect();
            let selector = Selector::new(event, list(context), list(with));
            Arc::new(match index {
                Some(index) => selector.matching(predicate(index)),
                None => selector,
            })
        });
    prop_oneof![
        names().prop_map(Feature::Attribute),
        (selector, names(), windows()).prop_map(|(selector, of, window)| Feature::Events {
            selector,
            aggregate: Aggregate::Last,
            of: Some(of),
            window,
        }),
    ]
}

fn modules() -> impl Strategy<Value = Module> {
    let conditions = prop_oneof![
        (features(), comparisons())
            .prop_map(|(feature, comparison)| Condition::Compare { feature, comparison }),
        "[A-Z]{1,5}".prop_map(|id| Condition::Member(id.into())),
    ];
    (prop::collection::vec(conditions, 1..6), prop::collection::vec(features(), 1..4)).prop_map(
        |(conditions, values)| Module {
            name: "module".into(),
            code: "".into(),
            predicates: [0, 1].map(|index| predicate(index).name).to_vec(),
            audiences: vec![Audience {
                id: "a".into(),
                name: "A \"quoted\" name".into(),
                version: "1".into(),
                conditions: (0..conditions.len() as u32).collect(),
                values: (0..values.len() as u32).collect(),
                requires: vec![0],
                excludes: (1..conditions.len() as u32).collect(),
            }],
            conditions,
            values,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(module in modules()) {
        let text = write(&module);
        let back = read(&text).unwrap();
        prop_assert_eq!(&back, &module);
        prop_assert_eq!(write(&back), text);
    }
}

#[test]
fn numbers_and_instants_are_exact() {
    let text = r#"{"manifest":1,"name":"m","selectors":[{"event":"*"}],
        "features":[{"selector":0,"aggregate":"sum","of":"amount","between":{"from":-62167219200001}}],
        "conditions":[{"feature":0,"is":{"gt":123456789012345678.123456789}}]}"#;
    let written = write(&read(text).unwrap());
    assert!(written.contains("123456789012345678.123456789"), "{written}");
    assert!(written.contains("-62167219200001"), "{written}");
}

#[test]
fn packs_write_manifests_that_are_read_back() {
    let text = "audiences:
      - id: a
        where: { event: purchase, sum: { of: amount, gte: 10.5 }, within: 30d, older_than: 1d }
      - { id: b, where: { all: [{ audience: a }, { profile: { country: { in: [US, CA] } } }] } }";
    let source = Source { name: "f".into(), text: text.into() };
    for pack in packs(&check_definitions(&[source]).unwrap()) {
        assert_eq!(&read(&write(pack.module())).unwrap(), pack.module());
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
}

/// A manifest around a few parts.
fn manifest(parts: &str) -> String {
    format!("{{\"manifest\":1,\"name\":\"m\",{parts}}}")
}

#[test]
fn refuses_what_is_not_of_the_schema() {
    let malformed = |text: &str, reason: &str| {
        check(text, &format!("manifest is not of the schema `muster-manifest-1`: {reason}"));
    };
    malformed("{", "EOF while parsing an object at line 1 column 1");
    malformed(r#"{"manifest":1}"#, "missing field `name` at line 1 column 14");
    malformed(
        &manifest(r#""rules":[]"#),
        "unknown field `rules`, expected one of `manifest`, `name`, `predicates`, \
         `selectors`, `features`, `conditions`, `values`, `audiences` at line 1 column 32",
    );
    check(r#"{"manifest":2,"name":"m"}"#, "manifest has version `2`: write version `1`");
}

#[test]
fn refuses_predicates_that_are_not_one() {
    check(
        &manifest(r#""predicates":["near"],"selectors":[{"event":"e","predicate":"far"}]"#),
        "manifest is wrong at `selectors[0]`: predicate `far` is not listed; list it under `predicates`",
    );
    check(
        &manifest(r#""predicates":["near","near"]"#),
        "manifest is wrong at `predicates[1]`: predicate `near` is listed twice; list it once",
    );
    check(
        &manifest(r#""predicates":[""]"#),
        "manifest is wrong at `predicates[0]`: `` is not allowed; write 1 to 1024 bytes on one line",
    );
}

#[test]
fn refuses_indices_that_lead_nowhere_or_are_not_sorted() {
    let features = r#""features":[{"attribute":"tier"}]"#;
    check(
        &manifest(r#""values":[0]"#),
        "manifest is wrong at `values[0]`: index `0` is beyond the 0 of `features`; write an index below 0",
    );
    check(
        &manifest(&format!(r#"{features},"conditions":[{{"feature":1,"is":{{"eq":1}}}}]"#)),
        "manifest is wrong at `conditions[0]`: index `1` is beyond the 1 of `features`; write an index below 1",
    );
    let audience = |indices: &str| {
        let listed = r#""values":[0,0],"audiences":[{"id":"a","version":"1","values""#;
        manifest(&format!("{features},{listed}:{indices}}}]"))
    };
    check(
        &audience("[1,0]"),
        "manifest is wrong at `audiences[0]`: `0` follows `1` in `values`; write each index once, in ascending order",
    );
    check(
        &audience("[0,2]"),
        "manifest is wrong at `audiences[0]`: index `2` is beyond the 2 of `values`; write an index below 2",
    );
}

#[test]
fn refuses_to_require_what_is_not_listed() {
    let audience = r#"{"id":"a","version":"1","conditions":[0],"requires":[0],"excludes":[1]}"#;
    let conditions = r#""features":[{"attribute":"tier"}],"conditions":[{"feature":0,"is":{"eq":1}},{"feature":0,"is":{"eq":2}}]"#;
    check(
        &manifest(&format!("{conditions},\"audiences\":[{audience}]")),
        "manifest is wrong at `audiences[0]`: condition `1` of `excludes` is not one of the audience's `conditions`; list it there too, or remove it here",
    );
}

#[test]
fn refuses_contradictions() {
    let audience = r#"{"id":"a","version":"1"}"#;
    check(
        &manifest(&format!(r#""audiences":[{audience},{audience}]"#)),
        "manifest is wrong at `audiences[1]`: id `a` is taken; write another id",
    );
    check(
        &manifest(&format!(r#""conditions":[{{"audience":"a"}}],"audiences":[{audience}]"#)),
        "manifest is wrong at `conditions[0]`: `a` is an audience of this module; decide it inside, or move it to another module",
    );
    check(
        &manifest(r#""features":[{"attribute":"a","within":"1d"}]"#),
        "manifest is wrong at `features[0]`: feature is of an attribute and of events; write `attribute` alone, or `selector`, `aggregate`, `of` and a window",
    );
    let selector = r#""selectors":[{"event":"e"}]"#;
    check(
        &manifest(&format!(
            r#"{selector},"features":[{{"selector":0,"aggregate":"count"}}],"conditions":[{{"feature":0,"is":{{"gte":-1}}}}]"#
        )),
        "manifest is wrong at `conditions[0]`: `-1` is negative, and a count never is; write 0 or more",
    );
    check(
        &manifest(r#""selectors":[{"event":"e","with":{"a":{"gt":1,"gt":2}}}]"#),
        "manifest is wrong at `selectors[0]`: comparison of `a` is not one: key `gt` is written twice at line 1 column 15; write an object of operators, as in `{\"gte\":10}`",
    );
}
