//! Shares of users: which users they hold, and how they are written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A share of users, from none to all, in steps of a hundredth of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u16);

const WHOLE: u16 = 10_000;

/// What is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a share: write a percentage from 0 to 100, such as `3` or `0.5%`")]
pub struct ShareError(String);

impl Share {
    /// Nobody.
    pub const NONE: Share = Share(0);
    /// Everybody.
    pub const ALL: Share = Share(WHOLE);

    /// A percentage as a share.
    ///
    /// # Errors
    /// When it is not between 0 and 100.
    pub fn of_percent(percent: f64) -> Result<Share, ShareError> {
        let hundredths = (percent * 100.0).round();
        if !(0.0..=f64::from(WHOLE)).contains(&hundredths) {
            return Err(ShareError(percent.to_string()));
        }
        Ok(Share(hundredths as u16))
    }

    /// The share as a percentage.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The share as a part of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Whether a user is in the share: by a hash of who she is and of what the share is of, so that
    /// a share holds all users of every smaller one, and shares of different things are independent.
    pub fn holds(self, of: &str, workspace: &str, user: &str) -> bool {
        if self == Share::NONE || self == Share::ALL {
            return self == Share::ALL;
        }
        hash(of, workspace, user) % u64::from(WHOLE) < u64::from(self.0)
    }
}

/// A hash of a user for one purpose.
pub(super) fn hash(of: &str, workspace: &str, user: &str) -> u64 {
    let mut content = Vec::with_capacity(of.len() + workspace.len() + user.len() + 2);
    for part in [of, workspace, user] {
        content.extend_from_slice(part.as_bytes());
        content.push(0);
    }
    xxhash_rust::xxh3::xxh3_64(&content)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let percent: f64 = number.parse().map_err(|_| ShareError(text.to_string()))?;
        Share::of_percent(percent).map_err(|_| ShareError(text.to_string()))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        Share::of_percent(percent).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(share: &str, of: &str) -> Vec<u32> {
        let share: Share = share.parse().unwrap();
        (0..10_000).filter(|user| share.holds(of, "shop", &user.to_string())).collect()
    }

    #[test]
    fn shares_are_nested_and_as_large_as_they_say() {
        let (three, forty) = (held("3%", "rules"), held("40", "rules"));
        assert!(three.iter().all(|user| forty.contains(user)));
        assert!((250..350).contains(&three.len()) && (3_800..4_200).contains(&forty.len()));
        assert_eq!((held("0", "rules").len(), held("100%", "rules").len()), (0, 10_000));
    }

    #[test]
    fn shares_of_different_things_are_independent() {
        let (rules, engine) = (held("50", "rules"), held("50", "engine"));
        let both = rules.iter().filter(|user| engine.contains(user)).count();
        assert!((2_300..2_700).contains(&both), "{both}");
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for wrong in ["101", "-1", "many", "", "%", "NaN", "inf"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert_eq!("0.05%".parse::<Share>().unwrap().to_string(), "0.05%");
    }
}
