// the compiler says: audiences are written as `"id": function(INPUT, …),`: the id in quotes
use muster_guest_sdk::*;

const A: Condition = event("purchase").happened();
const ID: &str = "a";

audiences! { ID: holds(A) }

fn holds(a: bool) -> bool {
    a
}

fn main() {}
