//! The clock that interrupts calls which take too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wasmtime::Engine;

/// How often calls are looked at: fine enough for limits of some ten milliseconds, and rare enough
/// to cost nothing.
const TICK: Duration = Duration::from_millis(5);

/// A thread that moves the engine's epoch on. It ends when this is dropped.
pub(super) struct Ticker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Ticker> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (engine, seen) = (engine.clone(), stopped.clone());
        let thread = thread::Builder::new().name("guest-ticker".into()).spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { stopped, thread: Some(thread) })
    }

    /// How many ticks from now a call of that length has certainly had its time.
    pub(super) fn ticks(time: Duration) -> u64 {
        time.as_millis().div_ceil(TICK.as_millis()) as u64 + 1
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that could panic, and there would be nobody to tell.
            thread.join().unwrap_or_default();
        }
    }
}
