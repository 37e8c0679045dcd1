//! How long events are kept: written with each row, and remembered, so that it can be told which are gone.
//! Of those that came from another store, that store told which were.

use super::error::CqlError;
use super::{Shared, lock};
use futures_util::future::try_join_all;
use muster_core::{Arrival, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The longest time to live that CQL takes, 20 years, in seconds. What is kept for longer is kept for ever.
const TTL_MAX_S: i64 = 20 * 365 * 86_400;
/// Where instants, in milliseconds, count from as the order of writes, in microseconds: all of them lie before
/// now then, as ScyllaDB demands.
const ORDER_FROM: i64 = 1 << 50;

/// What is known to be written, by workspace and event name.
#[derive(Default)]
pub(super) struct Kept {
    /// For how many milliseconds events are kept that are written now.
    spans: HashMap<(Arc<str>, Arc<str>), i64>,
    /// The earliest event.
    first: HashMap<(Arc<str>, Arc<str>), i64>,
}

/// The seconds that a row has to live, from the latest of its events on; 0 when it is kept for ever.
pub(super) fn ttl_s(row: &[Arrival], kept_ms: Option<i64>, clock: Time) -> i32 {
    let Some(kept_ms) = kept_ms else { return 0 };
    let latest = row.last().map_or(clock, |arrival| arrival.event.time).milliseconds();
    let left_ms = latest.saturating_add(kept_ms).saturating_sub(clock.milliseconds());
    let left_s = left_ms.div_euclid(1_000).saturating_add(1).max(1);
    if left_s > TTL_MAX_S { 0 } else { i32::try_from(left_s).unwrap_or(0) }
}

impl Shared {
    /// Remembers for how long events that are being written are kept, and which is the earliest, by
    /// workspace and name.
    pub(super) async fn note_kept<'a>(
        &self,
        arrivals: impl Iterator<Item = (&'a Arc<str>, &'a Arrival)>,
        kept_ms: &HashMap<(Arc<str>, Arc<str>), i64>,
        clock: Time,
    ) -> Result<(), CqlError> {
        let mut firsts: BTreeMap<(Arc<str>, Arc<str>), i64> = BTreeMap::new();
        for (workspace, arrival) in arrivals {
            let name = (workspace.clone(), arrival.event.name.clone());
            if !kept_ms.contains_key(&name) {
                continue;
            }
            let time = arrival.event.time.milliseconds();
            firsts.entry(name).and_modify(|first| *first = time.min(*first)).or_insert(time);
        }
        for (name, first) in firsts {
            let (workspace, event) = (&*name.0, &*name.1);
            let known = lock(&self.kept).first.get(&name).copied();
            if known.is_none_or(|known| first < known) {
                // Of several, the earliest stays.
                let values = (workspace, event, first, ORDER_FROM - first);
                self.database.execute("write_kept", &self.statements.write_begun, values).await?;
                lock(&self.kept).first.insert(name.clone(), first);
            }
            let span = kept_ms[&name];
            if lock(&self.kept).spans.get(&name) != Some(&span) {
                let values = (workspace, event, clock.milliseconds(), span);
                self.database.execute("write_kept", &self.statements.write_kept, values).await?;
                lock(&self.kept).spans.insert(name, span);
            }
        }
        Ok(())
    }

    /// Remembers up to when events were gone where they came from; of several instants, the latest stays.
    pub(super) async fn note_forgotten(
        &self,
        forgotten: HashMap<(Arc<str>, Arc<str>), Time>,
    ) -> Result<(), CqlError> {
        let statement = &self.statements.write_forgotten;
        try_join_all(forgotten.iter().map(|((workspace, event), until)| {
            let until = until.milliseconds();
            let values = (&**workspace, &**event, until, ORDER_FROM + until);
            self.database.execute("write_kept", statement, values)
        }))
        .await?;
        Ok(())
    }

    /// Up to when events are gone by now, by name.
    pub(super) async fn read_forgotten(
        &self,
        workspace: &str,
    ) -> Result<Vec<(Arc<str>, Time)>, CqlError> {
        let (kept, begun) = (&self.statements.kept, &self.statements.begun);
        let forgotten = &self.statements.forgotten;
        let spans =
            self.database.rows::<(String, i64, i64)>("read_kept", kept, (workspace,)).await?;
        let begun = self.database.rows::<(String, i64)>("read_kept", begun, (workspace,)).await?;
        let forgotten =
            self.database.rows::<(String, i64)>("read_kept", forgotten, (workspace,)).await?;
        let mut by_name: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        for (event, since, kept_ms) in spans {
            by_name.entry(event).or_default().push((since, kept_ms));
        }
        let now = self.clock().milliseconds();
        let mut forgotten: BTreeMap<String, i64> = forgotten.into_iter().collect();
        for (event, first) in begun {
            let spans = by_name.remove(&event).unwrap_or_default();
            if let Some(until) = gone_until(&spans, now).filter(|until| *until > first) {
                let known = forgotten.entry(event).or_insert(until);
                *known = until.max(*known);
            }
        }
        let until = |(event, until): (String, i64)| {
            Time::from_milliseconds(until).map(|until| (event.into(), until))
        };
        Ok(forgotten.into_iter().filter_map(until).collect())
    }
}

/// Up to when events are gone: those written while a span was in force live as long as it said, and were
/// written before the next one was.
fn gone_until(spans: &[(i64, i64)], now: i64) -> Option<i64> {
    let ends = spans.iter().skip(1).map(|(since, _)| *since).chain([now]);
    spans.iter().zip(ends).map(|((_, kept_ms), end)| now.saturating_sub(*kept_ms).min(end)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::Event;

    #[test]
    fn events_are_gone_by_the_span_that_they_were_written_under() {
        assert_eq!(gone_until(&[], 100), None);
        assert_eq!(gone_until(&[(0, 30)], 100), Some(70));
        // Longer from 50 on: what came before that is gone by the shorter one, at most until then.
        assert_eq!(gone_until(&[(0, 30), (50, 90)], 60), Some(30));
        assert_eq!(gone_until(&[(0, 30), (50, 90)], 100), Some(50));
        assert_eq!(gone_until(&[(0, 30), (50, 90)], 200), Some(110));
    }

    #[test]
    fn a_row_lives_until_its_latest_event_is_past_what_is_kept() {
        let at = |milliseconds| Time::from_milliseconds(milliseconds).unwrap();
        let arrival = |number, time| {
            let (name, context) = ("e".into(), Arc::default());
            let event = Event { name, time: at(time), id: None, properties: Vec::new(), context };
            Arrival { number, event: Arc::new(event) }
        };
        let row = [arrival(1, 10_000), arrival(2, 20_000)];
        assert_eq!(ttl_s(&row, None, at(0)), 0);
        assert_eq!(ttl_s(&row, Some(5_000), at(20_000)), 6);
        assert_eq!(ttl_s(&row, Some(5_000), at(99_000)), 1);
        assert_eq!(ttl_s(&row, Some(i64::MAX), at(0)), 0);
    }
}
