//! Users who cannot be decided, since what is kept of them is damaged. Their messages are put aside with the
//! reason, and those of all others go on.

use super::lock;
use crate::group::StepError;
use crate::store::UserKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where there are more, it is not they who are damaged but the store.
const USERS_MAX: usize = 1_000;
/// So long nobody looks at a user's row again: it may have been restored then.
const RESTS_FOR: Duration = Duration::from_secs(30);

/// Users whose rows were found damaged, and why.
#[derive(Default)]
pub(super) struct DamagedUsers(Mutex<HashMap<UserKey, (Arc<str>, Instant)>>);

impl DamagedUsers {
    /// Notes the user whom an error is of, and gives her.
    ///
    /// # Errors
    /// The error, when it is of no user, or there are too many of them.
    pub(super) fn note(&self, error: StepError) -> Result<UserKey, StepError> {
        let Some(key) = error.user() else { return Err(error) };
        let mut users = lock(&self.0);
        users.retain(|_, (_, noted)| noted.elapsed() < RESTS_FOR);
        if users.len() >= USERS_MAX {
            return Err(error);
        }
        tracing::error!("messages of a user are put aside: {error}");
        users.insert(key.clone(), (error.to_string().into(), Instant::now()));
        Ok(key)
    }

    /// Why a user's messages are put aside, if they are.
    pub(super) fn reason(&self, key: &UserKey) -> Option<Arc<str>> {
        let users = lock(&self.0);
        let (reason, noted) = users.get(key)?;
        (noted.elapsed() < RESTS_FOR).then(|| reason.clone())
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
            let key = users.note(damaged(user)).unwrap();
            assert!(users.reason(&key).is_some_and(|reason| reason.contains("restore it")));
        }
        assert!(users.note(damaged(USERS_MAX)).is_err());
    }
}
