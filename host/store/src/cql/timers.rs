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
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a span is: what was deleted in it is passed by whenever the rest is read.
const SPAN_MS: i64 = 600_000;
/// Where reading begins, a span is not read from its beginning again until so much later: that finds what
/// others wrote behind that place.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(10);
/// A span is let go of only so long after its end, and only if what was noted of it was noted so long ago:
/// clocks differ, and who notes it may be slow to write the timer.
const SPAN_KEPT_MS: i64 = 600_000;
const NOTE_AGE_MS: i64 = 30_000;
/// How long writing a timer may take after its span was noted, before the span is noted again.
const NOTED_TIME_MAX: Duration = Duration::from_secs(10);

/// What is known of spans and parts.
#[derive(Default)]
pub(super) struct Timers {
    /// Those noted by this process.
    noted: HashSet<(i64, i32)>,
    /// Where reading begins.
    from: HashMap<(i64, i32), i64>,
    looked_back: Option<Instant>,
    /// The machine's clock at the last commit, in milliseconds.
    pub(super) made_ms: Option<i64>,
}

/// A span of a part that has timers, when that was noted, in microseconds, and the database's clock.
type Noted = (i64, i32, Option<i64>, i64);

fn span_of(at: Time) -> i64 {
    at.milliseconds().div_euclid(SPAN_MS)
}

/// How many versions of a row there were with this one, from 1.
fn generation(version: Option<Version>) -> i64 {
    version.map_or(1, |version| i64::from(version.generation()).max(1))
}

impl Shared {
    pub(super) async fn read_due(
        &self,
        division: &Division,
        until: Time,
        limit: usize,
    ) -> Result<Vec<(Time, UserKey)>, CqlError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let looks_back = {
            let mut timers = lock(&self.timers);
            let looks_back =
                timers.looked_back.is_none_or(|looked| looked.elapsed() > LOOK_BACK_EVERY);
            if looks_back {
                timers.looked_back = Some(Instant::now());
                timers.from.clear();
            }
            looks_back
        };
        let last = span_of(until);
        let spans = &self.statements.timer_spans;
        let spans = self.database.rows::<Noted>("read_timers", spans, (last,)).await?;
        let mine = spans.into_iter().filter(|(_, part, ..)| division.is_mine(*part));
        let read = mine.map(|noted| async move {
            let place = (noted.0, noted.1);
            Ok::<_, CqlError>((noted, self.read_span(place, until, limit).await?))
        });
        let mut due = Vec::new();
        for (noted, found) in try_join_all(read).await? {
            if found.is_empty() && looks_back {
                self.let_go(noted, until).await?;
            }
            due.extend(found);
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    async fn read_span(
        &self,
        place: (i64, i32),
        until: Time,
        limit: usize,
    ) -> Result<Vec<(Time, UserKey)>, CqlError> {
        let from = lock(&self.timers).from.get(&place).copied().unwrap_or(i64::MIN);
        let until = until.milliseconds();
        let (span, part) = place;
        let values = (span, part, from, until, i32::try_from(limit).unwrap_or(i32::MAX));
        let statement = &self.statements.timers;
        let rows =
            self.database.rows::<(i64, String, String)>("read_timers", statement, values).await?;
        let first = rows.first().map_or(until, |(at, _, _)| *at);
        lock(&self.timers).from.entry(place).and_modify(|from| *from = first).or_insert(first);
        let due = rows.into_iter().map(|(at, workspace, user)| {
            let at = Time::from_milliseconds(at).ok_or(CqlError::Damaged { table: "timers" })?;
            Ok((at, UserKey { workspace: workspace.into(), user: user.into() }))
        });
        due.collect()
    }

    /// Lets go of a span that is long past and has no timers.
    async fn let_go(
        &self,
        (span, part, noted_us, now_ms): Noted,
        until: Time,
    ) -> Result<(), CqlError> {
        let end = (span + 1).saturating_mul(SPAN_MS);
        let made_ms = lock(&self.timers).made_ms;
        let (Some(made_ms), Some(noted_us)) = (made_ms, noted_us) else { return Ok(()) };
        let is_past = end.saturating_add(SPAN_KEPT_MS) <= until.milliseconds().min(made_ms);
        if !is_past || now_ms.saturating_sub(noted_us / 1_000) < NOTE_AGE_MS {
            return Ok(());
        }
        lock(&self.timers).noted.remove(&(span, part));
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
        if let Some(from) = timers.from.get_mut(&(span, part)) {
            *from = at.milliseconds().min(*from);
        }
        Ok(())
    }

    async fn note_span(&self, (span, part): (i64, i32)) -> Result<(), CqlError> {
        {
            let timers = lock(&self.timers);
            // Of a span that is past, somebody may be letting go.
            let end = (span + 1).saturating_mul(SPAN_MS);
            let is_ahead = timers.made_ms.is_some_and(|made_ms| end > made_ms);
            if is_ahead && timers.noted.contains(&(span, part)) {
                return Ok(());
            }
        }
        let values = (span, part);
        self.database.execute("write_timer", &self.statements.write_timer_span, values).await?;
        lock(&self.timers).noted.insert((span, part));
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
