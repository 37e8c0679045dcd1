use super::{check, check_rule};
use expect_test::expect;

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
}

#[test]
fn audiences() {
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
}

#[test]
fn nodes_beside_each_other() {
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
