mod comparisons;
mod events;
mod nodes;

use super::*;
use expect_test::{Expect, expect};

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn errors(files: &[Source]) -> String {
    let diagnostics = super::check(files).unwrap_err();
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// The errors of a file.
fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&errors(&[source("f.yaml", text)]));
}

/// The errors of a rule, which begins in column 8 of line 3.
fn check_rule(rule: &str, expected: &Expect) {
    check(&format!("audiences:\n- id: a\n  where: {rule}\n"), expected);
}

fn accept(rule: &str) -> Definitions {
    let text = format!("audiences:\n- id: a\n  where: {rule}\n");
    super::check(&[source("f.yaml", &text)]).unwrap()
}

#[test]
fn accepts_what_the_language_allows() {
    accept("{ event: purchase }");
    accept("{ event: '*', count: 0, between: { from: 2026-01-01, to: 2026-02-01T00:00:00Z } }");
    accept(
        "{ event: e, context: { p: iOS }, with: { a: { gte: 1, lt: 2 } }, within: 4w, older_than: 1ms }",
    );
    accept("{ event: e, sum: { of: amount, gt: -0.000000001 } }");
    accept("{ event: e, last: { of: plan, not_in: [free, 3, true] } }");
    accept("{ event: e, distinct: { of: sku, gte: 3 } }");
    accept(
        "{ not: { any: [{ profile: { a: 1, b: { matches: '^x' } } }, { not: { event: e } }] } }",
    );
    accept("{ profile: { a: { exists: false }, 3: yes, null: { not_contains: x } } }");
}

#[test]
fn json_multiple_documents_and_order() {
    let json = source("a.json", r#"{"audiences":[{"id":"b","where":{"event":"e"}}]}"#);
    let yaml = source(
        "b.yaml",
        "audiences: [{ id: c, where: { audience: b } }]\n---\naudiences: [{ id: a, name: An A, where: { event: e } }]\n",
    );
    let definitions = super::check(&[json, yaml]).unwrap();
    let ids: Vec<&str> = definitions.audiences.iter().map(|audience| &*audience.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(&*definitions.audiences[0].name, "An A");
    assert_eq!(definitions.audiences[0].location.line, 3);
}

#[test]
fn diagnostics_serialise_flat() {
    let errors = super::check(&[source("f.yaml", "audiences: []")]).unwrap_err();
    expect![[r#"[{"file":"f.yaml","line":1,"column":12,"message":"`audiences` is empty","help":"write a list of audiences, each with `id` and `where`"}]"#]].assert_eq(&serde_json::to_string(&errors).unwrap());
}

#[test]
fn references() {
    check_rule(
        "{ audience: a }",
        &expect![[r#"
        f.yaml:3:22: audience refers to itself: `a → a`; remove one of these references
    "#]],
    );
    check_rule(
        "{ audience: b }",
        &expect![[r#"
            f.yaml:3:22: unknown audience `b`; define it, or refer to another
        "#]],
    );
    check(
        "audiences:\n\
         - { id: vips, where: { event: e } }\n\
         - { id: b, where: { any: [{ audience: vip }, { audience: c }] } }\n\
         - { id: c, where: { not: { audience: d } } }\n\
         - { id: d, where: { audience: b } }\n",
        &expect![[r#"
            f.yaml:3:39: unknown audience `vip`; did you mean `vips`?
            f.yaml:5:31: audience refers to itself: `b → c → d → b`; remove one of these references
        "#]],
    );
    let file = |name| source(name, "audiences: [{ id: a, where: { event: e } }]");
    expect![[r#"
        2.yaml:1:19: id `a` is taken by 1.yaml:1:19; write another id, or remove one of the two
    "#]]
    .assert_eq(&errors(&[file("1.yaml"), file("2.yaml")]));
    // What a file that can't be read defines, nobody knows.
    let broken = source("1.yaml", "audiences: [");
    let referring = source("2.yaml", "audiences: [{ id: a, where: { audience: b } }]");
    expect![[r#"
        1.yaml:2:1: not valid YAML: while parsing a node, did not find expected node content; mend the indentation, brackets or quotes here or just before
    "#]].assert_eq(&errors(&[broken, referring]));
}

#[test]
fn bounds() {
    let deep = format!("{}{{ event: e }}{}", "{ not: ".repeat(64), " }".repeat(64));
    check_rule(
        &deep,
        &expect![[r#"
        f.yaml:3:458: rules nest deeper than 64 levels; move a part into an audience of its own and refer to it with `audience`
    "#]],
    );
    accept(&format!("{}{{ event: e }}{}", "{ not: ".repeat(63), " }".repeat(63)));
    let wide = "{ event: e }, ".repeat(10_001);
    check_rule(
        &format!("{{ any: [{wide}] }}"),
        &expect![[r#"
        f.yaml:3:10: rule has 10001 conditions, more than 10000; move a part into an audience of its own, or write a list with `in`
    "#]],
    );
    let id = "x".repeat(129);
    check(
        &format!("audiences: [{{ id: {id}, where: {{ event: e }} }}]"),
        &expect![[r#"
        f.yaml:1:19: id `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not allowed; write 1 to 128 letters, digits, dots, underscores and hyphens
    "#]],
    );
}

#[test]
fn long_chains_need_no_deep_stack() {
    let mut text = String::from("audiences:\n- { id: a0, where: { event: e } }\n");
    for n in 1..50_000 {
        text.push_str(&format!("- {{ id: a{n}, where: {{ audience: a{} }} }}\n", n - 1));
    }
    assert_eq!(super::check(&[source("f.yaml", &text)]).unwrap().audiences.len(), 50_000);
}
