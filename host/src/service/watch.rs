//! What a service looks at again and again: rules that other instances changed, what it waits for.

use crate::api::Service;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes over rules that other instances changed, until it is dropped.
pub(super) async fn follow_rules(service: Arc<Service>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let following = service.clone();
        match tokio::task::spawn_blocking(move || following.follow_rules()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("cannot look for changed rules: {:#}", anyhow::Error::from(error))
            }
            Err(error) => {
                tracing::error!(%error, "looking for changed rules was broken off");
                return;
            }
        }
    }
}

/// Measures whether the store, the source and the sink answer, and whether rules that others put in force
/// are yet to be taken over, until it is dropped.
pub(super) async fn measure_waiting(service: Arc<Service>) {
    loop {
        let waits = |what: &str, does: bool| {
            service.metrics.waiting.with_label_values(&[what]).set(i64::from(does));
        };
        for (what, outage) in service.worker.outages() {
            waits(what, outage.is_some());
        }
        waits("rules", service.is_lagging());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The same of the source, which the service is not ready without.
#[cfg(feature = "pulsar")]
pub(super) async fn measure_source(
    service: Arc<Service>,
    mut status: tokio::sync::watch::Receiver<muster_pulsar::Status>,
) {
    loop {
        let outage = match &*status.borrow_and_update() {
            muster_pulsar::Status::Connected => None,
            muster_pulsar::Status::Waiting { reason, .. } => Some(reason.as_str().into()),
        };
        service.worker.set_source_outage(outage);
        if status.changed().await.is_err() {
            return;
        }
    }
}
