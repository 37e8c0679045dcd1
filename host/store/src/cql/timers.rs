//! Timers: rows by the span of time in which they are due, and by part of all users.
//!
//! They are hints. Each is written before the commit that its user's row tells of, and deleted after
//! whatever it brought about; a hint that leads to nothing costs a look at the row. Which spans have
//! any is written before the first of them.
//!
//! Whoever deletes one may be slow, and meanwhile somebody else may have written it again. So both are
//! ordered by the versions of the row and not by when they come: a commit deletes what was written for
//! earlier versions, and nothing that was written for its own or a later one.

use super::division::Division;
use super::error::CqlError;
use super::index::shard_of;
use super::{Shared, lock};
use crate::{UserKey, Version};
use futures_util::future::try_join_all;
use muster_core::Time;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// A span of a part.
type Place = (i64, i32);

type Due = (Time, UserKey);

/// A row of a place: an instant in milliseconds, a workspace and a user.
type Position = (i64, String, String);

/// How long a span is: what was deleted in it is passed by whenever the rest is read.
const SPAN_MS: i64 = 600_000;
/// So often all spans are looked for, and read from their beginning, not only those that have come since and
/// from where reading ended: that finds what others wrote behind that place.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(10);
/// The same while there are more timers than are asked for: looking back passes by all that were used up.
const LOOK_BACK_MEANWHILE: Duration = Duration::from_secs(60);
/// A span is let go of only so long after its end, and only if what was noted of it was noted so long ago:
/// clocks differ, and who notes it may be slow to write the timer.
const SPAN_KEPT_MS: i64 = 600_000;
const NOTE_AGE_MS: i64 = 30_000;
/// How long writing a timer may take after its span was noted, before the span is noted again.
const NOTED_TIME_MAX: Duration = Duration::from_secs(10);
/// Places that are read at once, and a few more: after a long absence there are tens of thousands, of which
/// the first have all that is asked for.
const PLACES_AT_ONCE: usize = 64;
/// Rows of a place that are read at least, where so many are asked for.
const SHARE_MIN: usize = 16;

/// What is known of spans and parts.
#[derive(Default)]
pub(super) struct Timers {
    /// Those noted by this process.
    noted: HashSet<Place>,
    /// Those that anybody noted, and since when that is known.
    known: BTreeMap<Place, Instant>,
    /// The last span that was looked for.
    last: Option<i64>,
    read: HashMap<Place, Progress>,
    looked_back: Option<Instant>,
    /// Whether there were more than were asked for last.
    has_more: bool,
    /// The machine's clock at the last commit, in milliseconds.
    pub(super) made_ms: Option<i64>,
}

/// How far a place was read.
#[derive(Clone)]
struct Progress {
    /// Where reading begins: behind what was used up of one instant too, which may be a whole wave.
    from: Position,
    /// Whether this process wrote there since reading began last.
    is_written: bool,
}

/// A place that has timers, when that was noted, in microseconds, and the database's clock.
type Noted = (i64, i32, Option<i64>, i64);

fn span_of(at: Time) -> i64 {
    at.milliseconds().div_euclid(SPAN_MS)
}

fn end_of(span: i64) -> i64 {
    (span + 1).saturating_mul(SPAN_MS)
}

/// How many versions of a row there were with this one, from 1.
fn generation(version: Option<Version>) -> i64 {
    version.map_or(1, |version| i64::from(version.generation()).max(1))
}

impl Timers {
    /// Notes which places were found by a look for spans from the first one on, begun at that time.
    fn learn(&mut self, found: &[Noted], looks_back: bool, begun: Instant) {
        if looks_back {
            let found: HashSet<Place> =
                found.iter().map(|(span, part, ..)| (*span, *part)).collect();
            self.known.retain(|place, since| *since > begun || found.contains(place));
            // Of those that are past, whether they are noted is not asked any more.
            let made_ms = self.made_ms.unwrap_or(i64::MIN);
            self.noted.retain(|(span, _)| end_of(*span) > made_ms);
            self.read.clear();
        }
        self.known.extend(found.iter().map(|(span, part, ..)| ((*span, *part), begun)));
    }

    /// Places that may have something due, by span, those of a span together in one piece.
    fn to_be_read(&self, division: &Division, last: i64) -> Vec<Vec<Place>> {
        let mut pieces: Vec<Vec<Place>> = Vec::new();
        let is_read =
            |place: &Place| self.read.get(place).is_some_and(|read| read.from.0 >= end_of(place.0));
        let known = self.known.range(..=(last, i32::MAX)).map(|(place, _)| *place);
        for place in known.filter(|place| division.is_mine(place.1) && !is_read(place)) {
            match pieces.last_mut() {
                Some(piece) if piece.len() < PLACES_AT_ONCE => piece.push(place),
                Some(piece) if piece.last().is_some_and(|(span, _)| *span == place.0) => {
                    piece.push(place);
                }
                _ => pieces.push(vec![place]),
            }
        }
        pieces
    }
}

impl Shared {
    /// The earliest timers before an instant of the parts that fall to this process, so many at the most.
    pub(super) async fn read_due(
        &self,
        division: &Division,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Due>, CqlError> {
        let (last, begun) = (span_of(until), Instant::now());
        let (looks_back, from) = {
            let timers = lock(&self.timers);
            let every = if timers.has_more { LOOK_BACK_MEANWHILE } else { LOOK_BACK_EVERY };
            let looked = timers.looked_back.filter(|looked| looked.elapsed() <= every);
            // Others' clocks are a little behind.
            let from = looked.and(timers.last).map_or(i64::MIN, |seen| seen.min(last) - 1);
            (looked.is_none(), from)
        };
        let statement = &self.statements.timer_spans;
        let spans = self.database.rows::<Noted>("read_timers", statement, (from, last)).await?;
        let pieces = {
            let mut timers = lock(&self.timers);
            timers.learn(&spans, looks_back, begun);
            timers.last = Some(last);
            if looks_back {
                timers.looked_back = Some(begun);
            }
            timers.to_be_read(division, last)
        };
        let noted = spans.iter().filter(|_| looks_back);
        let noted: HashMap<Place, Noted> =
            noted.map(|noted| ((noted.0, noted.1), *noted)).collect();
        let mut due = Vec::new();
        for places in pieces {
            if due.len() >= limit {
                break;
            }
            let found = self.read_places(&places, until, limit).await?;
            let empty = places.iter().zip(&found).filter(|(_, found)| found.is_empty());
            let empty = empty.filter_map(|(place, _)| noted.get(place).copied());
            try_join_all(empty.map(|noted| self.let_go(noted, until))).await?;
            due.extend(found.into_iter().flatten());
        }
        due.sort_unstable();
        due.truncate(limit);
        lock(&self.timers).has_more = due.len() >= limit;
        Ok(due)
    }

    /// What is due in places, by place. What is not among the earliest of all, so many, is not read of each:
    /// users fall to parts evenly, so that seldom is more than twice its share.
    async fn read_places(
        &self,
        places: &[Place],
        until: Time,
        limit: usize,
    ) -> Result<Vec<Vec<Due>>, CqlError> {
        let share = limit.div_ceil(places.len().max(1)).saturating_mul(2).max(SHARE_MIN).min(limit);
        let read = places.iter().map(|place| self.read_place(*place, until, share));
        let mut found = try_join_all(read).await?;
        let mut all: Vec<&Due> = found.iter().flatten().collect();
        all.sort_unstable();
        let last = all.get(limit.saturating_sub(1)).copied().cloned();
        // A place of which all that was read is among the earliest may have more of them.
        let has_more = |found: &[Due]| {
            found.len() >= share && last.as_ref().is_none_or(|last| found.last() <= Some(last))
        };
        let again = places.iter().zip(&mut found);
        let again = again.filter(|(_, found)| share < limit && has_more(found));
        try_join_all(again.map(async |(place, found)| {
            *found = self.read_place(*place, until, limit).await?;
            Ok::<_, CqlError>(())
        }))
        .await?;
        Ok(found)
    }

    async fn read_place(
        &self,
        place: Place,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Due>, CqlError> {
        let from = {
            let mut timers = lock(&self.timers);
            // A row with what is no instant was written by nobody: it is not asked for.
            let begin = (Time::MIN.milliseconds(), String::new(), String::new());
            let begin = Progress { from: begin, is_written: false };
            let progress = timers.read.entry(place).or_insert(begin);
            progress.is_written = false;
            progress.from.clone()
        };
        let until = until.milliseconds();
        let (span, part) = place;
        let (at, workspace, user) = &from;
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (span, part, at, workspace, user, until, limit);
        let statement = &self.statements.timers;
        let rows = self.database.rows::<Position>("read_timers", statement, values).await?;
        let first = rows.first().cloned();
        let first = first.unwrap_or_else(|| (until, String::new(), String::new()));
        if let Some(read) = lock(&self.timers).read.get_mut(&place)
            && !read.is_written
        {
            read.from = first;
        }
        let due = rows.into_iter().filter_map(|(at, workspace, user)| {
            let key = UserKey { workspace: workspace.into(), user: user.into() };
            Some((Time::from_milliseconds(at)?, key))
        });
        Ok(due.collect())
    }

    /// Lets go of a span that is long past and has no timers.
    async fn let_go(
        &self,
        (span, part, noted_us, now_ms): Noted,
        until: Time,
    ) -> Result<(), CqlError> {
        let made_ms = lock(&self.timers).made_ms;
        let (Some(made_ms), Some(noted_us)) = (made_ms, noted_us) else { return Ok(()) };
        let is_past =
            end_of(span).saturating_add(SPAN_KEPT_MS) <= until.milliseconds().min(made_ms);
        if !is_past || now_ms.saturating_sub(noted_us / 1_000) < NOTE_AGE_MS {
            return Ok(());
        }
        {
            let mut timers = lock(&self.timers);
            timers.noted.remove(&(span, part));
            timers.known.remove(&(span, part));
        }
        // What was noted later than that stays. The instant is the database's: by that of a machine whose
        // clock is ahead, notes that are yet to come would be deleted.
        let values = (noted_us, span, part);
        self.database.execute("write_timer", &self.statements.delete_timer_span, values).await?;
        Ok(())
    }

    /// Writes a timer, so that it is found.
    pub(super) async fn write_timer(
        &self,
        at: Time,
        key: &UserKey,
        version: Option<Version>,
    ) -> Result<(), CqlError> {
        let (span, part) = (span_of(at), shard_of(key));
        let order = 2 * generation(version);
        let values = (span, part, at.milliseconds(), &*key.workspace, &*key.user, order);
        loop {
            let begun = Instant::now();
            self.note_span((span, part)).await?;
            self.database.execute("write_timer", &self.statements.write_timer, values).await?;
            if begun.elapsed() <= NOTED_TIME_MAX {
                break;
            }
            lock(&self.timers).noted.remove(&(span, part));
        }
        let mut timers = lock(&self.timers);
        if let Some(read) = timers.read.get_mut(&(span, part)) {
            let written = (at.milliseconds(), key.workspace.to_string(), key.user.to_string());
            *read = Progress { from: written.min(read.from.clone()), is_written: true };
        }
        Ok(())
    }

    async fn note_span(&self, (span, part): Place) -> Result<(), CqlError> {
        {
            let timers = lock(&self.timers);
            // Of a span that is past, somebody may be letting go.
            let is_ahead = timers.made_ms.is_some_and(|made_ms| end_of(span) > made_ms);
            if is_ahead && timers.noted.contains(&(span, part)) {
                return Ok(());
            }
        }
        let values = (span, part);
        self.database.execute("write_timer", &self.statements.write_timer_span, values).await?;
        let mut timers = lock(&self.timers);
        timers.noted.insert((span, part));
        timers.known.insert((span, part), Instant::now());
        Ok(())
    }

    /// Deletes a timer that was written for an earlier version of its user's row.
    pub(super) async fn delete_timer(
        &self,
        at: Time,
        key: &UserKey,
        version: Option<Version>,
    ) -> Result<(), CqlError> {
        let (span, part) = (span_of(at), shard_of(key));
        let order = 2 * generation(version) - 1;
        let values = (order, span, part, at.milliseconds(), &*key.workspace, &*key.user);
        self.database.execute("write_timer", &self.statements.delete_timer, values).await?;
        Ok(())
    }
}
