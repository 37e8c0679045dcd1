//! Bytes of state a user.

use super::rig::{Rig, message, user};
use super::{Report, Scale, catalogue};
use crate::store::Store;
use fastrand::Rng;
use muster_core::Settings;

/// Users looked at: enough for a 99th percentile.
const USERS: u64 = 2_000;
/// Events of a user: a few for most, hundreds for some.
const EVENTS_MAX: f64 = 400.0;
const HOUR_MS: i64 = 3_600_000;

pub(super) fn measure(scale: &Scale) -> anyhow::Result<Report> {
    let yaml = catalogue::definitions(1, scale.audiences);
    let title = format!("state of {USERS} users over a year, {} audiences", scale.audiences);
    let mut report = Report::new(title);
    for (name, keep_empty) in [("with the empty-state rule", false), ("without it", true)] {
        let settings = Settings { keep_empty, ..Settings::default() };
        let mut rig = Rig::new(&yaml, settings)?;
        let mut rng = Rng::with_seed(6);
        let mut sent = Vec::new();
        for at in 0..USERS {
            let events = EVENTS_MAX.powf(rng.f64()) as usize;
            sent.extend((0..events).map(|_| (rng.i64(0..365 * 24), at)));
        }
        sent.sort_unstable();
        let mut hour = 0;
        for (at, who) in sent {
            rig.pass((at - hour) * HOUR_MS);
            hour = at;
            let next = message(&mut rng, None, rig.now());
            rig.step(&user(&who.to_string()), next)?;
        }
        let (mut states, mut profiles) = (Vec::new(), Vec::new());
        for at in 0..USERS {
            if let Some(record) = rig.store.user(&user(&at.to_string()))? {
                states.push(record.state.len());
                profiles.push(record.profile.len());
            }
        }
        states.sort_unstable();
        profiles.sort_unstable();
        let quantile =
            |sizes: &[usize], share: f64| sizes[((sizes.len() - 1) as f64 * share) as usize];
        report.add(format!("{name}: median"), quantile(&states, 0.5) as f64, "bytes");
        report.add(format!("{name}: p99"), quantile(&states, 0.99) as f64, "bytes");
        report.add(format!("{name}: sum"), states.iter().sum::<usize>() as f64 / 1e6, "MB");
        if !keep_empty {
            report.add("profile and memberships: median", quantile(&profiles, 0.5) as f64, "bytes");
            report.add("profile and memberships: p99", quantile(&profiles, 0.99) as f64, "bytes");
        }
    }
    Ok(report)
}
