// the compiler says: a `Count` has no comparison with `Texts`
// the compiler says: counts and numbers: `at_least(10)`
use muster_guest_sdk::*;

const A: Condition = event("purchase").count().test(is("three"));

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
