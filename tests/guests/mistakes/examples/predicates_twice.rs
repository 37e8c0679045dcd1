// the compiler says: predicates are declared twice: declare all of a crate's at once, at its root
use muster_guest_sdk::*;

mod big {
    muster_guest_sdk::predicates! { BIG: is_big }
    pub(super) const ALSO_BIG: muster_guest_sdk::Predicate = BIG;

    fn is_big(_event: muster_guest_sdk::Event) -> bool {
        true
    }
}

predicates! { SMALL: is_small }

const A: Condition = event("purchase").matching(big::ALSO_BIG).happened();
const B: Condition = event("purchase").matching(SMALL).happened();

audiences! { "a": both(A, B) }

fn is_small(_event: Event) -> bool {
    false
}

fn both(a: bool, b: bool) -> bool {
    a && b
}

fn main() {}
