// the compiler says: predicates are written as `NAME: function,`: the constant that events are matched with
use muster_guest_sdk::*;

predicates! { BIG }

fn main() {}
