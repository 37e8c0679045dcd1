use super::*;
use expect_test::{Expect, expect};
use std::fmt::Write;

fn check(text: &str, expected: &Expect) {
    let documents = parse(text);
    let mut shown = String::new();
    for root in &documents.roots {
        show(root, &mut shown);
        shown.push('\n');
    }
    for fault in &documents.faults {
        let (Place { line, column }, message) = (fault.place, &fault.message);
        writeln!(shown, "{line}:{column}: {message}; {}", fault.help).unwrap();
    }
    expected.assert_eq(&shown);
}

fn show(node: &Node, out: &mut String) {
    match &node.content {
        Content::Scalar(scalar) => write!(out, "{:?}", scalar.resolve()).unwrap(),
        Content::List(nodes) => {
            out.push('[');
            for node in nodes {
                show(node, out);
                out.push(' ');
            }
            out.push(']');
        }
        Content::Map(entries) => {
            out.push('{');
            for Entry { key, place, value } in entries {
                write!(out, "{key}@{}:{} ", place.line, place.column).unwrap();
                show(value, out);
                out.push(' ');
            }
            out.push('}');
        }
    }
}

#[test]
fn resolves_plain_scalars_by_the_core_schema() {
    check(
        "[~, null, true, FALSE, yes, 12, +3, -0x1F, 0x1F, 0o17, 1.50, .5, 1., -1e3, .inf, -.INF, .nan, 2026-01-03, '3', \"true\", 007]",
        &expect![[r#"
            [Null Null Boolean(true) Boolean(false) Text("yes") Number("12") Number("3") Text("-0x1F") Number("31") Number("15") Number("1.50") Number("0.5") Number("1") Number("-1e3") NotFinite NotFinite NotFinite Text("2026-01-03") Text("3") Text("true") Number("007") ]
        "#]],
    );
}

#[test]
fn reads_json_documents_aliases_and_places() {
    check(
        r#"{"a": [1, "b\n"], "c": {}}"#,
        &expect![[r#"
            {a@1:2 [Number("1") Text("b\n") ] c@1:19 {} }
        "#]],
    );
    check(
        "a: &x [1]\nb: *x\n---\nc: !!str 3\n",
        &expect![[r#"
            {a@1:1 [Number("1") ] b@2:1 [Number("1") ] }
            {c@4:1 Text("3") }
        "#]],
    );
}

#[test]
fn refuses_what_is_broken_ambiguous_or_endless() {
    check(
        "a: 1\nb: 2\na: 3\n",
        &expect![[r#"
        {a@1:1 Number("1") b@2:1 Number("2") }
        3:1: key `a` is written twice; remove it here or in line 1
    "#]],
    );
    check(
        "a: [1\n",
        &expect![[r#"
        2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'; mend the indentation, brackets or quotes here or just before
    "#]],
    );
    check(
        "? [1]\n: 2\n",
        &expect![[r#"
        1:3: a list or a mapping stands where a key should; write a name and a colon
    "#]],
    );
    check(
        "a: !!binary abc\n",
        &expect![[r#"
        1:4: tag `!!binary` is not supported; remove it; quotes make a value text
    "#]],
    );
    check(
        "a: &x [*x]\n",
        &expect![[r#"
        1:8: alias stands inside what it repeats, or for nothing; write the value out
    "#]],
    );
    check(
        &format!("a: {}", "[".repeat(201)),
        &expect![[r#"
        1:203: values nest deeper than 200 levels; move a part into an audience of its own and refer to it with `audience`
    "#]],
    );
    check(
        &format!("- {}1", "- ".repeat(300)),
        &expect![[r#"
        1:401: values nest deeper than 200 levels; move a part into an audience of its own and refer to it with `audience`
    "#]],
    );
}

#[test]
fn bounds_what_aliases_expand_to() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        writeln!(text, "a{level}: &a{level} [{inner}]").unwrap();
    }
    let faults = parse(&text).faults;
    assert!(faults[0].message.starts_with("file holds more than 4000000 values"), "{faults:?}");
}
