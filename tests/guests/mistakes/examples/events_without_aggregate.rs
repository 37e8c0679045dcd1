// the compiler says: an audience can't look at `Events` as it is
// the compiler says: events need an aggregate: `.happened()` for at least one
use muster_guest_sdk::*;

audiences! { "a": holds(event("purchase").within(days(7))) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
