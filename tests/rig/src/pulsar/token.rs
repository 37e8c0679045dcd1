//! Tokens as Pulsar takes them: JSON Web Tokens signed with HMAC-SHA-256 (RFC 7519, RFC 2104).
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The role that may do everything.
pub(crate) const ADMINISTRATOR: &str = "administrator";

const BLOCK_BYTES: usize = 64;

/// The secret as a broker's `tokenSecretKey`.
pub(crate) fn key(secret: &[u8; 32]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    format!("data:;base64,{encoded}")
}

/// A token without an end for `role`.
pub(crate) fn token(secret: &[u8; 32], role: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{role}"}}"#));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(authenticate(secret, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn authenticate(secret: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK_BYTES];
        block.iter_mut().zip(secret).for_each(|(block, secret)| *block ^= secret);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}
