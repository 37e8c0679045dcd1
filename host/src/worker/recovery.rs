//! The thread that settles what other processes left half done that are gone: of a store that is shared.

use super::{Shared, Unavailable};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The thread; it ends when this is dropped.
pub(super) struct Recovery {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Recovery {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Recovery> {
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("muster-recovery".to_string());
        let thread = thread.spawn(move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                match recover(&shared) {
                    Ok(()) => {}
                    Err(Unavailable::StoreFailed(reason)) => {
                        tracing::error!(%reason, "cannot settle what others left half done");
                    }
                    Err(_) => return,
                }
            }
        })?;
        Ok(Recovery { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was logged, and ends nothing else.
            drop(thread.join());
        }
    }
}

fn recover(shared: &Shared) -> Result<(), Unavailable> {
    while let Some(committed) = shared.store.recover().map_err(|error| shared.give_up(&error))? {
        shared.sink.tell(&committed.told).map_err(|_| Unavailable::ShuttingDown)?;
        shared.store.settle(&committed).map_err(|error| shared.give_up(&error))?;
        shared.metrics.recovered.inc();
    }
    Ok(())
}
