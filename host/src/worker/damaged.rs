//! Users who cannot be decided, since what is kept of them is damaged. Their messages are put aside with the
//! reason, and those of all others go on.

use super::lock;
use crate::group::StepError;
use crate::store::UserKey;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where there are more, it is not they who are damaged but the store.
const USERS_MAX: usize = 1_000;
/// So long nobody looks at a user's row again: it may have been restored then.
const RESTS_FOR: Duration = Duration::from_secs(30);

/// Users of whom something does not decode, and why.
pub type Aside = HashMap<UserKey, Arc<str>>;

/// Users who were found damaged. None of their messages counts before those that were put aside earlier are
/// where they are put aside to: a later one would have it look as if the earlier had counted.
#[derive(Default)]
pub(super) struct DamagedUsers {
    users: Mutex<HashMap<UserKey, Damage>>,
    /// Hardly ever is there one, and every message asks.
    has_any: AtomicBool,
}

struct Damage {
    /// Whoever puts a message aside for it holds on to it until that is done.
    reason: Arc<str>,
    noted: Instant,
}

impl Damage {
    fn lasts(&self) -> bool {
        self.noted.elapsed() < RESTS_FOR || Arc::strong_count(&self.reason) > 1
    }
}

impl DamagedUsers {
    /// Notes the user whom an error is of, and gives her, and why her messages are put aside.
    ///
    /// # Errors
    /// The error, when it is of no user, or there are too many of them.
    pub(super) fn note(&self, error: StepError) -> Result<(UserKey, Arc<str>), StepError> {
        let Some(key) = error.user() else { return Err(error) };
        let mut users = lock(&self.users);
        users.retain(|_, damage| damage.lasts());
        if let Some(damage) = users.get(&key) {
            return Ok((key, damage.reason.clone()));
        }
        if users.len() >= USERS_MAX {
            return Err(error);
        }
        tracing::error!("messages of a user are put aside: {error}");
        let reason: Arc<str> = error.to_string().into();
        self.has_any.store(true, Ordering::Release);
        users.insert(key.clone(), Damage { reason: reason.clone(), noted: Instant::now() });
        Ok((key, reason))
    }

    /// Why a user's messages are put aside, if they are.
    pub(super) fn reason(&self, key: &UserKey) -> Option<Arc<str>> {
        if !self.has_any.load(Ordering::Acquire) {
            return None;
        }
        let users = lock(&self.users);
        users.get(key).filter(|damage| damage.lasts()).map(|damage| damage.reason.clone())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.users).values().filter(|damage| damage.lasts()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    fn damaged(user: usize) -> StepError {
        let key = UserKey { workspace: "shop".into(), user: user.to_string().into() };
        StepError::Store(StoreError::UserDamaged { key, table: "users" })
    }

    #[test]
    fn what_is_of_no_user_and_more_than_a_few_users_are_the_stores() {
        let users = DamagedUsers::default();
        let of_none = StepError::Store(StoreError::Damaged { table: "meta" });
        assert!(users.note(of_none).is_err());
        for user in 0..USERS_MAX {
            let (key, _) = users.note(damaged(user)).unwrap();
            assert!(users.reason(&key).is_some_and(|reason| reason.contains("restore it")));
        }
        assert!(users.note(damaged(USERS_MAX)).is_err());
        assert!(users.note(damaged(0)).is_ok(), "one who is known is not one more");
        assert_eq!(users.count(), USERS_MAX);
    }

    #[test]
    fn a_user_is_looked_at_again_when_nothing_of_hers_is_still_put_aside() {
        let lasts = |reason: &Arc<str>, noted| Damage { reason: reason.clone(), noted }.lasts();
        let long_ago = Instant::now().checked_sub(2 * RESTS_FOR);
        let Some(long_ago) = long_ago else { return };
        let held: Arc<str> = "damaged".into();
        assert!(lasts(&held, Instant::now()));
        assert!(lasts(&held, long_ago), "somebody puts a message aside for it");
        let damage = Damage { reason: "damaged".into(), noted: long_ago };
        assert!(!damage.lasts());
    }
}
