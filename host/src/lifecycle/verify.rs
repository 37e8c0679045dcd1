//! Whether a rollout did what its share says: of the users that something happened to, as many are on
//! the new side as there should be.

use super::sample::Sample;
use super::share::Share;
use super::state::Subject;
use muster_core::Change;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, Discrete};
use std::sync::Arc;

/// How seldom a rollout that is right is said to be wrong, over all of its audiences together.
const LEVEL: f64 = 0.01;
/// Users that an audience must be expected to have on each side before its share says anything, the
/// usual rule for a test of proportions.
const EXPECTED_LEAST: f64 = 5.0;

/// What stands for all audiences, and both directions.
pub const ANY: &str = "*";

/// What a comparison of shares came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What is rolled out.
    pub of: Subject,
    /// To which share of users.
    pub share: Share,
    /// Whether nothing speaks against it; nothing while there are too few users to tell.
    pub agrees: Option<bool>,
    /// The least adjusted probability, of audiences whose rules are alike on both sides.
    pub p: Option<f64>,
    /// Below which probability the shares are said to differ.
    pub level: f64,
    /// The audiences, the least likely first.
    pub rows: Vec<Row>,
}

/// An audience, entered or left; or all together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which; [`ANY`] for all whose rules are the same.
    pub audience: Arc<str>,
    /// `entered` or `left`, or [`ANY`] for both.
    pub change: String,
    /// Different users to whom it happened since the share was set, or a sample of them.
    pub users: u64,
    /// How many of them are on the new side.
    pub new_users: u64,
    /// Whether the audience's rules are the same on both sides: only then must the shares agree.
    pub same_rules: bool,
    /// How likely numbers at least as unlikely are, if the share is what it should be (exact
    /// binomial test, two-sided).
    pub p: f64,
    /// The same, adjusted for the number of audiences (Holm 1979).
    pub adjusted: f64,
}

/// Compares. `all` is the sample of all audiences whose rules are the same on both sides; `samples` are
/// those of each audience and direction, and whether its rules are the same.
pub fn verify<'a>(
    of: Subject,
    share: Share,
    all: Option<&Sample>,
    samples: impl IntoIterator<Item = (Arc<str>, Change, bool, &'a Sample)>,
) -> Verification {
    let row = |audience: Arc<str>, change: &str, same_rules: bool, sample: &Sample| {
        let (users, new_users) = (sample.users(), sample.new_users());
        let p = two_sided(users, new_users, share.fraction());
        Row { audience, change: change.to_string(), users, new_users, same_rules, p, adjusted: p }
    };
    let mut rows: Vec<Row> = samples
        .into_iter()
        .map(|(audience, change, same_rules, sample)| {
            row(audience, change.name(), same_rules, sample)
        })
        .collect();
    rows.extend(all.map(|all| row(ANY.into(), ANY, true, all)));
    rows.sort_by(|one, other| {
        let names = || (&one.audience, &one.change).cmp(&(&other.audience, &other.change));
        one.p.total_cmp(&other.p).then_with(names)
    });
    let told = |row: &Row| {
        let rarer = share.fraction().min(1.0 - share.fraction());
        row.same_rules && row.users as f64 * rarer >= EXPECTED_LEAST
    };
    let tests = rows.iter().filter(|row| told(row)).count();
    let mut least: f64 = 0.0;
    for (rank, row) in rows.iter_mut().filter(|row| told(row)).enumerate() {
        least = least.max((row.p * (tests - rank) as f64).min(1.0));
        row.adjusted = least;
    }
    let p = rows.iter().find(|row| told(row)).map(|row| row.adjusted);
    Verification { of, share, agrees: p.map(|p| p >= LEVEL), p, level: LEVEL, rows }
}

/// The probability of all outcomes that are at most as likely as this one.
fn two_sided(users: u64, new_users: u64, fraction: f64) -> f64 {
    let Ok(binomial) = Binomial::new(fraction, users) else { return 1.0 };
    // Outcomes of the same probability must not be told apart by rounding.
    let limit = binomial.pmf(new_users) * (1.0 + 1e-7);
    let all = (0..=users).map(|outcome| binomial.pmf(outcome));
    all.filter(|probability| *probability <= limit).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(users: u64, is_new: impl Fn(u64) -> bool) -> Sample {
        let mut sample = Sample::of_audience();
        (0..users).for_each(|user| sample.note("shop", &user.to_string(), is_new(user)));
        sample
    }

    fn verified(share: f64, samples: &[(&str, bool, Sample)]) -> Verification {
        let share = Share::of_percent(share).unwrap();
        let samples = samples
            .iter()
            .map(|(id, same, sample)| (Arc::<str>::from(*id), Change::Entered, *same, sample));
        verify(Subject::Rules, share, None, samples)
    }

    /// Figures from sums over whole binomial coefficients.
    #[test]
    fn the_test_is_the_exact_one() {
        for (users, new_users, fraction, p) in [
            (20, 3, 0.4, 0.022_427_038),
            (10, 5, 0.5, 1.0),
            (10, 0, 0.5, 0.001_953_125),
            (100, 8, 0.03, 0.010_623_809),
        ] {
            let found = two_sided(users, new_users, fraction);
            assert!((found - p).abs() < 1e-6, "{users} {new_users} {fraction}: {found}");
        }
    }

    #[test]
    fn a_right_share_agrees_and_a_wrong_one_does_not() {
        let right = verified(40.0, &[("a", true, sample(300, |user| user % 5 < 2))]);
        assert_eq!(right.agrees, Some(true), "{right:?}");
        let wrong = verified(40.0, &[("a", true, sample(300, |user| user % 5 < 1))]);
        assert_eq!(wrong.agrees, Some(false), "{wrong:?}");
    }

    #[test]
    fn what_differs_by_definition_and_what_is_too_little_decides_nothing() {
        let few = verified(3.0, &[("a", true, sample(100, |_| false))]);
        assert_eq!((few.agrees, few.p), (None, None));
        let other = verified(40.0, &[("a", false, sample(300, |_| true))]);
        assert_eq!(other.agrees, None);
        assert!(other.rows[0].p < 1e-9);
    }

    #[test]
    fn many_audiences_that_are_right_do_not_add_up_to_a_wrong_one() {
        let audiences: Vec<(&str, bool, Sample)> = (0..500)
            .map(|audience| ("a", true, sample(200, |user| hash_bit(audience, user))))
            .collect();
        let verified = verified(50.0, &audiences);
        assert!(verified.rows[0].p < 0.01, "some are unlikely by themselves");
        assert_eq!(verified.agrees, Some(true), "{:?}", verified.rows[0]);
    }

    fn hash_bit(audience: u64, user: u64) -> bool {
        Share::of_percent(50.0).unwrap().holds(&audience.to_string(), "shop", &user.to_string())
    }
}
