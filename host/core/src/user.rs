//! A user's state: what changes with every batch.

mod anew;

pub use anew::{Counts, anew, check_state};

use crate::codec::{Damaged, Reader, put_signed, put_unsigned};
use crate::event::Message;
use crate::module::AudienceKey;
use crate::origin::{Origin, Positions};
use crate::plan::{Plan, Settings};
use crate::retry::Retry;
use crate::series::{Series, SeriesKey};
use crate::shelf::{Edit, Moment, Shelf};
use crate::time::Time;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A user's state, over its stored bytes.
#[derive(Clone, Debug)]
pub(crate) struct User<'a> {
    /// The plan that the user was last evaluated by.
    pub(crate) rules: u64,
    /// How many events were accepted.
    pub(crate) arrivals: u64,
    /// How many transitions there were.
    pub(crate) transitions: u64,
    /// The instant of the last evaluation.
    pub(crate) evaluated_at: Time,
    /// When the scan engine has to look again.
    pub(crate) scan_due: Option<Time>,
    /// How far sources' messages were taken.
    positions: Positions,
    /// Ids of recent events and messages, and the clock when they came, the oldest first.
    ids: Vec<(u64, Time)>,
    /// Audiences whose module failed, which are decided again as soon as anything happens.
    pub(crate) marked: Vec<AudienceKey>,
    /// When they are decided again though nothing happens.
    pub(crate) retry: Option<Retry>,
    /// Series that lack events of which a module failed to say whether it selects them. They are
    /// gathered from history before anything is decided by them.
    pub(crate) lacking: BTreeSet<SeriesKey>,
    /// The series as they were stored.
    shelf: Shelf<'a>,
    /// The series that were looked at.
    open: BTreeMap<SeriesKey, Opened>,
    /// Series of the shelf that are empty by now.
    dropped: Vec<Edit>,
}

#[derive(Clone, Debug)]
struct Opened {
    series: Series,
    moment: Moment,
    changed: bool,
}

/// What an id is an id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdOf {
    Event,
    Message,
}

const FORMAT: u8 = 5;

impl<'a> User<'a> {
    /// A user of whom nothing is known.
    pub(crate) fn new(rules: u64) -> User<'a> {
        User {
            rules,
            arrivals: 0,
            transitions: 0,
            evaluated_at: Time::MIN,
            scan_due: None,
            positions: Positions::default(),
            ids: Vec::new(),
            marked: Vec::new(),
            retry: None,
            lacking: BTreeSet::new(),
            shelf: Shelf::default(),
            open: BTreeMap::new(),
            dropped: Vec::new(),
        }
    }

    /// The earliest instant at which something may change by itself.
    pub(crate) fn due(&self) -> Option<Time> {
        let opened = self.open.values().filter_map(|opened| opened.moment.due());
        let retry = self.retry.map(|retry| retry.due());
        opened.chain(self.shelf.due()).chain(self.scan_due).chain(retry).min()
    }

    /// The series of the plan that may change by `now`.
    pub(crate) fn series_due(&self, plan: &Plan, now: Time) -> Vec<usize> {
        let opened = self.open.iter().filter(|(_, opened)| opened.moment.is_due(now));
        let keys = opened.map(|(key, _)| *key).chain(self.shelf.keys_due(now));
        keys.filter_map(|key| plan.by_key.get(&key).copied()).collect()
    }

    /// Whether there is anything of the series.
    pub(crate) fn has_series(&self, key: SeriesKey) -> bool {
        self.shelf.contains(key) || self.open.contains_key(&key)
    }

    /// The series, or none when it is empty.
    pub(crate) fn series(&mut self, key: SeriesKey) -> Result<Option<&Series>, Damaged> {
        Ok(self.opened(key)?.map(|opened| &opened.series))
    }

    /// The series, to be changed; what `empty` gives when there is none.
    pub(crate) fn series_mut(
        &mut self,
        key: SeriesKey,
        empty: impl FnOnce() -> Series,
    ) -> Result<&mut Series, Damaged> {
        let opened = match self.open.entry(key) {
            Entry::Occupied(opened) => opened.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(match self.shelf.take(key) {
                Some((moment, bytes)) => {
                    Opened { series: Series::decode(bytes)?, moment, changed: true }
                }
                None => Opened { series: empty(), moment: Moment::NEVER, changed: true },
            }),
        };
        opened.changed = true;
        Ok(&mut opened.series)
    }

    /// Notes when the series may change by itself: next for some condition (`due`), and last when
    /// no window sees anything of it any more (`empty`).
    pub(crate) fn set_due(&mut self, key: SeriesKey, due: Option<Time>, empty: Option<Time>) {
        let moment = Moment::new(due, empty);
        if let Some(opened) = self.open.get_mut(&key) {
            opened.changed |= opened.moment != moment;
            opened.moment = moment;
        }
    }

    fn opened(&mut self, key: SeriesKey) -> Result<Option<&mut Opened>, Damaged> {
        match self.open.entry(key) {
            Entry::Occupied(opened) => Ok(Some(opened.into_mut())),
            Entry::Vacant(vacant) => {
                let Some((moment, bytes)) = self.shelf.take(key) else { return Ok(None) };
                let series = Series::decode(bytes)?;
                Ok(Some(vacant.insert(Opened { series, moment, changed: false })))
            }
        }
    }

    /// Drops every series.
    pub(crate) fn clear_series(&mut self) {
        self.shelf = Shelf::default();
        self.open.clear();
        self.dropped.clear();
    }

    /// Drops the stored series that are not to be kept.
    pub(crate) fn keep_series(&mut self, keep: impl Fn(SeriesKey) -> bool) {
        let gone: Vec<SeriesKey> = self.shelf.keys().filter(|key| !keep(*key)).collect();
        for key in gone {
            self.dropped.extend(self.shelf.drop_one(key));
            self.shelf.take(key);
        }
    }

    /// Begins a series anew.
    pub(crate) fn reset_series(&mut self, key: SeriesKey, empty: Series) {
        if self.shelf.take(key).is_some() || self.open.contains_key(&key) {
            let opened = Opened { series: empty, moment: Moment::NEVER, changed: true };
            self.open.insert(key, opened);
        }
    }

    /// Makes what changed fit its bounds, and drops what is empty.
    pub(crate) fn compact(&mut self, plan: &Plan, now: Time) {
        let keep_empty = plan.settings.keep_empty;
        self.open.retain(|key, opened| {
            if let Some(at) = plan.by_key.get(key)
                && opened.changed
            {
                opened.series.compact(&plan.series[*at].edges, plan.series[*at].room, now);
            }
            let stays = keep_empty || !(opened.series.is_empty() || opened.moment.is_empty(now));
            if !stays {
                self.dropped.extend(self.shelf.drop_one(*key));
            }
            stays
        });
        if !keep_empty {
            self.dropped.extend(self.shelf.drop_empty(now));
        }
    }

    /// Whether a source delivered a message before; from now on it did.
    pub(crate) fn is_redelivered(&mut self, origin: Origin) -> bool {
        let is_redelivered = self.positions.has(origin);
        if !is_redelivered {
            self.positions.advance(origin);
        }
        is_redelivered
    }

    /// Whether an id was seen within the horizon; from now on it was.
    pub(crate) fn is_repeated(
        &mut self,
        id: &str,
        of: IdOf,
        settings: &Settings,
        now: Time,
    ) -> bool {
        let seed = match of {
            IdOf::Event => 0,
            IdOf::Message => 1,
        };
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), seed);
        let oldest = now.milliseconds() - settings.id_horizon_ms;
        self.ids.retain(|(_, came)| came.milliseconds() > oldest);
        if self.ids.iter().any(|(seen, _)| *seen == hash) {
            return true;
        }
        if self.ids.len() >= settings.ids.max(1) {
            self.ids.remove(0);
        }
        self.ids.push((hash, now));
        false
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 12 * self.ids.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.rules.to_le_bytes());
        put_unsigned(&mut out, self.arrivals);
        put_unsigned(&mut out, self.transitions);
        let now = self.evaluated_at.milliseconds();
        put_signed(&mut out, now);
        put_due(&mut out, self.scan_due, now);
        self.positions.encode(&mut out);
        put_unsigned(&mut out, self.ids.len() as u64);
        for (hash, came) in &self.ids {
            out.extend_from_slice(&hash.to_le_bytes());
            put_signed(&mut out, now - came.milliseconds());
        }
        put_unsigned(&mut out, self.marked.len() as u64);
        for audience in &self.marked {
            out.extend_from_slice(&audience.bits().to_le_bytes());
        }
        Retry::encode(self.retry, self.evaluated_at, &mut out);
        put_unsigned(&mut out, self.lacking.len() as u64);
        for series in &self.lacking {
            out.extend_from_slice(&series.0.to_le_bytes());
        }
        self.encode_series(&mut out);
        out
    }

    fn encode_series(&self, out: &mut Vec<u8>) {
        let (mut edits, mut bodies) = (self.dropped.clone(), Vec::new());
        for (key, opened) in self.open.iter().filter(|(_, opened)| opened.changed) {
            let start = bodies.len();
            opened.series.encode(&mut bodies);
            edits.push(self.shelf.put(*key, opened.moment, start..bodies.len()));
        }
        self.shelf.encode(edits, &bodies, out);
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<User<'a>, Damaged> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return Err(Damaged);
        }
        let rules = take_bits(&mut reader)?;
        let (arrivals, transitions) = (reader.unsigned()?, reader.unsigned()?);
        let evaluated_at = reader.time_after(0)?;
        let now = evaluated_at.milliseconds();
        let scan_due = take_due(&mut reader, now)?;
        let positions = Positions::decode(&mut reader)?;
        let ids = (0..reader.length()?)
            .map(|_| {
                let hash = take_bits(&mut reader)?;
                let came = now.checked_sub(reader.signed()?).ok_or(Damaged)?;
                Ok((hash, Time::from_milliseconds(came).ok_or(Damaged)?))
            })
            .collect::<Result<_, Damaged>>()?;
        let marked = (0..reader.length()?)
            .map(|_| Ok(AudienceKey::from_bits(take_bits(&mut reader)?)))
            .collect::<Result<_, Damaged>>()?;
        let retry = Retry::decode(&mut reader, evaluated_at)?;
        let lacking = (0..reader.length()?)
            .map(|_| Ok(SeriesKey(take_bits(&mut reader)?)))
            .collect::<Result<_, Damaged>>()?;
        let shelf = Shelf::decode(reader.rest())?;
        let (open, dropped) = (BTreeMap::new(), Vec::new());
        Ok(User {
            rules,
            arrivals,
            transitions,
            evaluated_at,
            scan_due,
            positions,
            ids,
            marked,
            retry,
            lacking,
            shelf,
            open,
            dropped,
        })
    }
}

fn put_due(out: &mut Vec<u8>, due: Option<Time>, now: i64) {
    match due {
        None => out.push(0),
        Some(due) => put_unsigned(out, (due.milliseconds() - now).max(0) as u64 + 1),
    }
}

fn take_due(reader: &mut Reader<'_>, now: i64) -> Result<Option<Time>, Damaged> {
    let after = reader.unsigned()?;
    if after == 0 {
        return Ok(None);
    }
    let due = now.checked_add_unsigned(after - 1).ok_or(Damaged)?;
    Ok(Some(Time::from_milliseconds(due).ok_or(Damaged)?))
}

fn take_bits(reader: &mut Reader<'_>) -> Result<u64, Damaged> {
    Ok(u64::from_le_bytes(reader.bytes(8)?.try_into().map_err(|_| Damaged)?))
}

/// When a user's timer is due, by her stored state.
///
/// # Errors
/// When the bytes are not a user's state.
pub fn due(state: &[u8]) -> Result<Option<Time>, Damaged> {
    Ok(User::decode(state)?.due())
}

/// How many transitions there were of a user whose state is stored.
///
/// # Errors
/// When the bytes are not a user's state.
pub fn transitions(state: &[u8]) -> Result<u64, Damaged> {
    let mut reader = Reader::new(state);
    if reader.byte()? != FORMAT {
        return Err(Damaged);
    }
    take_bits(&mut reader)?;
    reader.unsigned()?;
    reader.unsigned()
}

/// Whether a user whose state is stored has taken all of these messages already: by where their sources
/// keep them.
///
/// # Errors
/// When the bytes are not a user's state.
pub fn has_taken(state: &[u8], messages: &[Message]) -> Result<bool, Damaged> {
    if messages.iter().any(|message| message.origin.is_none()) {
        return Ok(false);
    }
    let positions = User::decode(state)?.positions;
    Ok(messages.iter().filter_map(|message| message.origin).all(|origin| positions.has(origin)))
}

/// The fingerprint of the plan that a stored state was last evaluated by.
///
/// # Errors
/// When the bytes are not a user's state.
pub fn evaluated_by(state: &[u8]) -> Result<u64, Damaged> {
    let mut reader = Reader::new(state);
    if reader.byte()? != FORMAT {
        return Err(Damaged);
    }
    take_bits(&mut reader)
}
