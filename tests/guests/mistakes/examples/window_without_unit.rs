// the compiler says: expected `Span`, found integer
use muster_guest_sdk::*;

const A: Condition = event("purchase").within(30).happened();

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
