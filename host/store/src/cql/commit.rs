//! Commits: what is found by it first, then each user by a conditional batch, then what follows from it.

use super::documents::applied;
use super::error::CqlError;
use super::kept::ttl_s;
use super::pending;
use super::session::Backoff;
use super::{Shared, lock};
use crate::history::each_row;
use crate::{Commit, Committed, JournalNote, Line, Untold, UserCommit, UserKey, Version};
use futures_util::future::{try_join, try_join_all};
use muster_core::Time;
use muster_core::codec::put_arrivals;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::{CqlValue, MaybeUnset};
use std::collections::BTreeSet;

/// Entries of the journal by number: those of which something is left to do.
///
/// Who settles them after a crash begins with the first of these, as it was a heartbeat ago. From the very
/// first on, the database would pass by everything that was ever deleted, and give up over it.
#[derive(Default)]
pub(super) struct Turns {
    next: u64,
    open: BTreeSet<u64>,
}

impl Turns {
    fn begin(&mut self) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.open.insert(turn);
        turn
    }

    fn end(&mut self, turn: u64) {
        self.open.remove(&turn);
    }

    fn first_open(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

/// Values of a statement: absent ones leave what there is.
type Values = Vec<MaybeUnset<Option<CqlValue>>>;

impl Shared {
    pub(super) async fn put(&self, mut commit: Commit) -> Result<Committed, CqlError> {
        lock(&self.timers).made_ms = Some(commit.made.milliseconds());
        commit.users.iter_mut().for_each(carry);
        let note = self.put_ahead(&mut commit).await?;
        let outcomes = commit.users.iter().map(|user| self.put_user(user, &commit));
        let counted = try_join_all(outcomes).await?;
        let mut committed = Committed { note, ..Committed::default() };
        let mut follow = Vec::new();
        for (user, counted) in commit.users.iter().zip(counted) {
            if !counted {
                committed.overtaken.push(user.key.clone());
                continue;
            }
            if user.is_new {
                self.count_user(&user.key.workspace);
            }
            let lines = user.transitions.iter().cloned();
            committed.told.extend(lines.map(|line| (user.key.clone(), line)));
            follow.push(self.put_after(user));
        }
        try_join_all(follow).await?;
        if committed.told.is_empty() {
            self.settle(&committed).await?;
            committed.note = None;
        }
        Ok(committed)
    }

    /// What has to be there before any user's row tells of it: timers, new users, the journal. And what
    /// is of no user.
    async fn put_ahead(&self, commit: &mut Commit) -> Result<Option<JournalNote>, CqlError> {
        let documents = std::mem::take(&mut commit.documents);
        let audiences = std::mem::take(&mut commit.audiences);
        let letters = std::mem::take(&mut commit.dead_letters);
        let forgotten = std::mem::take(&mut commit.forgotten);
        let users = &commit.users;
        let of_none = async {
            self.put_audiences(audiences).await?;
            self.put_documents(documents).await?;
            self.put_dead_letters(letters, commit.made).await?;
            self.note_forgotten(forgotten).await?;
            self.write_clock(commit.clock).await
        };
        let ahead = try_join_all(users.iter().map(|user| async move {
            if let Some(hint) = user.next.hint.filter(|_| user.next.hint != user.stamp.hint) {
                self.write_timer(hint, &user.key, user.next.version).await?;
            }
            if user.is_new {
                self.write_user_id(&user.key).await?;
            }
            Ok::<_, CqlError>(())
        }));
        let arrivals = users
            .iter()
            .flat_map(|user| user.history.iter().map(|arrival| (&user.key.workspace, arrival)));
        let kept = self.note_kept(arrivals, &commit.kept_ms, commit.clock);
        let noted = users.iter().filter(|user| has_consequences(user)).map(|user| &user.key);
        let journal = self.write_journal(noted);
        let (((), _), ((), note)) =
            try_join(try_join(of_none, ahead), try_join(kept, journal)).await?;
        Ok(note)
    }

    async fn write_journal(
        &self,
        users: impl Iterator<Item = &UserKey>,
    ) -> Result<Option<JournalNote>, CqlError> {
        let users = pending::encode_users(users);
        if users.is_empty() {
            return Ok(None);
        }
        let turn = lock(&self.turns).begin();
        let values = (&*self.owner, turn.cast_signed(), users);
        self.database.execute("write_journal", &self.statements.write_journal, values).await?;
        self.assure_owner().await?;
        Ok(Some(JournalNote { owner: self.owner.clone(), turn }))
    }

    /// Writes a user, if her row is as it was read. Says whether it was.
    async fn put_user(&self, user: &UserCommit, commit: &Commit) -> Result<bool, CqlError> {
        let (batch, values) = self.batch(user, commit);
        let next = user.next.version.map(Version::to_bytes);
        let stood = user.stamp.version.map(Version::to_bytes);
        let mut backoff = Backoff::default();
        loop {
            let answer = match (batch.statements.len(), &*values) {
                (1, [values]) => {
                    let statement = &self.statements.write_user;
                    self.database.decide_one("write_user", statement, values).await?
                }
                _ => self.database.decide("write_user", &batch, &values).await?,
            };
            if let Some(answer) = answer {
                let applied = applied(answer)?;
                // An attempt before this one, of which nothing was told, may have counted.
                let is_own = applied.version.as_deref() == next.as_ref().map(|next| &next[..]);
                return Ok(applied.is_applied || is_own);
            }
            self.database.pause(&mut backoff).await?;
            let found = match self.read_user_decided(&user.key).await {
                Ok(found) => found.record,
                // Whoever takes her messages again finds out.
                Err(CqlError::UserDamaged { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            let found = found.and_then(|record| record.stamp.version).map(Version::to_bytes);
            if found == next {
                return Ok(true);
            }
            if found != stood {
                return Ok(false);
            }
        }
    }

    fn batch(&self, user: &UserCommit, commit: &Commit) -> (Batch, Vec<Values>) {
        let mut batch = Batch::new(BatchType::Logged);
        let (consistency, serial) = self.database.consistencies();
        batch.set_consistency(consistency);
        batch.set_serial_consistency(Some(serial));
        let workspace = || set(CqlValue::Text(user.key.workspace.to_string()));
        let id = || set(CqlValue::Text(user.key.user.to_string()));
        let version = |version: Option<Version>| {
            MaybeUnset::Set(version.map(|version| CqlValue::Blob(version.to_bytes().to_vec())))
        };
        let bytes = |bytes: &[u8]| set(CqlValue::Blob(bytes.to_vec()));
        let untold = Untold { lines: user.transitions.clone(), members: user.members.clone() };
        batch.append_statement(self.statements.write_user.clone());
        let mut values = vec![vec![
            version(user.next.version),
            user.state.as_ref().map_or(MaybeUnset::Unset, |state| bytes(state)),
            user.profile.as_ref().map_or(MaybeUnset::Unset, |profile| bytes(profile)),
            match &user.shadow {
                Some(Some(shadow)) => bytes(shadow),
                Some(None) => MaybeUnset::Set(None),
                None => MaybeUnset::Unset,
            },
            match user.next.hint == user.stamp.hint {
                true => MaybeUnset::Unset,
                false => MaybeUnset::Set(
                    user.next.hint.map(|hint| CqlValue::BigInt(hint.milliseconds())),
                ),
            },
            match untold.lines.is_empty() {
                true => MaybeUnset::Unset,
                false => bytes(&pending::encode(&untold)),
            },
            workspace(),
            id(),
            version(user.stamp.version),
        ]];
        each_row(user.history.clone(), |row| {
            let first = &row[0];
            let name = &first.event.name;
            let kept = commit.kept_ms.get(&(user.key.workspace.clone(), name.clone())).copied();
            let mut arrivals = Vec::new();
            put_arrivals(&mut arrivals, row);
            batch.append_statement(self.statements.write_history.clone());
            values.push(vec![
                workspace(),
                id(),
                set(CqlValue::Text(name.to_string())),
                set(CqlValue::BigInt(first.event.time.milliseconds())),
                set(CqlValue::BigInt(first.number.cast_signed())),
                set(CqlValue::Blob(arrivals)),
                set(CqlValue::Int(ttl_s(row, kept, commit.clock))),
            ]);
        });
        (batch, values)
    }

    /// What follows from a user who was written: who is in which audience, and timers that were used up.
    async fn put_after(&self, user: &UserCommit) -> Result<(), CqlError> {
        let members = user.members.iter().map(|(audience, since)| {
            self.write_member(&user.key, *audience, *since, user.transition)
        });
        let timers = used_up(user).map(|at| self.delete_timer(at, &user.key, user.next.version));
        try_join(try_join_all(members), try_join_all(timers)).await?;
        Ok(())
    }

    /// Notes what was told, and that nothing of a commit is left to do.
    pub(super) async fn settle(&self, committed: &Committed) -> Result<(), CqlError> {
        let mut told: Vec<(&UserKey, u64)> = Vec::new();
        for (key, Line { number, .. }) in &committed.told {
            match told.last_mut().filter(|(last, _)| *last == key) {
                Some((_, latest)) => *latest = *number.max(latest),
                None => told.push((key, *number)),
            }
        }
        let statement = &self.statements.write_told;
        try_join_all(told.into_iter().map(|(key, number)| {
            let number = number.cast_signed();
            let values = (number, number, &*key.workspace, &*key.user);
            self.database.execute("write_told", statement, values)
        }))
        .await?;
        if let Some(note) = &committed.note {
            let values = (&*note.owner, note.turn.cast_signed());
            self.database.execute("write_journal", &self.statements.delete_journal, values).await?;
            if note.owner == self.owner {
                lock(&self.turns).end(note.turn);
            }
        }
        Ok(())
    }

    /// Before this, nothing is left in the journal of this process.
    pub(super) fn first_open_turn(&self) -> u64 {
        lock(&self.turns).first_open()
    }
}

/// Puts what was left untold of a user before what is told of her now.
fn carry(user: &mut UserCommit) {
    let Some(untold) = user.stamp.untold.clone() else { return };
    user.transitions.splice(0..0, untold.lines.iter().cloned());
    // Without any of her own, the last of those says how late this word on her audiences is.
    let last = untold.lines.last().map_or(0, |line| line.number);
    user.transition = last.max(user.transition);
    for (audience, since) in &untold.members {
        if !user.members.iter().any(|(changed, _)| changed == audience) {
            user.members.push((*audience, *since));
        }
    }
}

/// Whether something follows from a user's commit that a crash must not take away.
fn has_consequences(user: &UserCommit) -> bool {
    !user.transitions.is_empty() || !user.members.is_empty()
}

/// Timers that the user is not found by any more.
fn used_up(user: &UserCommit) -> impl Iterator<Item = Time> {
    let mut hints: Vec<Time> = [user.stamp.hint, user.fired].into_iter().flatten().collect();
    hints.dedup();
    hints.into_iter().filter(|hint| Some(*hint) != user.next.hint)
}

fn set(value: CqlValue) -> MaybeUnset<Option<CqlValue>> {
    MaybeUnset::Set(Some(value))
}
