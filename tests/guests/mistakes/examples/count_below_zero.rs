// the compiler says: a count is compared with a negative number: write 0 or more
use muster_guest_sdk::*;

const A: Condition = event("purchase").count().test(at_least(-1));

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
