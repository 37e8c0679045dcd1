//! Users by workspace, and members by audience: found by part of all users, and read in order over
//! all parts.

use super::error::CqlError;
use super::{Shared, lock};
use crate::UserKey;
use futures_util::future::{try_join, try_join_all};
use muster_core::{AudienceKey, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many parts all users are in. As many processes can share work on them.
pub(super) const PARTS: i32 = 32;
/// How long a count of users is good for: others add to it.
const COUNT_AGE_MAX: Duration = Duration::from_secs(600);
/// Rows that are read of each part beyond an even share of a page.
const MARGIN: usize = 4;

/// How many users workspaces have.
#[derive(Default)]
pub(super) struct Users(HashMap<Arc<str>, (u64, Instant)>);

/// The part that a user is in.
pub(super) fn shard_of(key: &UserKey) -> i32 {
    let hash = xxhash_rust::xxh3::xxh3_64(key.user.as_bytes());
    // The remainder is less than a number of that type.
    (hash % PARTS as u64) as i32
}

/// Reads a page in order over all parts: `read` gives what of a part comes after an id, up to a
/// number.
async fn page<T>(
    after: Option<&str>,
    limit: usize,
    read: impl AsyncFn(i32, String, i32) -> Result<Vec<(String, T)>, CqlError>,
) -> Result<Vec<(String, T)>, CqlError> {
    let mut found: Vec<(String, T)> = Vec::new();
    let mut after = after.unwrap_or_default().to_string();
    while found.len() < limit {
        let share =
            ((limit - found.len()) / PARTS as usize).saturating_mul(2).saturating_add(MARGIN);
        let share = i32::try_from(share).unwrap_or(i32::MAX);
        let parts = (0..PARTS).map(|part| read(part, after.clone(), share));
        let parts = try_join_all(parts).await?;
        // Beyond the last row of a part of which there is more, others of it may come first.
        let is_cut = |rows: &Vec<(String, T)>| i32::try_from(rows.len()).is_ok_and(|n| n >= share);
        let last = |rows: &Vec<(String, T)>| rows.last().map(|(id, _)| id.clone());
        let until = parts.iter().filter(|rows| is_cut(rows)).filter_map(last).min();
        let mut rows: Vec<(String, T)> = parts.into_iter().flatten().collect();
        rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        if let Some(until) = &until {
            rows.retain(|(id, _)| id <= until);
        }
        found.extend(rows);
        match until {
            Some(until) => after = until,
            None => break,
        }
    }
    found.truncate(limit);
    Ok(found)
}

impl Shared {
    pub(super) async fn read_members(
        &self,
        workspace: &str,
        audience: AudienceKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Time)>, CqlError> {
        let audience = audience.bits().cast_signed();
        let statement = &self.statements.members;
        let members = page(after, limit, async |part, after: String, share| {
            let values = (workspace, audience, part, after, share);
            self.database.rows::<(String, i64)>("read_members", statement, values).await
        });
        let members = members.await?.into_iter().map(|(user, since)| {
            let since = Time::from_milliseconds(since);
            Ok((user.into(), since.ok_or(CqlError::Damaged { table: "members" })?))
        });
        members.collect()
    }

    /// Writes who is in an audience, and since when. What a later transition said stays, whichever is
    /// written first.
    pub(super) async fn write_member(
        &self,
        key: &UserKey,
        audience: AudienceKey,
        since: Option<Time>,
        transition: u64,
    ) -> Result<(), CqlError> {
        let (workspace, user, part) = (&*key.workspace, &*key.user, shard_of(key));
        let audience = audience.bits().cast_signed();
        let order = i64::try_from(transition).unwrap_or(i64::MAX);
        match since {
            Some(since) => {
                let values = (workspace, audience, part, user, since.milliseconds(), order);
                let statement = &self.statements.write_member;
                self.database.execute("write_members", statement, values).await?;
            }
            None => {
                let values = (order, workspace, audience, part, user);
                let statement = &self.statements.delete_member;
                self.database.execute("write_members", statement, values).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn read_user_ids(
        &self,
        workspace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<str>>, CqlError> {
        let statement = &self.statements.user_ids;
        let users = page(after, limit, async |part, after: String, share| {
            let values = (workspace, part, after, share);
            let rows = self.database.rows::<(String,)>("read_user_ids", statement, values).await?;
            Ok(rows.into_iter().map(|(user,)| (user, ())).collect())
        });
        Ok(users.await?.into_iter().map(|(user, ())| user.into()).collect())
    }

    /// Notes a user of whom there was nothing.
    pub(super) async fn write_user_id(&self, key: &UserKey) -> Result<(), CqlError> {
        let (workspace, user) = (&*key.workspace, &*key.user);
        let is_noted = lock(&self.written).workspaces.contains(&key.workspace);
        let of_workspace = async {
            if !is_noted {
                let statement = &self.statements.write_workspace;
                self.database.execute("write_user_id", statement, (workspace,)).await?;
                lock(&self.written).workspaces.insert(key.workspace.clone());
            }
            Ok(())
        };
        let values = (workspace, shard_of(key), user);
        let id = self.database.execute("write_user_id", &self.statements.write_user_id, values);
        try_join(of_workspace, id).await?;
        Ok(())
    }

    /// Counts a user who was made.
    pub(super) fn count_user(&self, workspace: &Arc<str>) {
        if let Some((count, _)) = lock(&self.users).0.get_mut(workspace) {
            *count += 1;
        }
    }

    pub(super) async fn read_workspaces(&self) -> Result<Vec<(Arc<str>, u64)>, CqlError> {
        let statement = &self.statements.workspaces;
        let names = self.database.rows::<(String,)>("read_user_ids", statement, ()).await?;
        let mut workspaces: Vec<(Arc<str>, u64)> = Vec::new();
        for (name,) in names {
            let name: Arc<str> = name.into();
            let counted = lock(&self.users).0.get(&name).copied();
            let count = match counted.filter(|(_, when)| when.elapsed() < COUNT_AGE_MAX) {
                Some((count, _)) => count,
                None => {
                    let count = self.count_users(&name).await?;
                    lock(&self.users).0.insert(name.clone(), (count, Instant::now()));
                    count
                }
            };
            workspaces.push((name, count));
        }
        workspaces.sort();
        Ok(workspaces)
    }

    async fn count_users(&self, workspace: &str) -> Result<u64, CqlError> {
        let statement = &self.statements.count_user_ids;
        let counts = (0..PARTS).map(|part| {
            self.database.rows::<(i64,)>("read_user_ids", statement, (workspace, part))
        });
        let counts = try_join_all(counts).await?;
        Ok(counts.into_iter().flatten().map(|(count,)| count.max(0).cast_unsigned()).sum())
    }
}
