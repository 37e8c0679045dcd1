// the compiler says: two audiences have the same id: give one another
use muster_guest_sdk::*;

const A: Condition = event("purchase").happened();

audiences! {
    "a": holds(A),
    "a": holds(A),
}

fn holds(a: bool) -> bool {
    a
}

fn main() {}
