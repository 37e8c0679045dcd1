// the compiler says: expected `bool`, found `Option<Decimal>`
use muster_guest_sdk::*;

const SPENT: Number = event("purchase").sum("amount");

audiences! { "a": holds(SPENT) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
