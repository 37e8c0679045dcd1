use super::check_rule;
use expect_test::expect;

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
}

#[test]
fn operands() {
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
