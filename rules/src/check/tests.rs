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
fn files_and_audiences() {
    check(
        "",
        &expect![[r#"
        f.yaml:1:1: file holds no audiences; write `audiences:` and a list of them
    "#]],
    );
    check(
        "[]",
        &expect![[r#"
        f.yaml:1:1: document is a list, not a mapping; write `audiences:` and a list of them
    "#]],
    );
    check(
        "audience: []",
        &expect![[r#"
        f.yaml:1:1: document has no key `audiences`; write `audiences:` and a list of them
        f.yaml:1:1: unknown key `audience`; did you mean `audiences`?
    "#]],
    );
    check(
        "audiences: []",
        &expect![[r#"
        f.yaml:1:12: `audiences` is empty; write a list of audiences, each with `id` and `where`
    "#]],
    );
    check(
        "audiences: {}",
        &expect![[r#"
        f.yaml:1:12: `audiences` is a mapping, not a list; write a list of audiences, each with `id` and `where`
    "#]],
    );
    check(
        "audiences: [3, {}]",
        &expect![[r#"
        f.yaml:1:13: audience is the number `3`, not a mapping; write `id:` and `where:`
        f.yaml:1:16: audience is empty; write `id:` and `where:`
    "#]],
    );
    check(
        "audiences: [{ id: a }, { where: { event: e } }]",
        &expect![[r#"
        f.yaml:1:13: audience has no key `where`; write `where:` and a rule, as in `where: { event: purchase }`
        f.yaml:1:24: audience has no key `id`; write `id:` and a name
    "#]],
    );
    check(
        "audiences: [{ id: a b, nam: x, where: { event: e } }]",
        &expect![[r#"
        f.yaml:1:19: id `a b` is not allowed; write 1 to 128 letters, digits, dots, underscores and hyphens
        f.yaml:1:24: unknown key `nam`; did you mean `name`?
    "#]],
    );
    check(
        "audiences: [{ id: 12, name: '', where: { event: e } }]",
        &expect![[r#"
        f.yaml:1:19: id is the number `12`, not text; write it in quotes, as in `"12"`
        f.yaml:1:29: name `` is not allowed; write 1 to 1024 bytes on one line, or leave it out
    "#]],
    );
    check(
        "audiences:\n- id: a\n  where: { event: e\n",
        &expect![[r#"
        f.yaml:4:1: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'; mend the indentation, brackets or quotes here or just before
    "#]],
    );
    check(
        "audiences: [{ id: a, id: b, where: { event: e } }]",
        &expect![[r#"
        f.yaml:1:22: key `id` is written twice; remove it here or in line 1
    "#]],
    );
}

#[test]
fn nodes() {
    check_rule(
        "{}",
        &expect![[r#"
        f.yaml:3:10: rule is empty; write one of `all`, `any`, `not`, `event`, `profile`, `audience`
    "#]],
    );
    check_rule(
        "null",
        &expect![[r#"
        f.yaml:3:10: rule is null, not a mapping; write one of `all`, `any`, `not`, `event`, `profile`, `audience`
    "#]],
    );
    check_rule(
        "[{ event: e }]",
        &expect![[r#"
        f.yaml:3:10: rule is a bare list; write `all:` or `any:` before it
    "#]],
    );
    check_rule(
        "{ al: [{ event: e }] }",
        &expect![[r#"
        f.yaml:3:12: unknown key `al`; did you mean `all`?
    "#]],
    );
    check_rule(
        "{ all: [] }",
        &expect![[r#"
        f.yaml:3:17: `all` is empty; write a list of rules, as in `all: [{ event: purchase }]`
    "#]],
    );
    check_rule(
        "{ any: [] }",
        &expect![[r#"
        f.yaml:3:17: `any` is empty; write a list of rules, as in `any: [{ event: purchase }]`
    "#]],
    );
    check_rule(
        "{ all: { event: e } }",
        &expect![[r#"
        f.yaml:3:17: `all` is a mapping, not a list; write a list of rules, as in `all: [{ event: purchase }]`
    "#]],
    );
    check_rule(
        "{ not: [{ event: e }] }",
        &expect![[r#"
        f.yaml:3:17: `not` takes one rule, not a list; write one rule, or `not: { any: [...] }`
    "#]],
    );
    check_rule(
        "{ event: e, profile: { a: 1 } }",
        &expect![[r#"
        f.yaml:3:10: node is both `event` and `profile`; write two nodes and join them with `all` or `any`
    "#]],
    );
    check_rule(
        "{ within: 30d }",
        &expect![[r#"
        f.yaml:3:12: `within` stands without `event`; write `event:` and a name beside it
    "#]],
    );
    check_rule(
        "{ all: [{ event: e }], within: 30d, x: 1 }",
        &expect![[r#"
        f.yaml:3:33: `within` stands without `event`; write it beside the `event` it is about
        f.yaml:3:46: unknown key `x`; remove it; a node of `all` holds nothing else
    "#]],
    );
    check_rule(
        "{ audience: 'b c' }",
        &expect![[r#"
        f.yaml:3:22: `b c` is not an audience's id; write 1 to 128 letters, digits, dots, underscores and hyphens
    "#]],
    );
    check_rule(
        "{ any: [{ al: [] }, { event: 3 }, { profile: {} }] }",
        &expect![[r#"
        f.yaml:3:20: unknown key `al`; did you mean `all`?
        f.yaml:3:39: name of `event` is the number `3`, not text; write it in quotes, as in `"3"`
        f.yaml:3:55: `profile` is empty; write a name and a comparison, as in `{ country: US }`
    "#]],
    );
}

#[test]
fn events() {
    check_rule(
        "{ event: e, withn: 30d, with: {} }",
        &expect![[r#"
            f.yaml:3:22: unknown key `withn`; did you mean `within`?
            f.yaml:3:40: `with` is empty; write a name and a comparison, as in `{ country: US }`
        "#]],
    );
    check_rule(
        "{ event: e, of: amount, context: [] }",
        &expect![[r#"
        f.yaml:3:22: unknown key `of`; write it inside the aggregate, as in `sum: { of: amount, gte: 10 }`
        f.yaml:3:43: `context` is a list, not a mapping; write a name and a comparison, as in `{ country: US }`
    "#]],
    );
    check_rule(
        "{ event: '', count: { of: a, gte: 1 } }",
        &expect![[r#"
        f.yaml:3:19: name of `event` is empty; write a name
        f.yaml:3:32: `count` takes no `of`; remove it; `distinct` counts the values of a property
    "#]],
    );
    check_rule(
        "{ event: e, count: 1, sum: { of: a, gte: 1 } }",
        &expect![[r#"
        f.yaml:3:32: event is measured by both `count` and `sum`; write two event nodes and join them with `all`
    "#]],
    );
    check_rule(
        "{ event: e, sum: 3 }",
        &expect![[r#"
        f.yaml:3:27: `sum` is the number `3`, and names no property; write `sum: { of: amount, gte: 10 }`
    "#]],
    );
    check_rule(
        "{ event: e, sum: { gte: 3 } }",
        &expect![[r#"
        f.yaml:3:27: `sum` has no key `of`; write `sum: { of: amount, gte: 10 }`
    "#]],
    );
    check_rule(
        "{ event: e, avg: { of: amount } }",
        &expect![[r#"
        f.yaml:3:27: comparison of `avg` is empty; write `avg: { of: amount, gte: 10 }`
    "#]],
    );
    check_rule(
        "{ event: e, count: { gte: -1 } }",
        &expect![[r#"
        f.yaml:3:36: `-1` is negative, and a count never is; write 0 or more
    "#]],
    );
    check_rule(
        "{ event: e, count: {} }",
        &expect![[r#"
        f.yaml:3:29: comparison of `count` is empty; write a value, or an operator and its operand, as in `{ gte: 10 }`
    "#]],
    );
    check_rule(
        "{ event: e, count: { gte: '3' } }",
        &expect![[r#"
        f.yaml:3:36: `gte` takes a number, not text `3`; write `gte: 3` without quotes
    "#]],
    );
    check_rule(
        "{ event: e, count: three }",
        &expect![[r#"
        f.yaml:3:29: `"three"` is not a number, and `count` is; write a number without quotes
    "#]],
    );
    check_rule(
        "{ event: e, max: { of: a, contains: x } }",
        &expect![[r#"
        f.yaml:3:46: `contains` compares text, and `max` is a number; write one of `eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `not_in`
    "#]],
    );
    check_rule(
        "{ event: e, distinct: { of: a, in: [1, x] } }",
        &expect![[r#"
        f.yaml:3:45: `"x"` is not a number, and `distinct` is; write a number without quotes
    "#]],
    );
}

#[test]
fn windows() {
    check_rule(
        "{ event: e, within: 30 }",
        &expect![[r#"
        f.yaml:3:30: `30` has no unit; write a unit after the number, as in `30d`
    "#]],
    );
    check_rule(
        "{ event: e, within: 30 days }",
        &expect![[r#"
        f.yaml:3:30: unit `days` of `30 days` is unknown; write `30d`
    "#]],
    );
    check_rule(
        "{ event: e, within: 1month }",
        &expect![[r#"
        f.yaml:3:30: unit `month` of `1month` is unknown; write days, as in `30d`, since months and years differ in length
    "#]],
    );
    check_rule(
        "{ event: e, within: -1d, older_than: [] }",
        &expect![[r#"
        f.yaml:3:30: `-1d` is not a length of time; write a positive whole number and a unit, as in `30d`
        f.yaml:3:47: `older_than` is a list; write a length of time, as in `30d`
    "#]],
    );
    check_rule(
        "{ event: e, within: 1d, older_than: 24h }",
        &expect![[r#"
        f.yaml:3:34: `older_than: 1d` leaves nothing of `within: 1d`; write an `older_than` that is shorter than `within`
    "#]],
    );
    check_rule(
        "{ event: e, between: { from: 2026-01-01 } }",
        &expect![[r#"
        f.yaml:3:31: `between` has no key `to`; write `between: { from: 2026-01-01, to: 2026-02-01 }`
    "#]],
    );
    check_rule(
        "{ event: e, between: { from: 2026-01-01, too: 2026-01-02 } }",
        &expect![[r#"
        f.yaml:3:31: `between` has no key `to`; write `between: { from: 2026-01-01, to: 2026-02-01 }`
        f.yaml:3:51: unknown key `too`; did you mean `to`?
    "#]],
    );
    check_rule(
        "{ event: e, between: { from: 2026-02-30, to: tomorrow } }",
        &expect![[r#"
        f.yaml:3:39: `2026-02-30` is not a date or an instant; write `2026-01-03` or `2026-01-03T09:00:00Z`
        f.yaml:3:55: `tomorrow` is not a date or an instant; write `2026-01-03` or `2026-01-03T09:00:00Z`
    "#]],
    );
    check_rule(
        "{ event: e, between: { from: 2026-01-02, to: 2026-01-02 } }",
        &expect![[r#"
        f.yaml:3:22: `from` is not before `to`; write the earlier one as `from`; `to` itself is left out
    "#]],
    );
    check_rule(
        "{ event: e, between: 2026 }",
        &expect![[r#"
        f.yaml:3:31: `between` is the number `2026`, not a mapping; write `between: { from: 2026-01-01, to: 2026-02-01 }`
    "#]],
    );
}

#[test]
fn comparisons() {
    check_rule(
        "{ profile: { a: {} } }",
        &expect![[r#"
        f.yaml:3:26: comparison of `a` is empty; write a value, or an operator and its operand, as in `{ gte: 10 }`
    "#]],
    );
    check_rule(
        "{ profile: { a: null, b: [US], c: } }",
        &expect![[r#"
        f.yaml:3:26: `a` is compared with null; write `{ exists: false }` for what is missing
        f.yaml:3:35: `b` is compared with a bare list; write `{ in: [...] }`
        f.yaml:3:42: `c` is compared with null; write `{ exists: false }` for what is missing
    "#]],
    );
    check_rule(
        "{ profile: { a: { gtr: 3 } } }",
        &expect![[r#"
            f.yaml:3:28: unknown operator `gtr`; did you mean `gte`?
        "#]],
    );
    check_rule(
        "{ profile: { a: { '>=': 3, foo: 1 } } }",
        &expect![[r#"
        f.yaml:3:28: unknown operator `>=`; did you mean `gte`?
        f.yaml:3:37: unknown operator `foo`; write one of `eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `not_in`, `exists`, `contains`, `not_contains`, `starts_with`, `not_starts_with`, `ends_with`, `not_ends_with`, `matches`, `not_matches`
    "#]],
    );
    check_rule(
        "{ profile: { a: { gte: x, lt: '3', gt: true } } }",
        &expect![[r#"
        f.yaml:3:33: `gte` takes a number, not text `x`; write a number, as in `gte: 10`
        f.yaml:3:40: `lt` takes a number, not text `3`; write `lt: 3` without quotes
        f.yaml:3:49: `gt` takes a number, not true; write a number, as in `gt: 10`
    "#]],
    );
    check_rule(
        "{ profile: { a: { in: [], not_in: US } } }",
        &expect![[r#"
        f.yaml:3:32: list of `in` is empty; write values between brackets, as in `in: [US, CA]`
        f.yaml:3:44: `not_in` takes a list, not text `US`; write values between brackets, as in `not_in: [US, CA]`
    "#]],
    );
    check_rule(
        "{ profile: { a: { in: [US, null, [x]] } } }",
        &expect![[r#"
        f.yaml:3:32: `in` compares with null, which nothing equals; write `exists: false` for what is missing
    "#]],
    );
    check_rule(
        "{ profile: { a: { exists: 1 } } }",
        &expect![[r#"
        f.yaml:3:36: `exists` takes true or false, not `1`; write `exists: true` or `exists: false`
    "#]],
    );
    check_rule(
        "{ profile: { a: { contains: 3, matches: '(' } } }",
        &expect![[r#"
        f.yaml:3:38: `contains` takes text, not the number `3`; write the text in quotes
        f.yaml:3:50: `(` is not a regular expression: unclosed group; mend it, or put a backslash before what stands for itself
    "#]],
    );
    check_rule(
        "{ profile: { a: { eq: [1], ne: { b: 1 } } } }",
        &expect![[r#"
        f.yaml:3:32: `eq` takes one value, not a list; write `in` with the list, or `not_in`
        f.yaml:3:41: `ne` takes a value, not a mapping; write a number, text, true or false
    "#]],
    );
    check_rule(
        "{ profile: { a: 0.1234567891, b: 1e18, c: .inf } }",
        &expect![[r#"
        f.yaml:3:26: `0.1234567891` has more than nine decimal places; write at most nine decimal places
        f.yaml:3:43: `1e18` is too large; write a number below 10^18, either side of zero
        f.yaml:3:52: `eq` has no finite number; write a decimal number
    "#]],
    );
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
