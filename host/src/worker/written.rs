//! Users of a shared store who were decided by rules that another process may have changed meanwhile.
//!
//! Whoever changes rules has all users go over, each process those that fall to it. A process that takes the
//! rules over later has decided some by those of before since then, who had gone over already and would stay
//! where they are: it has them go over itself.

use crate::store::UserKey;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Users of a workspace that are remembered: beyond, all users are looked at.
const USERS_MAX: usize = 100_000;

/// Users by workspace.
#[derive(Default)]
pub(super) struct Written(HashMap<Arc<str>, Users>);

#[derive(Default)]
struct Users {
    /// When each was decided last.
    at: HashMap<Arc<str>, Instant>,
    /// When one was last who was not remembered, since there were too many.
    beyond: Option<Instant>,
    /// Until when the rules were surely those in force, as it was known when that was looked at last.
    seen: Option<Instant>,
}

impl Written {
    /// Lets go of users who were decided before their rules were last seen to be those in force, and notes that
    /// others were decided now.
    pub(super) fn note<'a>(
        &mut self,
        users: impl Iterator<Item = &'a UserKey>,
        rules_seen: &HashMap<Arc<str>, Instant>,
    ) {
        for (workspace, of) in &mut self.0 {
            let seen = rules_seen.get(workspace).copied();
            if of.seen != seen {
                of.seen = seen;
                let may_be_behind = |at: &Instant| seen.is_none_or(|seen| *at >= seen);
                of.at.retain(|_, at| may_be_behind(at));
                of.beyond = of.beyond.filter(may_be_behind);
            }
        }
        let now = Instant::now();
        for key in users {
            let of = self.0.entry(key.workspace.clone()).or_default();
            let has_room = of.at.len() < USERS_MAX;
            match of.at.get_mut(&key.user) {
                Some(at) => *at = now,
                None if has_room => drop(of.at.insert(key.user.clone(), now)),
                None => of.beyond = Some(now),
            }
        }
    }

    /// The users of a workspace who were decided by rules that may not have been those in force, once there
    /// are others here; none where there were too many.
    pub(super) fn take(&mut self, workspace: &str) -> Option<impl Iterator<Item = Arc<str>>> {
        let of = self.0.remove(workspace).unwrap_or_default();
        of.beyond.is_none().then(|| of.at.into_keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(workspace: &str, user: &str) -> UserKey {
        UserKey { workspace: workspace.into(), user: user.into() }
    }

    fn taken(written: &mut Written, workspace: &str) -> Option<Vec<String>> {
        let users = written.take(workspace)?.map(|user| user.to_string());
        let mut users: Vec<String> = users.collect();
        users.sort();
        Some(users)
    }

    #[test]
    fn users_are_given_who_were_decided_since_the_rules_were_seen_to_be_in_force() {
        let mut written = Written::default();
        let none = HashMap::new();
        written.note([key("a", "ann"), key("b", "bob")].iter(), &none);
        let seen: HashMap<Arc<str>, Instant> = [("a".into(), Instant::now())].into();
        written.note([key("a", "cat"), key("a", "dan")].iter(), &seen);
        assert_eq!(taken(&mut written, "a"), Some(vec!["cat".to_string(), "dan".to_string()]));
        assert_eq!(taken(&mut written, "a"), Some(Vec::new()));
        assert_eq!(taken(&mut written, "b"), Some(vec!["bob".to_string()]));
    }

    #[test]
    fn of_too_many_users_none_is_given_until_all_were_decided_by_rules_in_force() {
        let mut written = Written::default();
        let users: Vec<UserKey> =
            (0..=USERS_MAX).map(|number| key("a", &number.to_string())).collect();
        written.note(users.iter(), &HashMap::new());
        let seen: HashMap<Arc<str>, Instant> = [("a".into(), Instant::now())].into();
        written.note(users.iter(), &seen);
        assert_eq!(taken(&mut written, "a"), None);
        written.note(users.iter(), &HashMap::new());
        let seen: HashMap<Arc<str>, Instant> = [("a".into(), Instant::now())].into();
        written.note([key("a", "ann")].iter(), &seen);
        assert_eq!(taken(&mut written, "a"), Some(vec!["ann".to_string()]));
    }
}
