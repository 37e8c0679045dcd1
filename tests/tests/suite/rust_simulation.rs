//! Simulated users: what rules in Rust are tested with.

use muster_guest_sdk::simulation::User;
use muster_guest_sdk::*;

const WATCHED: Count = event("view").within(days(7)).count();
const KINDS: Count = event("view").within(days(7)).distinct("item");
const LAST: Anything = any_event().last("item");
const TAGS: Values = attribute("tags").list();
const AGE: Number = attribute("age").number();
const NEW: Boolean = attribute("new").boolean();
const VIP: Condition = audience("vip");
const QUIET: Condition = event("view").within(days(7)).count().test(equals(0));

audiences! {
    "watchers": watchers(WATCHED, KINDS),
    "last-was-a": last_was_a(LAST),
    "tagged": tagged(TAGS),
    "grown-up": grown_up(AGE, NEW),
    "vip-too": vip_too(VIP),
    "quiet": quiet(QUIET),
}

fn watchers(watched: u64, kinds: u64) -> bool {
    watched >= 3 && kinds < watched
}

fn last_was_a(last: Value<'_>) -> bool {
    last == Value::Text("a")
}

fn tagged(tags: Option<List>) -> bool {
    tags.is_some_and(|tags| tags.contains("gold") || tags.numbers().any(|tag| tag > 9))
}

fn grown_up(age: Option<Decimal>, new: Option<bool>) -> bool {
    age.is_some_and(|age| age >= 18) && new != Some(true)
}

fn vip_too(vip: bool) -> bool {
    vip
}

fn quiet(quiet: bool) -> bool {
    quiet
}

fn views(items: &[&str]) -> User {
    let user = User::new(&MODULE).at("2026-01-03 09:00");
    items.iter().fold(user, |user, item| user.event("view").property("item", *item))
}

#[test]
fn counts_and_different_values_are_handed_over() {
    assert!(!views(&["a", "b", "c"]).is_in("watchers"));
    assert!(views(&["a", "b", "a"]).is_in("watchers"));
    assert!(!views(&["a", "b", "a"]).at("2026-01-10 09:00").is_in("watchers"));
}

#[test]
fn values_of_any_type_are_handed_over() {
    assert!(views(&["b", "a"]).is_in("last-was-a"));
    assert!(!views(&["b", "a"]).event("view").property("item", 5).is_in("last-was-a"));
    assert!(views(&["b", "a"]).late_event("view", "2026-01-02").is_in("last-was-a"));
}

#[test]
fn attributes_are_set_and_removed() {
    let ann = User::new(&MODULE).attribute("tags", ["new", "gold"]).attribute("age", 17.5);
    assert!(ann.is_in("tagged") && !ann.is_in("grown-up"));
    assert!(ann.clone().attribute("age", 18).is_in("grown-up"));
    assert!(!ann.clone().attribute("age", 18).attribute("new", true).is_in("grown-up"));
    assert!(!ann.clone().without_attribute("tags").is_in("tagged"));
    assert!(ann.attribute("tags", [9, 10]).is_in("tagged"));
}

#[test]
fn other_audiences_are_entered_and_left() {
    let ann = User::new(&MODULE).at("2026-01-03").enters("vip");
    assert!(ann.is_in("vip-too"));
    let ann = ann.at("2026-01-04 10:30").leaves("vip");
    assert_eq!(
        ann.transitions(),
        ["2026-01-03 entered quiet", "2026-01-03 entered vip-too", "2026-01-04 10:30 left vip-too"]
    );
}

#[test]
fn time_alone_brings_a_user_in() {
    let ann = views(&["a"]).at("2026-01-10 08:59:59");
    assert!(!ann.is_in("quiet"));
    assert!(ann.at("2026-01-10 09:00").is_in("quiet"));
}

/// What a test that is written wrongly is told.
fn told(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(test).expect_err("the test is wrong");
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        panic.downcast_ref::<&str>().map_or_else(String::new, |told| (*told).to_owned())
    })
}

#[test]
fn mistakes_are_told() {
    let user = || User::new(&MODULE);
    assert_eq!(
        told(|| assert!(user().is_in("watcher"))),
        "`watcher` is no audience of this module: write one of `watchers`, `last-was-a`, `tagged`, \
         `grown-up`, `vip-too`, `quiet`"
    );
    assert_eq!(
        told(|| drop(user().at("yesterday"))),
        "`yesterday` is not a time: write `2026-01-03` or `2026-01-03 09:00`"
    );
    assert_eq!(
        told(|| drop(user().at("2026-01-03").at("2026-01-02"))),
        "the clock does not go back: write late events as `late_event`"
    );
    assert_eq!(
        told(|| drop(user().property("amount", 5))),
        "no event before: write `.event(\"purchase\")` first"
    );
}
