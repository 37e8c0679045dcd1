//! What is read of users, and what is committed.

use crate::{Line, Stamp};
use muster_core::{Arrival, AudienceKey, Time};
use std::collections::HashMap;
use std::sync::Arc;

/// A user of a workspace. Both parts are 1 to 256 bytes without NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey {
    /// The tenant.
    pub workspace: Arc<str>,
    /// The user.
    pub user: Arc<str>,
}

/// What is kept of a user, in the core's own form. Shared, since a busy user's is large: she is
/// remembered while her commit is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// What changes with every batch.
    pub state: Arc<Vec<u8>>,
    /// What changes seldom.
    pub profile: Arc<Vec<u8>>,
    /// Where it stands among what others may have written since.
    pub stamp: Stamp,
}

impl UserRecord {
    /// Whether anything is known of the user. Of one who was never committed, a shared store may have a
    /// version alone.
    pub fn is_known(&self) -> bool {
        !self.state.is_empty()
    }
}

/// All that is kept of a user but her history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Her record; nothing when she is not known.
    pub record: Option<UserRecord>,
    /// What is kept of her beside that, for rules or an engine that are tried.
    pub shadow: Option<Arc<Vec<u8>>>,
    /// Whether her row does not decode.
    pub is_damaged: bool,
}

/// A part of a user's history, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub key: UserKey,
    /// The events' name; all events when there is none.
    pub event: Option<Arc<str>>,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
}

/// What a commit changes of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCommit {
    /// Who.
    pub key: UserKey,
    /// The state; unchanged when there is none.
    pub state: Option<Arc<Vec<u8>>>,
    /// The profile; unchanged when there is none.
    pub profile: Option<Arc<Vec<u8>>>,
    /// When the user's timer was due before.
    pub due_before: Option<Time>,
    /// When it is due now.
    pub due: Option<Time>,
    /// Events to add to the history.
    pub history: Vec<Arrival>,
    /// Audiences entered, since when, and audiences left.
    pub members: Vec<(AudienceKey, Option<Time>)>,
    /// Transitions to be told, in order.
    pub transitions: Vec<Line>,
    /// How many transitions there were of her with these, by which a later word on who is in an audience
    /// is told from an earlier one.
    pub transition: u64,
    /// What is kept of her beside that, for rules or an engine that are tried; unchanged when there
    /// is none, and none from now on when there is none inside.
    pub shadow: Option<Option<Arc<Vec<u8>>>>,
    /// Whether nothing was kept of the user before.
    pub is_new: bool,
    /// The timer that brought this about, if one did: by the instant it was found under.
    pub fired: Option<Time>,
    /// The stamp of the record that this was made from, and that of what it makes of it.
    pub stamp: Stamp,
    /// The same afterwards.
    pub next: Stamp,
}

/// A group of users, committed together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The clock.
    pub clock: Time,
    /// When it was made by the machine's clock, which may be another: transitions are kept for as long
    /// as people have to read them.
    pub made: Time,
    /// The users, each once.
    pub users: Vec<UserCommit>,
    /// What was refused, as JSON.
    pub dead_letters: Vec<Vec<u8>>,
    /// The ids of audiences, for when no rules define them any more.
    pub audiences: Vec<(AudienceKey, Arc<str>)>,
    /// Documents by name; none to delete one.
    pub documents: Vec<(Arc<str>, Option<Vec<u8>>)>,
    /// For how many milliseconds after their time events are kept, by workspace and name: for stores
    /// that have to know when they write. What is not named is kept for ever.
    pub kept_ms: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Up to when events may be gone from histories that came from another store, by workspace and name.
    /// Of an earlier instant and a later one the later stays.
    pub forgotten: HashMap<(Arc<str>, Arc<str>), Time>,
}

/// What became of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Users whom somebody else wrote since their records were read. Nothing of theirs was kept.
    pub overtaken: Vec<UserKey>,
    /// What is to be told of the others, where the store does not tell it itself: theirs in order.
    pub told: Vec<(UserKey, Line)>,
    /// Where it is noted that this is yet to be told; see [`Store::settle`](crate::Store::settle).
    pub note: Option<JournalNote>,
}

/// An entry of the journal of a process: its name, and the entry's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalNote {
    pub(crate) owner: Arc<str>,
    pub(crate) turn: u64,
}

/// The name of a document, and what is in it.
pub type NamedDocument = (Arc<str>, Vec<u8>);

/// Where a sweep over all histories goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryCursor(pub(crate) Vec<u8>);
