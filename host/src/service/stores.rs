//! The store that settings name.

use crate::config::{StoreKind, StoreSettings};
use crate::metrics::Metrics;
#[cfg(feature = "cql")]
use crate::store::{CqlMetrics, CqlSettings, CqlStore};
use crate::store::{EmbeddedStore, Store, StoreOptions};
#[cfg(any(feature = "cql", feature = "pulsar"))]
use anyhow::Context;
#[cfg(any(feature = "cql", feature = "pulsar"))]
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the store that settings name. Not to be called where waiting is not allowed.
///
/// # Errors
/// When it cannot be opened.
pub fn open_store(
    settings: &StoreSettings,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match settings.kind {
        StoreKind::Embedded => {
            let options = StoreOptions { cache_bytes: settings.cache_bytes };
            Arc::new(EmbeddedStore::open(&settings.path, options)?)
        }
        #[cfg(feature = "cql")]
        StoreKind::Cql => {
            let of_operation = metrics.cql.clone();
            let observe = CqlMetrics::new(move |operation, took| {
                of_operation.with_label_values(&[operation]).observe(took.as_secs_f64());
            });
            Arc::new(CqlStore::open(&cql_settings(settings)?, observe)?)
        }
        #[cfg(not(feature = "cql"))]
        StoreKind::Cql => {
            drop(metrics.clone());
            anyhow::bail!("this build knows no CQL: build with `--features cluster`")
        }
    })
}

/// How the database is reached.
///
/// # Errors
/// When the password cannot be read.
#[cfg(feature = "cql")]
pub fn cql_settings(settings: &StoreSettings) -> anyhow::Result<CqlSettings> {
    let cql = &settings.cql;
    let user = match cql.user.is_empty() {
        true => None,
        false => Some((cql.user.clone(), read_secret(&cql.password_file)?)),
    };
    Ok(CqlSettings {
        nodes: cql.nodes.clone(),
        datacenter: Some(cql.datacenter.clone()).filter(|name| !name.is_empty()),
        keyspace: cql.keyspace.clone(),
        replication: cql.replication.clone(),
        user,
        authority: named(&cql.authority),
        consistency: cql.consistency.clone(),
        serial_consistency: cql.serial_consistency.clone(),
        request_time: cql.request_time,
        in_flight_max: cql.in_flight_max,
        silence_max: cql.silence_max,
    })
}

/// A path, if there is one.
#[cfg(any(feature = "cql", feature = "pulsar"))]
pub(super) fn named(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_path_buf())
}

/// A secret as it lies in a file, without a line's end.
#[cfg(any(feature = "cql", feature = "pulsar"))]
pub(super) fn read_secret(path: &Path) -> anyhow::Result<String> {
    let secret = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read a secret from `{}`", path.display()))?;
    Ok(secret.trim_end_matches(['\r', '\n']).to_string())
}
