// the compiler says: not a decimal number: write digits and at most nine places, as in `9.99`
use muster_guest_sdk::*;

const A: Condition = attribute("share").test(decimal::at_least("0.0000000001"));

audiences! { "a": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
