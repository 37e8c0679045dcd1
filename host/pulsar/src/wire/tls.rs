//! The encrypted way to a broker.
use std::{io, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Settles which cryptography TLS uses where nobody has chosen yet.
///
/// The `pulsar` crate leaves that to rustls, which panics where more than one is built in; and another
/// crate of the same program may build in another.
pub(crate) fn settle() {
    if crypto::CryptoProvider::get_default().is_none() {
        // It fails when somebody else was faster, which is as good.
        crypto::ring::default_provider().install_default().ok();
    }
}

/// Speaks TLS to `host`, whose certificate a public authority signed or that of the PEM file.
pub(crate) async fn secure(
    stream: TcpStream,
    host: &str,
    authority: Option<&Path>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authority {
        let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
        for certificate in certificates {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_finds_cryptography_that_was_chosen() {
        settle();
        assert!(crypto::CryptoProvider::get_default().is_some());
    }
}
