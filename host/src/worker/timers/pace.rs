//! How many timers are fired beside live messages, which wait until a database has answered for all of a
//! turn.

use super::{Share, TIMERS_MAX};
use std::time::Duration;

/// How much longer the commits of turns may take for their timers, on average: by half, or by as much
/// as those without timers differ from each other (mean deviation). The slowest of these take several times
/// that longer, so that the slowest messages notice little.
const SLOWER_MAX: f64 = 0.5;
const DEVIATIONS_MAX: f64 = 1.0;
/// Timers are fired in turns of their own, for which there is time where messages do not come in every one. A
/// turn that has messages has timers only after so many turns without.
const ALONE_MAX: u32 = 3;
/// Commits with timers are judged together, so many at a time: single ones differ more than timers make
/// them, and by those the number would fall as often as it rises.
const JUDGED: u32 = 8;
/// How much of what is known of commits without timers the last one changes. One that takes longer than so
/// many times as long counts as that: it may have been committed during an outage.
const WEIGHT: f64 = 0.1;
const LONGER_MAX: f64 = 8.0;
/// The number to begin with, and the least: that a turn has timers at all costs more, in requests one after
/// the other, than so many of them at once.
const LEAST: f64 = 4.0;
/// What the number is multiplied by after commits that were fast enough, and after others.
const MORE: f64 = 1.125;
const LESS: f64 = 0.75;

/// What a database can do beside its other work is found out by doing it, as with windows of congestion, and
/// from smoothed means and mean deviations (Jacobson, 1988).
pub(super) struct Pace {
    most: f64,
    alone: Option<Alone>,
    /// Commits with timers that are yet to be judged, and how long they took together, in seconds.
    judged: (u32, f64),
    /// Turns without timers since the last one with some.
    without: u32,
}

/// How long the commit of a turn without timers takes, in seconds, smoothed.
#[derive(Clone, Copy, Debug)]
struct Alone {
    mean: f64,
    deviation: f64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { most: LEAST, alone: None, judged: (0, 0.0), without: 0 }
    }
}

impl Pace {
    /// How many timers the next turn may have.
    pub(super) fn most(&mut self, has_messages: bool) -> usize {
        if has_messages && self.without < ALONE_MAX {
            self.without += 1;
            return 0;
        }
        self.without = 0;
        self.most as usize
    }

    /// A turn of which timers had that share was committed in that time.
    pub(super) fn note(&mut self, share: Share, took: Duration) {
        let took = took.as_secs_f64();
        let Some(alone) = &mut self.alone else {
            self.alone = (share == Share::Nothing).then_some(Alone { mean: took, deviation: 0.0 });
            return;
        };
        let took = took.min(alone.mean * LONGER_MAX);
        if share == Share::Nothing {
            let differs = took - alone.mean;
            alone.mean += WEIGHT * differs;
            alone.deviation += WEIGHT * (differs.abs() - alone.deviation);
        }
        if share != Share::Full {
            return;
        }
        let (commits, together) = (self.judged.0 + 1, self.judged.1 + took);
        self.judged = (commits, together);
        if commits < JUDGED {
            return;
        }
        self.judged = (0, 0.0);
        let longer = (alone.mean * SLOWER_MAX).max(alone.deviation * DEVIATIONS_MAX);
        match together <= (alone.mean + longer) * f64::from(commits) {
            true => self.most = (self.most * MORE).min(TIMERS_MAX as f64),
            false => self.most = (self.most * LESS).max(LEAST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many timers turns have that have some, of a database that takes `alone`, and so much longer for
    /// each timer, in milliseconds: times what `differs` says.
    fn settled(alone: f64, each: f64, mut differs: impl FnMut() -> f64) -> Vec<usize> {
        let mut pace = Pace::default();
        let mut counts = Vec::new();
        for _ in 0..16_000 {
            let timers = pace.most(true);
            let took = (alone + each * timers as f64) * differs();
            let share = if timers == 0 { Share::Nothing } else { Share::Full };
            pace.note(share, Duration::from_secs_f64(took / 1_000.0));
            counts.extend(Some(timers).filter(|timers| *timers > 0));
        }
        counts.split_off(2_000)
    }

    fn mean(counts: &[usize]) -> f64 {
        counts.iter().sum::<usize>() as f64 / counts.len() as f64
    }

    #[test]
    fn as_many_are_fired_as_slow_a_commit_down_by_half() {
        // 20 ms alone, and a half of that for a hundred timers.
        let counts = settled(20.0, 0.1, || 1.0);
        assert!(counts.iter().all(|count| *count <= 113), "{counts:?}");
        assert!((60.0..100.0).contains(&mean(&counts)), "{}", mean(&counts));
        assert!(settled(20.0, 0.01, || 1.0).iter().any(|count| *count > 400));
    }

    #[test]
    fn commits_that_differ_anyway_are_not_blamed_on_timers() {
        // Exponentially distributed: one in five takes longer than one and a half times the mean.
        let mut random = fastrand::Rng::with_seed(7);
        let counts = settled(20.0, 0.1, || -(1.0 - random.f64()).ln());
        assert!((80.0..300.0).contains(&mean(&counts)), "{}", mean(&counts));
    }

    #[test]
    fn few_are_fired_where_each_is_too_many() {
        let counts = settled(20.0, 100.0, || 1.0);
        assert_eq!(counts.iter().max(), Some(&4));
        assert!(mean(&counts) > 3.0, "{}", mean(&counts));
    }

    #[test]
    fn timers_are_fired_without_messages_and_now_and_then_with_them() {
        let mut pace = Pace::default();
        let least = LEAST as usize;
        let mut turns = |turns: &[bool]| -> Vec<usize> {
            turns.iter().map(|has_messages| pace.most(*has_messages)).collect()
        };
        assert_eq!(turns(&[true, true, true, true, true]), [0, 0, 0, least, 0]);
        assert_eq!(turns(&[false, false, true, true, false]), [least, least, 0, 0, least]);
        assert_eq!(turns(&[true, true, true, true]), [0, 0, 0, least]);
    }

    #[test]
    fn a_few_timers_now_and_then_do_not_tell_what_a_wave_may_have() {
        let mut pace = Pace::default();
        for share in [Share::Nothing, Share::Other, Share::Other].into_iter().cycle().take(10_000) {
            pace.note(share, Duration::from_millis(20));
        }
        assert_eq!(pace.most(false), LEAST as usize);
    }

    #[test]
    fn an_outage_is_forgotten() {
        let mut pace = Pace::default();
        pace.note(Share::Nothing, Duration::from_millis(20));
        pace.note(Share::Nothing, Duration::from_secs(60));
        assert!(pace.alone.is_some_and(|alone| alone.mean < 0.04), "{:?}", pace.alone);
    }
}
