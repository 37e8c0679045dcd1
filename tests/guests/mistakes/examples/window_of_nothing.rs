// the compiler says: nothing is older than `older_than` and within `within`: make `within` longer
use muster_guest_sdk::*;

const A: Condition = event("purchase").within(days(4)).older_than(days(4)).happened();

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
