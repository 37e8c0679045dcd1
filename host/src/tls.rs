//! TLS for the HTTP interface: certificates from files, and handshakes that hold nobody up.

mod listener;

pub use listener::TlsListener;

use crate::config::duration;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What clients may speak on top: that is what is served.
const PROTOCOL: &[u8] = b"http/1.1";

/// Whether the service speaks TLS, and as whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The service's certificate and those that lead from it to its authority; empty for no TLS.
    pub certificates: PathBuf,
    /// The private key of the first of them; empty for no TLS.
    pub key: PathBuf,
    /// How long a handshake may take.
    #[serde(deserialize_with = "duration")]
    pub handshake_time: Duration,
    /// Handshakes under way.
    pub handshakes: usize,
}

/// Why the service cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or not for this user to read.
    #[error("cannot read `{}`: name a file in [http.tls] that the service may read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not PEM.
    #[error("`{}` is not PEM: {reason}: export it as PEM, whole", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where it stops being PEM.
        reason: String,
    },
    /// There is no certificate in the file for certificates.
    #[error(
        "`{}` holds no certificate: put the service's there as PEM, and those of its authorities after it",
        path.display()
    )]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// There is no key in the file for the key.
    #[error(
        "`{}` holds no private key: put the certificate's there as PEM, without a passphrase",
        path.display()
    )]
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// The two were not made together.
    #[error(
        "the key in `{}` is not that of the first certificate in `{}`: put the service's own certificate first, and name its key",
        key.display(), certificates.display()
    )]
    Mismatch {
        /// The file of certificates.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// What is in the files cannot be used.
    #[error(
        "`{}` and `{}` cannot be used: have a certificate made for a key of RSA, ECDSA or Ed25519",
        certificates.display(), key.display()
    )]
    Unusable {
        /// The file of certificates.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl TlsSettings {
    /// Whether the service speaks TLS.
    pub fn is_on(&self) -> bool {
        !self.certificates.as_os_str().is_empty()
    }

    /// Whether these settings fit together.
    ///
    /// # Errors
    /// When they do not: what, and the mend.
    pub fn check(&self) -> Result<(), String> {
        if self.is_on() == self.key.as_os_str().is_empty() {
            return Err(
                "`http.tls` has one of `certificates` and `key`: name both, or neither".to_string()
            );
        }
        if self.handshakes == 0 {
            return Err("`http.tls.handshakes` must be at least 1".to_string());
        }
        Ok(())
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used, or they do not belong together.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificates, key) = (&self.certificates, &self.key);
        let chain = read(certificates)?;
        let chain = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| malformed(certificates, &error))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: certificates.clone() });
        }
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { path: key.clone() },
            error => malformed(key, &error),
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|source| {
                let (certificates, key) = (certificates.clone(), key.clone());
                match source {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        TlsError::Mismatch { certificates, key }
                    }
                    source => TlsError::Unusable { certificates, key, source },
                }
            })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_path_buf(), source })
}

fn malformed(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Malformed { path: path.to_path_buf(), reason: error.to_string() }
}
