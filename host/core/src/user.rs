//! A user's state: what changes with every batch. Series stay packed until one is looked at.

use crate::codec::{Damaged, Reader, put_signed, put_unsigned};
use crate::module::AudienceKey;
use crate::plan::{Plan, Settings};
use crate::series::{Series, SeriesKey};
use crate::time::Time;

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
    /// Ids of recent events and messages, and the clock when they came, the oldest first.
    ids: Vec<(u64, Time)>,
    /// Audiences whose module failed, which are decided again as soon as anything happens.
    pub(crate) marked: Vec<AudienceKey>,
    /// The series that are not empty, by key.
    slots: Vec<Slot<'a>>,
}

#[derive(Clone, Debug)]
struct Slot<'a> {
    key: SeriesKey,
    due: Option<Time>,
    packed: &'a [u8],
    open: Option<Series>,
    changed: bool,
}

/// What an id is an id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdOf {
    Event,
    Message,
}

const FORMAT: u8 = 1;

impl<'a> User<'a> {
    /// A user of whom nothing is known.
    pub(crate) fn new(rules: u64) -> User<'a> {
        User {
            rules,
            arrivals: 0,
            transitions: 0,
            evaluated_at: Time::MIN,
            scan_due: None,
            ids: Vec::new(),
            marked: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// The earliest instant at which something may change by itself.
    pub(crate) fn due(&self) -> Option<Time> {
        self.slots.iter().filter_map(|slot| slot.due).chain(self.scan_due).min()
    }

    /// The series of the plan that may change by `now`.
    pub(crate) fn series_due(&self, plan: &Plan, now: Time) -> Vec<usize> {
        let due = self.slots.iter().filter(|slot| slot.due.is_some_and(|due| due <= now));
        due.filter_map(|slot| plan.by_key.get(&slot.key).copied()).collect()
    }

    /// Whether the series holds anything.
    pub(crate) fn has_series(&self, key: SeriesKey) -> bool {
        self.find(key).is_ok()
    }

    /// The series, or none when it is empty.
    pub(crate) fn series(&mut self, key: SeriesKey) -> Result<Option<&Series>, Damaged> {
        match self.find(key) {
            Ok(at) => Ok(Some(self.slots[at].open()?)),
            Err(_) => Ok(None),
        }
    }

    /// The series, to be changed; what `empty` gives when there is none.
    pub(crate) fn series_mut(
        &mut self,
        key: SeriesKey,
        empty: impl FnOnce() -> Series,
    ) -> Result<&mut Series, Damaged> {
        let at = match self.find(key) {
            Ok(at) => at,
            Err(at) => {
                let open = Some(empty());
                let slot = Slot { key, due: None, packed: &[], open, changed: true };
                self.slots.insert(at, slot);
                at
            }
        };
        let slot = &mut self.slots[at];
        slot.changed = true;
        slot.open()
    }

    /// Notes when the series may change by itself.
    pub(crate) fn set_due(&mut self, key: SeriesKey, due: Option<Time>) {
        if let Ok(at) = self.find(key) {
            self.slots[at].due = due;
        }
    }

    /// Drops every series.
    pub(crate) fn clear_series(&mut self) {
        self.slots.clear();
    }

    /// Makes what changed fit its bounds, and drops what is empty.
    pub(crate) fn compact(&mut self, plan: &Plan, now: Time) {
        self.slots.retain_mut(|slot| {
            let (Some(series), Some(at)) = (&mut slot.open, plan.by_key.get(&slot.key)) else {
                return true;
            };
            if slot.changed {
                series.compact(&plan.series[*at].edges, plan.series[*at].room, now);
            }
            plan.settings.keep_empty || !series.is_empty()
        });
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

    fn find(&self, key: SeriesKey) -> Result<usize, usize> {
        self.slots.binary_search_by_key(&key, |slot| slot.key)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let packed: usize = self.slots.iter().map(|slot| slot.packed.len() + 24).sum();
        let mut out = Vec::with_capacity(64 + packed + 12 * self.ids.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.rules.to_le_bytes());
        put_unsigned(&mut out, self.arrivals);
        put_unsigned(&mut out, self.transitions);
        let now = self.evaluated_at.milliseconds();
        put_signed(&mut out, now);
        put_due(&mut out, self.scan_due, now);
        put_unsigned(&mut out, self.ids.len() as u64);
        for (hash, came) in &self.ids {
            out.extend_from_slice(&hash.to_le_bytes());
            put_signed(&mut out, now - came.milliseconds());
        }
        put_unsigned(&mut out, self.marked.len() as u64);
        for audience in &self.marked {
            out.extend_from_slice(&audience.bits().to_le_bytes());
        }
        put_unsigned(&mut out, self.slots.len() as u64);
        let mut body = Vec::new();
        for slot in &self.slots {
            out.extend_from_slice(&slot.key.0.to_le_bytes());
            put_due(&mut out, slot.due, now);
            let bytes = match &slot.open {
                Some(series) if slot.changed => {
                    body.clear();
                    series.encode(&mut body);
                    &body
                }
                _ => slot.packed,
            };
            put_unsigned(&mut out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        out
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
        let length = reader.length()?;
        let mut slots = Vec::with_capacity(length + 2);
        for _ in 0..length {
            let key = SeriesKey(take_bits(&mut reader)?);
            let due = take_due(&mut reader, now)?;
            let length = reader.length()?;
            let packed = reader.bytes(length)?;
            slots.push(Slot { key, due, packed, open: None, changed: false });
        }
        if !reader.is_empty() {
            return Err(Damaged);
        }
        Ok(User { rules, arrivals, transitions, evaluated_at, scan_due, ids, marked, slots })
    }
}

impl Slot<'_> {
    fn open(&mut self) -> Result<&mut Series, Damaged> {
        let series = match self.open.take() {
            Some(series) => series,
            None => Series::decode(self.packed)?,
        };
        Ok(self.open.insert(series))
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
