//! Certificates made for a test, and a client that speaks TLS.

use crate::http::{Answer, connect, receive, written};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// Whom clients trust.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for this machine, and its key; gives the certificate.
    pub(crate) fn issue(&self, folder: &Path) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = format!("{}{}", certificate.pem(), self.0.pem());
        fs::write(folder.join("certificates.pem"), chain).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// A client that trusts this authority and no other.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(client)
    }
}

pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A connection on which TLS is agreed.
pub(crate) fn secured(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<Secured> {
    let mut tcp = connect(address);
    let mut tls = ClientConnection::new(client.clone(), address.ip().into()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

pub(crate) fn get(address: SocketAddr, client: &Arc<ClientConfig>, path: &str) -> Answer {
    let mut stream = secured(address, client).unwrap();
    stream.write_all(written("GET", path, "", "").as_bytes()).unwrap();
    receive(stream)
}
