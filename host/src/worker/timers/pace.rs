//! How many timers are fired beside live messages, which wait until a database has answered for all of a
//! turn.

use std::time::Duration;

/// How much longer the commit of a turn may take for its timers.
const SLOWER_MAX: f64 = 1.5;
/// One in so many turns that have messages has no timers, so that it is known how long those take.
const ALONE_EVERY: u32 = 8;
/// How much of what is known of that the last one changes, and by how much at the most: it may have been
/// committed during an outage.
const WEIGHT: f64 = 0.1;
const LONGER_MAX: f64 = 4.0;
/// The number to begin with; what is added to it after a turn that was fast enough, and what remains of it
/// after one that was not.
const BEGIN: f64 = 8.0;
const MORE: f64 = 0.5;
const LESS: f64 = 0.7;

/// Additive increase and multiplicative decrease, as with windows of congestion: what a database can do
/// beside its other work is found out by doing it.
pub(super) struct Pace {
    most: f64,
    /// How long the commit of a turn without timers takes, in seconds, smoothed.
    alone: Option<f64>,
    turns: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { most: BEGIN, alone: None, turns: 0 }
    }
}

impl Pace {
    /// How many timers the next turn may have.
    pub(super) fn most(&mut self, has_messages: bool) -> usize {
        self.turns += u32::from(has_messages);
        if has_messages && self.turns % ALONE_EVERY == 1 {
            return 0;
        }
        self.most as usize
    }

    /// A turn with so many timers was committed in that time.
    pub(super) fn note(&mut self, timers: usize, took: Duration) {
        let took = took.as_secs_f64();
        match self.alone {
            None if timers == 0 => self.alone = Some(took),
            None => {}
            Some(alone) if timers == 0 => {
                let took = took.min(alone * LONGER_MAX);
                self.alone = Some(alone + WEIGHT * (took - alone));
            }
            Some(alone) if took <= alone * SLOWER_MAX => self.most += MORE,
            Some(_) => self.most = (self.most * LESS).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits turns of a database that takes `alone`, and so much longer for each timer, in milliseconds.
    fn settled(alone: f64, each: f64) -> Vec<usize> {
        let mut pace = Pace::default();
        let mut counts = Vec::new();
        for _ in 0..2_000 {
            let timers = pace.most(true);
            pace.note(timers, Duration::from_secs_f64((alone + each * timers as f64) / 1_000.0));
            counts.push(timers);
        }
        counts.split_off(1_000)
    }

    #[test]
    fn as_many_are_fired_as_slow_a_commit_down_by_half() {
        // 20 ms alone, and a half of that for ten timers.
        let counts = settled(20.0, 1.0);
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        assert!(counts.iter().all(|count| *count <= 11), "{counts:?}");
        assert!((6.0..10.0).contains(&mean), "{mean}");
        assert!(settled(20.0, 0.01).iter().any(|count| *count > 400));
    }

    #[test]
    fn one_is_fired_where_each_is_too_many() {
        let counts = settled(20.0, 100.0);
        assert_eq!(counts.iter().max(), Some(&1));
        assert!(counts.iter().filter(|count| **count == 1).count() > 800);
    }

    #[test]
    fn a_turn_without_messages_needs_no_comparison() {
        let mut pace = Pace::default();
        assert_eq!(pace.most(true), 0);
        assert!((0..100).all(|_| pace.most(false) == 8));
    }

    #[test]
    fn an_outage_is_forgotten() {
        let mut pace = Pace::default();
        pace.note(0, Duration::from_millis(20));
        pace.note(0, Duration::from_secs(60));
        assert!(pace.alone.is_some_and(|alone| alone < 0.03), "{:?}", pace.alone);
    }
}
