// the compiler says: `matching` is written twice: declare a predicate that says both
use muster_guest_sdk::*;

predicates! { BIG: is_big, SMALL: is_small }

const A: Condition = event("purchase").matching(BIG).matching(SMALL).happened();

audiences! { "a": holds(A) }

fn is_big(_event: Event) -> bool {
    true
}

fn is_small(_event: Event) -> bool {
    false
}

fn holds(a: bool) -> bool {
    a
}

fn main() {}
