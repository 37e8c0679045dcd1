//! How many different users something happened to, and on which side of a trial they were.

use super::share::hash;
use std::collections::HashMap;

/// Users of an audience's sample at the most: there may be thousands of audiences.
const OF_AUDIENCE_MAX: usize = 512;
/// Users of the sample of all audiences together: enough for shares of a hundredth of a percent.
const OF_ALL_MAX: usize = 65_536;

/// A bounded sample of different users (adaptive sampling, Wegman 1984, Flajolet 1990): of those
/// whose hash begins with a number of zeros, one more whenever there are too many. Each user counts
/// once however often something happens to her, and which users are in it depends on nothing else.
#[derive(Clone, Debug)]
pub struct Sample {
    users_max: usize,
    zeros: u32,
    /// By hash: whether she was on the new side.
    users: HashMap<u64, bool>,
}

impl Sample {
    /// An empty sample of those to whom something happened in one audience.
    pub fn of_audience() -> Sample {
        Sample { users_max: OF_AUDIENCE_MAX, zeros: 0, users: HashMap::new() }
    }

    /// An empty sample of those to whom something happened in any audience.
    pub fn of_all() -> Sample {
        Sample { users_max: OF_ALL_MAX, ..Sample::of_audience() }
    }

    /// Notes that it happened to a user, and on which side she was.
    pub fn note(&mut self, workspace: &str, user: &str, is_new: bool) {
        let hash = hash("sample", workspace, user);
        if hash.leading_zeros() < self.zeros {
            return;
        }
        self.users.insert(hash, is_new);
        while self.users.len() > self.users_max {
            self.zeros += 1;
            let zeros = self.zeros;
            self.users.retain(|hash, _| hash.leading_zeros() >= zeros);
        }
    }

    /// Users of the sample.
    pub fn users(&self) -> u64 {
        self.users.len() as u64
    }

    /// Users of it on the new side.
    pub fn new_users(&self) -> u64 {
        self.users.values().filter(|is_new| **is_new).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Share;

    #[test]
    fn a_user_counts_once_and_a_large_sample_keeps_its_proportion() {
        let share = Share::of_percent(40.0).unwrap();
        let mut sample = Sample::of_audience();
        for round in 0..3 {
            for user in 0..20_000 {
                let user = user.to_string();
                sample.note("shop", &user, share.holds("rules", "shop", &user));
            }
            assert!(sample.users() <= OF_AUDIENCE_MAX as u64, "{round}");
        }
        let part = sample.new_users() as f64 / sample.users() as f64;
        assert!(sample.users() > 200 && (0.3..0.5).contains(&part), "{sample:?}");
        let mut few = Sample::of_audience();
        (0..10).for_each(|_| few.note("shop", "ann", true));
        assert_eq!((few.users(), few.new_users()), (1, 1));
    }
}
