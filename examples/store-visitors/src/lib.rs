//! Who comes near a store, and who redeems coupons that are genuine: what comparisons can't say of an
//! event, predicates do.

use muster_guest_sdk::*;

predicates! {
    NEAR_A_STORE: is_near_a_store,
    GENUINE: has_check_digit,
}

const VISITS: Condition =
    event("visit").matching(NEAR_A_STORE).within(days(30)).count().test(at_least(2));
const SAVED: Number =
    event("coupon").with("code", exists()).matching(GENUINE).within(days(90)).sum("amount");
const LAST_CODE: Text = event("coupon").matching(GENUINE).within(days(90)).last("code").text();
const SEGMENTS: Values = attribute("segments").list();

audiences! {
    "store-visitors" as "Came near a store twice": store_visitors(VISITS, SEGMENTS),
    "savers" as "Saved 20 or more by coupons": savers(SAVED),
    "summer-savers" as "Last used a coupon of the summer": summer_savers(LAST_CODE, VISITS),
}

/// Latitude and longitude in degrees.
const STORES: [(f64, f64); 3] = [(52.5219, 13.4132), (48.1374, 11.5755), (53.5511, 9.9937)];
/// What counts as near, in metres.
const NEAR_M: f64 = 500.0;
const EARTH_RADIUS_M: f64 = 6_371_000.0;

fn is_near_a_store(visit: Event) -> bool {
    let degrees = |name| visit.property(name).number().map(Decimal::to_f64);
    let Some(here) = degrees("latitude").zip(degrees("longitude")) else { return false };
    STORES.iter().any(|store| distance_m(*store, here) <= NEAR_M)
}

/// The distance on a plane that touches the earth at the first place: right enough at 500 metres.
fn distance_m(one: (f64, f64), other: (f64, f64)) -> f64 {
    let north = (other.0 - one.0).to_radians();
    let east = (other.1 - one.1).to_radians() * one.0.to_radians().cos();
    EARTH_RADIUS_M * north.hypot(east)
}

/// Whether the digits of a coupon's code add up (Luhn 1960): codes that somebody made up do not.
fn has_check_digit(coupon: Event) -> bool {
    let Some(code) = coupon.property("code").text() else { return false };
    let digits: Option<Vec<u32>> =
        code.chars().filter(|c| *c != '-').map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() >= 8) else { return false };
    let doubled = |(at, digit): (usize, &u32)| match at % 2 {
        0 => *digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

fn store_visitors(visits: bool, segments: Option<List>) -> bool {
    visits && !segments.is_some_and(|segments| segments.contains("staff"))
}

fn savers(saved: Option<Decimal>) -> bool {
    saved.is_some_and(|saved| saved >= 20)
}

fn summer_savers(last_code: Option<&str>, visits: bool) -> bool {
    visits && last_code.is_some_and(|code| code.starts_with("0706-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_guest_sdk::simulation::User;

    fn visit(user: User, latitude: f64) -> User {
        user.event("visit").property("latitude", latitude).property("longitude", 13.4132)
    }

    fn coupon(code: &str, amount: i64) -> User {
        let user = User::new(&MODULE).at("2026-06-01").event("coupon");
        user.property("code", code).property("amount", amount)
    }

    #[test]
    fn only_visits_near_a_store_count() {
        let ann = visit(User::new(&MODULE).at("2026-06-01 10:00"), 52.5230);
        let far = visit(ann.clone(), 52.53);
        assert!(!far.is_in("store-visitors"));
        let near = visit(ann, 52.5180);
        assert!(near.is_in("store-visitors"));
        assert!(!near.at("2026-07-01 10:00").is_in("store-visitors"));
    }

    #[test]
    fn staff_are_no_visitors() {
        let ann = User::new(&MODULE).attribute("segments", ["new", "staff"]).at("2026-06-01");
        let ann = visit(visit(ann, 52.5219), 52.5219);
        assert!(!ann.is_in("store-visitors"));
        assert!(ann.attribute("segments", ["new"]).is_in("store-visitors"));
    }

    #[test]
    fn made_up_coupons_do_not_count() {
        assert!(coupon("0706-1245", 25).is_in("savers"));
        for made_up in ["0706-1246", "0706-12A5", "5", ""] {
            assert!(!coupon(made_up, 25).is_in("savers"), "{made_up}");
        }
        assert!(!coupon("0706-1245", 19).is_in("savers"));
    }
}
