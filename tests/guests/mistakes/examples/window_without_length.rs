// the compiler says: argument #1 of type `Span` is missing
use muster_guest_sdk::*;

const A: Condition = event("purchase").within().happened();

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
