//! Moving everything from one store to another, of whichever kinds: also a backup, and its restore.

#[cfg(test)]
mod tests;

use crate::history::each_row;
use crate::{
    Commit, Found, Line, Stamp, Store, StoreError, UserCommit, UserKey, UserRecord, Wanted,
};
use muster_core::codec::{Damaged, put_arrivals};
use muster_core::{Arrival, AudienceKey, Profile, Time, due, transitions};
use std::collections::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Users of one commit, and rows of one page.
const PAGE: usize = 512;

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Users.
    pub users: u64,
    /// Events of their histories.
    pub events: u64,
    /// Memberships.
    pub members: u64,
    /// Documents: versions of rules, and what was done with them.
    pub documents: u64,
}

/// Why a store was not copied, or not as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is something in the store that was to be copied to.
    #[error("the store to copy to is not empty: name one in which there is nothing yet")]
    NotEmpty,
    /// Somebody works on one of the stores.
    #[error(
        "{0} other processes are at work on one of the stores: end them first; one that was killed counts until \
         it has been silent for `silence_max`"
    )]
    InUse(usize),
    /// The copy does not read as the original.
    #[error(
        "{what} is not in the copy as it is in the original: copy to an empty store, with nothing running on either"
    )]
    Differs {
        /// What.
        what: String,
    },
    /// A user's record does not decode.
    #[error(
        "the record of user `{user}` in workspace `{workspace}` is damaged: restore it from a backup, or run `muster store repair` where the store is a database"
    )]
    Damaged {
        /// The tenant.
        workspace: Arc<str>,
        /// The user.
        user: Arc<str>,
        /// What the core said.
        source: Damaged,
    },
}

/// Copies everything but transitions that were told, and then reads both and compares them. Nothing else
/// may write either meanwhile. Both passes say now and then how many users they have been through, of how
/// many. The clock of the copy stands no later than `clock_max`: a machine's clock that was ahead once need not
/// be gone on with.
///
/// # Errors
/// When a store fails or is in use, the other is not empty, or the copy does not read as the original.
pub fn copy(
    from: &dyn Store,
    to: &dyn Store,
    clock_max: Time,
    on_progress: &mut dyn FnMut(&'static str, u64, u64),
) -> Result<Copied, CopyError> {
    let others = from.companions().max(to.companions());
    if others > 0 {
        return Err(CopyError::InUse(others));
    }
    if !to.workspaces()?.is_empty() || !to.documents("", None, 1)?.is_empty() {
        return Err(CopyError::NotEmpty);
    }
    let mut copied = Copied::default();
    let clock = from.clock().min(clock_max);
    let empty = |users: Vec<UserCommit>| Commit {
        clock,
        made: clock,
        users,
        dead_letters: Vec::new(),
        audiences: Vec::new(),
        documents: Vec::new(),
        kept_ms: HashMap::new(),
        forgotten: HashMap::new(),
    };
    let (audiences, forgotten) = (from.audience_ids()?, forgotten(from)?);
    to.commit(Commit { audiences, forgotten, ..empty(Vec::new()) })?;
    each_document(from, &mut |name, body| {
        copied.documents += 1;
        to.commit(Commit { documents: vec![(name, Some(body))], ..empty(Vec::new()) })?;
        Ok(())
    })?;
    let all = count(from)?;
    let mut digests = Vec::new();
    each_page(from, &mut |keys| {
        let mut users = Vec::with_capacity(keys.len());
        let found = records(from, keys)?.into_iter().zip(histories(from, keys)?);
        for (key, (found, history)) in keys.iter().zip(found) {
            digests.push(digest(history.clone()));
            users.extend(made(key, found, history, &mut copied)?);
        }
        to.commit(empty(users))?;
        on_progress("copied", copied.users, all);
        Ok(())
    })?;
    verify(from, to, copied, &digests, on_progress)?;
    Ok(copied)
}

/// Everything of a user, as a commit that makes her; nothing when she is not known.
fn made(
    key: &UserKey,
    Found { record, shadow, .. }: Found,
    history: Vec<Arrival>,
    copied: &mut Copied,
) -> Result<Option<UserCommit>, CopyError> {
    let Some(record) = record else { return Ok(None) };
    let damaged = |source| damaged(key, source);
    let due = due(&record.state).map_err(damaged)?;
    let profile = Profile::decode(&record.profile).map_err(damaged)?;
    let members: Vec<_> =
        profile.memberships.iter().map(|(audience, since)| (audience, Some(since))).collect();
    copied.users += 1;
    copied.events += history.len() as u64;
    copied.members += members.len() as u64;
    let stamp = Stamp::default();
    // What nobody may have been told goes along.
    let untold = record.stamp.untold;
    let told: Vec<Line> = untold.map(|untold| untold.lines.clone()).unwrap_or_default();
    let transition = transitions(&record.state).map_err(damaged)?;
    Ok(Some(UserCommit {
        key: key.clone(),
        state: Some(record.state),
        profile: Some(record.profile),
        due_before: None,
        due,
        history,
        members,
        transition,
        transitions: told,
        shadow: shadow.map(Some),
        is_new: true,
        fired: None,
        next: stamp.after(due, None),
        stamp,
    }))
}

fn damaged(key: &UserKey, source: Damaged) -> CopyError {
    CopyError::Damaged { workspace: key.workspace.clone(), user: key.user.clone(), source }
}

/// What is kept of users beside their histories, each in the place of her key.
fn records(store: &dyn Store, keys: &[UserKey]) -> Result<Vec<Found>, StoreError> {
    let known = |(key, found): (&UserKey, Found)| match found.is_damaged {
        true => Err(StoreError::UserDamaged { key: key.clone(), table: "users" }),
        false => Ok(Found { record: found.record.filter(UserRecord::is_known), ..found }),
    };
    keys.iter().zip(store.read(keys)?).map(known).collect()
}

fn histories(store: &dyn Store, keys: &[UserKey]) -> Result<Vec<Vec<Arrival>>, StoreError> {
    let whole =
        |key: &UserKey| Wanted { key: key.clone(), event: None, from: Time::MIN, to: Time::MAX };
    store.histories(&keys.iter().map(whole).collect::<Vec<_>>())
}

/// What a history hashes to, whichever rows it is read from.
fn digest(history: Vec<Arrival>) -> u64 {
    let mut bytes = Vec::new();
    each_row(history, |row| {
        bytes.extend_from_slice(row[0].event.name.as_bytes());
        bytes.push(0);
        put_arrivals(&mut bytes, row);
    });
    xxh3_64(&bytes)
}

/// Up to when events are gone, by workspace and name.
type Forgotten = HashMap<(Arc<str>, Arc<str>), Time>;

fn forgotten(store: &dyn Store) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::new();
    for (workspace, _) in store.workspaces()? {
        let of_workspace = store.forgotten(&workspace)?.into_iter();
        forgotten.extend(of_workspace.map(|(event, until)| ((workspace.clone(), event), until)));
    }
    Ok(forgotten)
}

fn differs(what: String) -> CopyError {
    CopyError::Differs { what }
}

/// Compares the copy with the original, whose histories were read before and had these digests: a
/// database goes on deleting what is past its time.
fn verify(
    from: &dyn Store,
    to: &dyn Store,
    copied: Copied,
    digests: &[u64],
    on_progress: &mut dyn FnMut(&'static str, u64, u64),
) -> Result<(), CopyError> {
    let mut members = verify_users(from, to, digests, &mut |seen| {
        on_progress("verified", seen, copied.users);
    })?;
    each_document(from, &mut |name, body| match to.document(&name)? {
        Some(other) if other == body => Ok(()),
        _ => Err(differs(format!("document `{}`", name.replace('\0', "/")))),
    })?;
    for (workspace, _) in from.workspaces()? {
        for (audience, id) in from.audience_ids()? {
            let of_rows = members.remove(&(workspace.clone(), audience)).unwrap_or_default();
            if of_rows != indexed(to, &workspace, audience)? {
                return Err(differs(format!("audience `{id}` of workspace `{workspace}`")));
            }
        }
    }
    let known = forgotten(to)?;
    for (name, until) in forgotten(from)? {
        if known.get(&name).is_none_or(|known| *known < until) {
            let (workspace, event) = name;
            let what = format!("up to when events `{event}` of workspace `{workspace}` are gone");
            return Err(differs(what));
        }
    }
    if count(to)? != copied.users {
        return Err(differs("the number of users".to_string()));
    }
    Ok(())
}

/// Members by workspace and audience.
type AllMembers = HashMap<(Arc<str>, AudienceKey), Members>;

/// Compares all users, saying of how many that is done. Gives the members of all audiences by the rows of
/// users: an index may be behind them, of a process that was killed.
fn verify_users(
    from: &dyn Store,
    to: &dyn Store,
    digests: &[u64],
    on_progress: &mut dyn FnMut(u64),
) -> Result<AllMembers, CopyError> {
    let timers: HashMap<UserKey, Time> =
        to.due(Time::MAX, usize::MAX)?.into_iter().rev().map(|(at, key)| (key, at)).collect();
    let mut members = AllMembers::new();
    let mut digests = digests.iter();
    let mut seen = 0;
    each_page(from, &mut |keys| {
        let copies = records(to, keys)?.into_iter().zip(histories(to, keys)?);
        let both = records(from, keys)?.into_iter().zip(copies);
        for (key, (original, (copy, history))) in keys.iter().zip(both) {
            let what = || format!("user `{}` of workspace `{}`", key.user, key.workspace);
            if !is_same(&original, &copy) || digests.next() != Some(&digest(history)) {
                return Err(differs(what()));
            }
            let Some(UserRecord { state, profile, .. }) = original.record else { continue };
            let due = due(&state).map_err(|source| damaged(key, source))?;
            // One that comes too early is put off, and one that nobody waits for leads to nothing.
            if due.is_some_and(|due| timers.get(key).is_none_or(|at| *at > due)) {
                return Err(differs(format!("the timer of {}", what())));
            }
            let profile = Profile::decode(&profile).map_err(|source| damaged(key, source))?;
            for (audience, since) in profile.memberships.iter() {
                let of = members.entry((key.workspace.clone(), audience)).or_default();
                add(of, &key.user, since);
            }
            seen += 1;
        }
        on_progress(seen);
        Ok(())
    })?;
    Ok(members)
}

/// Whether the same is kept of a user, wherever it stands among what others may have written.
fn is_same(one: &Found, other: &Found) -> bool {
    let kept = |found: &Found| {
        found.record.as_ref().map(|record| (record.state.clone(), record.profile.clone()))
    };
    kept(one) == kept(other) && one.shadow == other.shadow
}

/// Members of an audience: how many, and the sum of what each hashes to.
type Members = (u64, u64);

fn add(members: &mut Members, user: &str, since: Time) {
    let bytes = [&since.milliseconds().to_le_bytes(), user.as_bytes()].concat();
    let hash = xxh3_64(&bytes);
    *members = (members.0 + 1, members.1.wrapping_add(hash));
}

/// Members by the index of an audience.
fn indexed(
    store: &dyn Store,
    workspace: &str,
    audience: AudienceKey,
) -> Result<Members, StoreError> {
    let mut members = Members::default();
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.members(workspace, audience, after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(members) };
        after = Some(last.clone());
        page.iter().for_each(|(user, since)| add(&mut members, user, *since));
    }
}

fn count(store: &dyn Store) -> Result<u64, StoreError> {
    Ok(store.workspaces()?.iter().map(|(_, users)| users).sum())
}

fn each_page(
    store: &dyn Store,
    on_page: &mut dyn FnMut(&[UserKey]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    for (workspace, _) in store.workspaces()? {
        let mut after: Option<Arc<str>> = None;
        loop {
            let users = store.users(&workspace, after.as_deref(), PAGE)?;
            let Some(last) = users.last() else { break };
            after = Some(last.clone());
            let key =
                |user: &Arc<str>| UserKey { workspace: workspace.clone(), user: user.clone() };
            on_page(&users.iter().map(key).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn each_document(
    store: &dyn Store,
    on_document: &mut dyn FnMut(Arc<str>, Vec<u8>) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.documents("", after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for (name, body) in page {
            on_document(name, body)?;
        }
    }
}
