// the compiler says: a property is compared twice: join the comparisons with `.and(…)`
use muster_guest_sdk::*;

const A: Condition =
    event("purchase").with("amount", at_least(1)).with("amount", at_most(9)).happened();

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
