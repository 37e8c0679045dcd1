//! Certificates for servers that speak TLS.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate for `127.0.0.1` and what it rests on, each a PEM file.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, and that of its authority.
    pub chain: PathBuf,
    /// Its key, in PKCS #8.
    pub key: PathBuf,
    /// Its authority.
    pub authority: PathBuf,
    /// An authority that has signed nothing.
    pub stranger: PathBuf,
}

impl Identity {
    /// Writes them into a folder.
    pub fn issue(folder: &Path) -> Result<Identity> {
        let file = |name: &str| folder.join(name);
        let identity = Identity {
            chain: file("chain.pem"),
            key: file("key.pem"),
            authority: file("authority.pem"),
            stranger: file("stranger.pem"),
        };
        let (authority, key) = (authority()?, KeyPair::generate()?);
        let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, &authority)?;
        fs::write(&identity.chain, certificate.pem() + &authority.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        fs::write(&identity.authority, authority.pem())?;
        fs::write(&identity.stranger, self::authority()?.pem())?;
        Ok(identity)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
