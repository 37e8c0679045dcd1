//! A user's series as they are stored: looked up where they lie, so that a batch decodes the few
//! that it touches and copies the rest.
//!
//! The stored form is a table sorted by key, column after column: keys, moments, and where each
//! body ends, all of fixed width; then the bodies.

use crate::codec::{Damaged, Reader, put_unsigned};
use crate::series::SeriesKey;
use crate::time::Time;
use std::ops::Range;

const KEY_BYTES: usize = 8;
const MOMENT_BYTES: usize = 8;
const END_BYTES: usize = 4;
/// What a series takes beside its body.
const ROW_BYTES: usize = KEY_BYTES + MOMENT_BYTES + END_BYTES;

/// The next instant that matters to a series: twice its milliseconds, and one more when all that it
/// does then is to become empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) const NEVER: Moment = Moment(i64::MAX);

    /// The moment of a series that may change a condition when it is due, or else becomes empty.
    pub(crate) fn new(due: Option<Time>, empty: Option<Time>) -> Moment {
        let moment = |time: Time, empty: i64| Moment((time.milliseconds() << 1) | empty);
        let due = due.map(|due| moment(due, 0));
        due.or(empty.map(|empty| moment(empty, 1))).unwrap_or(Moment::NEVER)
    }

    /// When a condition may change.
    pub(crate) fn due(self) -> Option<Time> {
        let is_due = self.0 & 1 == 0;
        is_due.then(|| Time::from_milliseconds(self.0 >> 1)).flatten()
    }

    pub(crate) fn is_due(self, now: Time) -> bool {
        self.0 & 1 == 0 && self.0 >> 1 <= now.milliseconds()
    }

    /// Whether no window sees anything of the series at `now` or later.
    pub(crate) fn is_empty(self, now: Time) -> bool {
        self.0 & 1 == 1 && self.0 >> 1 <= now.milliseconds()
    }
}

/// Series in their stored form. One that is taken stays where it is and counts no more.
#[derive(Clone, Debug)]
pub(crate) struct Shelf<'a> {
    keys: &'a [[u8; KEY_BYTES]],
    ends: &'a [[u8; END_BYTES]],
    bodies: &'a [u8],
    stored_moments: &'a [[u8; MOMENT_BYTES]],
    /// The moments, of which those of series that were taken are never.
    moments: Vec<Moment>,
    /// The earliest at which a series becomes empty, or one that was taken would have.
    next_empty: Moment,
    hints: Hints,
}

/// Which keys may be there: most of those that are asked for are not, and are told by one bit. Keys
/// are hashes, so their lowest bits do.
#[derive(Clone, Copy, Debug)]
struct Hints([u64; HINT_WORDS]);

/// Words of hints: a bit each for ten times the series of a usual user.
const HINT_WORDS: usize = 16;

/// A change of the shelf at a position: the series there goes, or one comes before it, or both.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    at: usize,
    replaces: bool,
    new: Option<New>,
}

#[derive(Clone, Debug)]
struct New {
    key: SeriesKey,
    moment: Moment,
    /// Where its body lies among the new ones.
    body: Range<usize>,
}

impl Default for Shelf<'_> {
    fn default() -> Self {
        Shelf {
            keys: &[],
            ends: &[],
            bodies: &[],
            stored_moments: &[],
            moments: Vec::new(),
            next_empty: Moment::NEVER,
            hints: Hints([0; HINT_WORDS]),
        }
    }
}

impl Hints {
    fn of(keys: &[[u8; KEY_BYTES]]) -> Hints {
        // Of so many keys hardly a bit would stay unset.
        if keys.len() > HINT_WORDS * u64::BITS as usize {
            return Hints([u64::MAX; HINT_WORDS]);
        }
        let mut hints = Hints([0; HINT_WORDS]);
        for key in keys {
            let (word, bit) = Hints::place(u64::from_le_bytes(*key));
            hints.0[word] |= bit;
        }
        hints
    }

    fn place(key: u64) -> (usize, u64) {
        let at = key as usize % (HINT_WORDS * u64::BITS as usize);
        (at / u64::BITS as usize, 1 << (at % u64::BITS as usize))
    }

    fn may_hold(&self, key: SeriesKey) -> bool {
        let (word, bit) = Hints::place(key.0);
        self.0[word] & bit != 0
    }
}

impl<'a> Shelf<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Shelf<'a>, Damaged> {
        let mut reader = Reader::new(bytes);
        let length = reader.length()?;
        let (keys, stored_moments) = (columns(&mut reader, length)?, columns(&mut reader, length)?);
        let (ends, bodies) = (columns(&mut reader, length)?, reader.rest());
        let moments: Vec<Moment> =
            stored_moments.iter().map(|moment| Moment(i64::from_le_bytes(*moment))).collect();
        let is_last = |moment: &&Moment| moment.0 & 1 == 1;
        let next_empty = moments.iter().filter(is_last).min().copied().unwrap_or(Moment::NEVER);
        let hints = Hints::of(keys);
        let shelf = Shelf { keys, ends, bodies, stored_moments, moments, next_empty, hints };
        let is_sorted = shelf.ends.is_sorted_by_key(|end| u32::from_le_bytes(*end));
        if is_sorted && shelf.end(length) == bodies.len() { Ok(shelf) } else { Err(Damaged) }
    }

    /// The earliest instant at which a condition may change.
    pub(crate) fn due(&self) -> Option<Time> {
        let due = self.moments.iter().filter(|moment| moment.0 & 1 == 0);
        due.min()?.due()
    }

    /// The series of which a condition may change by `now`.
    pub(crate) fn keys_due(&self, now: Time) -> impl Iterator<Item = SeriesKey> + '_ {
        let due = self.moments.iter().enumerate().filter(move |(_, moment)| moment.is_due(now));
        due.map(|(at, _)| self.key(at))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = SeriesKey> + '_ {
        (0..self.keys.len()).map(|at| self.key(at))
    }

    pub(crate) fn contains(&self, key: SeriesKey) -> bool {
        self.hints.may_hold(key) && self.find(key).is_ok()
    }

    /// The moment and the body of a series, which is the taker's from now on.
    pub(crate) fn take(&mut self, key: SeriesKey) -> Option<(Moment, &'a [u8])> {
        if !self.hints.may_hold(key) {
            return None;
        }
        let at = self.find(key).ok()?;
        let moment = std::mem::replace(&mut self.moments[at], Moment::NEVER);
        Some((moment, &self.bodies[self.end(at)..self.end(at + 1)]))
    }

    /// The series of which no window sees anything any more go.
    pub(crate) fn drop_empty(&self, now: Time) -> impl Iterator<Item = Edit> + '_ {
        let moments = if self.next_empty.is_empty(now) { self.moments.as_slice() } else { &[] };
        let empty = moments.iter().enumerate().filter(move |(_, moment)| moment.is_empty(now));
        empty.map(|(at, _)| Edit { at, replaces: true, new: None })
    }

    /// The series goes, if it is here.
    pub(crate) fn drop_one(&self, key: SeriesKey) -> Option<Edit> {
        let at = self.find(key).ok()?;
        Some(Edit { at, replaces: true, new: None })
    }

    /// The series comes, or takes the place of what was here of it.
    pub(crate) fn put(&self, key: SeriesKey, moment: Moment, body: Range<usize>) -> Edit {
        let (at, replaces) = match self.find(key) {
            Ok(at) => (at, true),
            Err(at) => (at, false),
        };
        Edit { at, replaces, new: Some(New { key, moment, body }) }
    }

    fn key(&self, at: usize) -> SeriesKey {
        SeriesKey(u64::from_le_bytes(self.keys[at]))
    }

    fn find(&self, key: SeriesKey) -> Result<usize, usize> {
        self.keys.binary_search_by_key(&key.0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Where the body before that position ends.
    fn end(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| u32::from_le_bytes(self.ends[before]) as usize)
    }
}

fn columns<'a, const WIDTH: usize>(
    reader: &mut Reader<'a>,
    length: usize,
) -> Result<&'a [[u8; WIDTH]], Damaged> {
    let bytes = reader.bytes(length.checked_mul(WIDTH).ok_or(Damaged)?)?;
    Ok(bytes.as_chunks().0)
}

impl Shelf<'_> {
    /// Writes the shelf with some changes, which speak of each series at most once. Their bodies
    /// lie in `bodies`.
    pub(crate) fn encode(&self, mut edits: Vec<Edit>, bodies: &[u8], out: &mut Vec<u8>) {
        edits.sort_by_key(|edit| (edit.at, edit.replaces, edit.new.as_ref().map(|new| new.key)));
        let gone = edits.iter().filter(|edit| edit.replaces).count();
        let come = edits.iter().filter(|edit| edit.new.is_some()).count();
        let rows = self.keys.len() + come - gone;
        put_unsigned(out, rows as u64);
        out.reserve(rows * ROW_BYTES + self.bodies.len() + bodies.len());
        put_column(out, self.keys, &edits, |new| new.key.0.to_le_bytes());
        put_column(out, self.stored_moments, &edits, |new| new.moment.0.to_le_bytes());
        let mut end = 0;
        each_run(self.keys.len(), &edits, |run, new| {
            let (before, after) = (self.end(run.start), self.end(run.end));
            for stored in &self.ends[run] {
                let stored = u32::from_le_bytes(*stored) as usize;
                out.extend_from_slice(&((end + stored - before) as u32).to_le_bytes());
            }
            end += after - before;
            if let Some(new) = new {
                end += new.body.len();
                out.extend_from_slice(&(end as u32).to_le_bytes());
            }
        });
        each_run(self.keys.len(), &edits, |run, new| {
            out.extend_from_slice(&self.bodies[self.end(run.start)..self.end(run.end)]);
            out.extend(new.map_or(&[][..], |new| &bodies[new.body.clone()]));
        });
    }
}

fn put_column<const WIDTH: usize>(
    out: &mut Vec<u8>,
    stored: &[[u8; WIDTH]],
    edits: &[Edit],
    new_cell: impl Fn(&New) -> [u8; WIDTH],
) {
    each_run(stored.len(), edits, |run, new| {
        out.extend_from_slice(stored[run].as_flattened());
        if let Some(new) = new {
            out.extend_from_slice(&new_cell(new));
        }
    });
}

/// The stored series that stay, run by run, and what comes behind each run.
fn each_run(rows: usize, edits: &[Edit], mut see: impl FnMut(Range<usize>, Option<&New>)) {
    let mut next = 0;
    for edit in edits {
        see(next..edit.at, edit.new.as_ref());
        next = edit.at + usize::from(edit.replaces);
    }
    see(next..rows, None);
}
