// the compiler says: `big spenders` is no audience's id: write 1 to 128 letters, digits, `.`, `_` or `-`
use muster_guest_sdk::*;

const A: Condition = event("purchase").happened();

audiences! { "big spenders": holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
