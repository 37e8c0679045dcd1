use super::check_rule;
use expect_test::expect;

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
            f.yaml:3:22: `of` stands without an aggregate; write what is aggregated, as in `sum: { gte: 10 }, of: amount`
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
            f.yaml:3:27: `sum` is the number `3` and has no `of`; write `sum: { gte: 10 }, of: amount`
        "#]],
    );
    check_rule(
        "{ event: e, sum: { gte: 3 } }",
        &expect![[r#"
            f.yaml:3:27: `sum` has no `of`; write `sum: { gte: 10 }, of: amount`
        "#]],
    );
    check_rule(
        "{ event: e, sum: { gte: abc } }",
        &expect![[r#"
            f.yaml:3:27: `sum` has no `of`; write `sum: { gte: 10 }, of: amount`
            f.yaml:3:34: `gte` takes a number, not text `abc`; write a number, as in `gte: 10`
        "#]],
    );
    check_rule(
        "{ event: e, avg: { of: amount } }",
        &expect![[r#"
            f.yaml:3:27: comparison of `avg` is empty; write `avg: { gte: 10 }, of: amount`
        "#]],
    );
}

#[test]
fn aggregates() {
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
