//! Who bought in the iOS app lately, and who of them spent how much for where they live.

use muster_guest_sdk::*;

const BOUGHT: Condition =
    event("purchase").context("platform", is("iOS")).within(days(30)).happened();
const REFUNDED: Condition = event("refund").within(days(7)).happened();
const SPENT: Number = event("purchase").within(days(30)).sum("amount");
const COUNTRY: Text = attribute("country").text();

audiences! {
    "recent-ios-buyers" as "Recent iOS buyers": recent_ios_buyers(BOUGHT, REFUNDED),
    "big-ios-spenders" as "Big iOS spenders": big_ios_spenders(BOUGHT, REFUNDED, SPENT, COUNTRY),
}

fn recent_ios_buyers(bought: bool, refunded: bool) -> bool {
    bought && !refunded
}

fn big_ios_spenders(
    bought: bool,
    refunded: bool,
    spent: Option<Decimal>,
    country: Option<&str>,
) -> bool {
    let much = if matches!(country, Some("US" | "CA")) { 500 } else { 300 };
    recent_ios_buyers(bought, refunded) && spent.is_some_and(|spent| spent >= much)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_guest_sdk::simulation::User;

    fn buyer(amount: i64) -> User {
        let user = User::new(&MODULE).at("2026-01-03 09:00").event("purchase");
        user.context("platform", "iOS").property("amount", amount)
    }

    #[test]
    fn a_purchase_counts_for_thirty_days() {
        assert_eq!(
            buyer(10).at("2026-03-01").transitions(),
            [
                "2026-01-03 09:00 entered recent-ios-buyers",
                "2026-02-02 09:00 left recent-ios-buyers"
            ],
        );
    }

    #[test]
    fn a_refund_ends_it_for_a_week() {
        let refunded = buyer(10).at("2026-01-05").event("refund");
        assert!(!refunded.is_in("recent-ios-buyers"));
        assert!(refunded.at("2026-01-12").is_in("recent-ios-buyers"));
    }

    #[test]
    fn how_much_it_takes_depends_on_the_country() {
        assert!(buyer(300).is_in("big-ios-spenders"));
        assert!(!buyer(499).attribute("country", "US").is_in("big-ios-spenders"));
        assert!(buyer(500).attribute("country", "US").is_in("big-ios-spenders"));
        assert!(!big_ios_spenders(true, false, None, None));
    }
}
