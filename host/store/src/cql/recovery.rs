//! What processes left half done that are gone.

use super::Shared;
use super::division::Division;
use super::documents::applied;
use super::error::CqlError;
use super::pending;
use super::session::Backoff;
use crate::{Committed, JournalNote, Line, UserKey, Version};
use futures_util::future::try_join_all;

impl Shared {
    /// Settles the oldest entry of a journal of which the process is gone, if there is one and it falls to
    /// this process.
    pub(super) async fn recover(&self, division: &Division) -> Result<Option<Committed>, CqlError> {
        let statement = &self.statements.owners;
        let owners = self.database.rows::<(String, i64, i64)>("recover", statement, ()).await?;
        for (owner, turn, written_us) in owners {
            if division.is_alive(&owner).await? || !division.is_first(owner.as_bytes()) {
                continue;
            }
            let statement = &self.statements.journal;
            let from = (&owner, turn);
            let entry = self.database.rows::<(i64, Vec<u8>)>("recover", statement, from).await?;
            let Some((turn, users)) = entry.into_iter().next() else {
                // It may only have been silent. What it says from now on stays, and its next turn says it.
                let statement = &self.statements.delete_owner;
                self.database.execute("recover", statement, (written_us, &owner)).await?;
                continue;
            };
            let users = match pending::decode_users(&users) {
                Ok(users) => users,
                Err(error) => {
                    // It stays, and what others left is settled all the same.
                    tracing::error!(
                        owner,
                        turn,
                        "cannot settle what an instance left half done: {error}"
                    );
                    continue;
                }
            };
            tracing::info!(owner, users = users.len(), "settling what an instance left half done");
            let settled = users.iter().map(|key| self.settle_user(key));
            let told = try_join_all(settled).await?.into_iter().flatten().collect();
            let note = JournalNote { owner: owner.into(), turn: turn.cast_unsigned() };
            return Ok(Some(Committed { overtaken: Vec::new(), told, note: Some(note) }));
        }
        Ok(None)
    }

    /// Makes sure that nobody writes a user any more from what was read before, and gives what is to be
    /// told of her.
    async fn settle_user(&self, key: &UserKey) -> Result<Vec<(UserKey, Line)>, CqlError> {
        let mut backoff = Backoff::default();
        loop {
            let record = match self.read_user_decided(key).await {
                Ok(found) => found.record,
                // What others left half done does not wait for her row to be restored.
                Err(error @ CqlError::UserDamaged { .. }) => {
                    tracing::error!("what is yet to be told is lost: {error}");
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            };
            let stamp = record.as_ref().map(|record| record.stamp.clone()).unwrap_or_default();
            let bytes = |version: Version| version.to_bytes().to_vec();
            let fresh = bytes(Version::after(stamp.version));
            let stood = stamp.version.map(bytes);
            let values = (fresh, &*key.workspace, &*key.user, stood);
            let statement = &self.statements.fence_user;
            let answer = self.database.decide_one("recover", statement, values).await?;
            let is_fenced = answer.map(applied).transpose()?.is_some_and(|a| a.is_applied);
            if !is_fenced {
                self.database.pause(&mut backoff).await?;
                continue;
            }
            let Some(untold) = stamp.untold else { return Ok(Vec::new()) };
            let transition = untold.lines.last().map_or(0, |line| line.number);
            try_join_all(
                untold
                    .members
                    .iter()
                    .map(|(audience, since)| self.write_member(key, *audience, *since, transition)),
            )
            .await?;
            return Ok(untold.lines.iter().map(|line| (key.clone(), line.clone())).collect());
        }
    }
}
