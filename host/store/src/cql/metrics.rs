//! What is measured of the database's answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Takes how long a kind of request took, from being made to being answered.
type Observe = dyn Fn(&'static str, Duration) + Send + Sync;

/// Takes what is measured.
#[derive(Clone)]
pub struct CqlMetrics(Arc<Observe>);

impl CqlMetrics {
    /// Measurements that go to a function: the kind of the request, and how long it took.
    pub fn new(observe: impl Fn(&'static str, Duration) + Send + Sync + 'static) -> CqlMetrics {
        CqlMetrics(Arc::new(observe))
    }

    pub(super) fn observe(&self, kind: &'static str, took: Duration) {
        (self.0)(kind, took);
    }
}

impl Default for CqlMetrics {
    fn default() -> CqlMetrics {
        CqlMetrics::new(|_, _| {})
    }
}

impl fmt::Debug for CqlMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CqlMetrics")
    }
}
