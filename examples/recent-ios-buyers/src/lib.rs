//! Who bought in the iOS app lately, and who of them spent how much: two audiences in Rust.
//!
//! The first could be a definition as well. The second could not: how much it takes depends on the
//! country.

use muster_guest_sdk::{Facts, ONE, Rules};

/// The indices of `manifest.json`.
const RECENT_IOS_BUYERS: u32 = 0;
const BOUGHT: u32 = 0;
const REFUNDED: u32 = 1;
const SPENT: usize = 0;
const COUNTRY: usize = 1;

struct Buyers;

impl Rules for Buyers {
    const MANIFEST: &'static str = include_str!("../manifest.json");

    fn decide(audience: u32, facts: &Facts<'_>) -> bool {
        let recent = facts.holds(BOUGHT) && !facts.holds(REFUNDED);
        if audience == RECENT_IOS_BUYERS {
            return recent;
        }
        recent && facts.number(SPENT).is_some_and(|spent| spent >= threshold(facts))
    }
}

/// What a big spender spends in 30 days, in billionths.
fn threshold(facts: &Facts<'_>) -> i128 {
    match facts.text(COUNTRY) {
        Some("US" | "CA") => 500 * ONE,
        _ => 300 * ONE,
    }
}

muster_guest_sdk::export!(Buyers);

#[cfg(test)]
mod tests {
    use super::*;
    use muster_guest_sdk::{Decimal, Value};

    fn spent(amount: i128, country: &str) -> [Value; 2] {
        let amount = Decimal::from_billionths(amount * ONE);
        [Value::Number(amount), Value::Text(country.to_owned())]
    }

    #[test]
    fn a_refund_ends_it() {
        assert!(Buyers::decide(0, &Facts::new(&[BOUGHT], &[])));
        assert!(!Buyers::decide(0, &Facts::new(&[BOUGHT, REFUNDED], &[])));
    }

    #[test]
    fn how_much_it_takes_depends_on_the_country() {
        let decide =
            |amount, country| Buyers::decide(1, &Facts::new(&[BOUGHT], &spent(amount, country)));
        assert!(decide(300, "FR") && !decide(499, "US") && decide(500, "US"));
    }
}
