//! How a source or a sink stands with its brokers.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

/// How a source or a sink stands with its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is waited for: what failed last has worked since.
    Connected,
    /// Something failed, and has not worked since.
    Waiting {
        /// What went wrong last, and with which topic or partition.
        reason: String,
        /// When it first did.
        since: Instant,
    },
}

/// How all parts of a source or a sink stand: each partition, and what else is written to or asked.
pub(crate) struct Standing {
    waiting: Mutex<BTreeMap<Arc<str>, (String, Instant)>>,
    status: watch::Sender<Status>,
}

impl Standing {
    pub(crate) fn new() -> Arc<Standing> {
        let (status, _) = watch::channel(Status::Connected);
        Arc::new(Standing { waiting: Mutex::default(), status })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// A part failed; the first failure of a row says since when.
    pub(crate) fn fails(&self, part: &Arc<str>, reason: String) {
        self.change(|waiting| {
            let since = waiting.get(part).map_or_else(Instant::now, |(_, since)| *since);
            waiting.insert(Arc::clone(part), (reason, since));
            true
        });
    }

    /// A broker did something for a part: it was not only connected to.
    pub(crate) fn works(&self, part: &Arc<str>) {
        self.change(|waiting| waiting.remove(part).is_some());
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, (String, Instant)>) -> bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut waiting) {
            // Under the lock, so that of two changes the later one is told last.
            self.status.send_replace(status(&waiting));
        }
    }
}

fn status(waiting: &BTreeMap<Arc<str>, (String, Instant)>) -> Status {
    let Some((part, (reason, _))) = waiting.first_key_value() else { return Status::Connected };
    let others = match waiting.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let since = waiting.values().map(|(_, since)| *since).min().unwrap_or_else(Instant::now);
    Status::Waiting { reason: format!("`{part}`: {reason}{others}"), since }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_as_long_as_any_part_does() {
        let (standing, one, two) = (Standing::new(), Arc::from("one"), Arc::from("two"));
        let status = standing.subscribe();
        let reason = || match &*status.borrow() {
            Status::Connected => String::new(),
            Status::Waiting { reason, .. } => reason.clone(),
        };
        standing.fails(&two, "away".to_owned());
        standing.fails(&one, "refused".to_owned());
        assert_eq!(reason(), "`one`: refused (and 1 more)");
        standing.works(&one);
        assert_eq!(reason(), "`two`: away");
        standing.works(&two);
        assert_eq!(*status.borrow(), Status::Connected);
    }
}
