//! Users whose stored state is damaged: whether it is, and a state to go on from.

use super::User;
use crate::codec::Damaged;
use crate::series::SeriesKey;
use crate::time::Time;

/// The fingerprint of no plan: whichever is in force has everything gathered from history.
const NO_PLAN: u64 = 0;

/// What was counted of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The events that were accepted of her.
    pub arrivals: u64,
    /// Her transitions.
    pub transitions: u64,
}

/// Whether all of a stored state decodes: its series too, which steps decode as they need them.
///
/// # Errors
/// When it does not.
pub fn check_state(state: &[u8]) -> Result<(), Damaged> {
    let mut user = User::decode(state)?;
    let keys: Vec<SeriesKey> = user.shelf.keys().collect();
    keys.into_iter().try_for_each(|key| user.series(key)?.map(drop).ok_or(Damaged))
}

/// The state of a user whom the next step decides anew, from her history and her profile. Of a stored state
/// that decodes but for its series, or is not to be relied on otherwise, it keeps how far her messages were
/// taken: without one, those that are delivered again count again.
pub fn anew(stored: Option<&[u8]>, counts: Counts, evaluated_at: Time) -> Vec<u8> {
    let Counts { arrivals, transitions } = counts;
    let mut user = User { arrivals, transitions, evaluated_at, ..User::new(NO_PLAN) };
    if let Some(Ok(stored)) = stored.map(User::decode) {
        (user.positions, user.ids) = (stored.positions, stored.ids);
    }
    user.encode()
}
