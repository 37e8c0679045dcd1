//! Secrets that nobody can guess, and what is kept of them.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What secrets begin with, so that a scanner for leaked secrets can tell them.
const SECRET_PREFIX: &str = "mst_";
const SECRET_BYTES: usize = 32;
const HASH_PREFIX: &str = "sha256:";
const HASH_BYTES: usize = 32;

/// A secret that was just made.
pub struct Secret(String);

/// What is kept of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretHash([u8; HASH_BYTES]);

impl Secret {
    /// A new one, from the randomness of the operating system.
    ///
    /// # Errors
    /// When that gives none.
    pub fn generate() -> Result<Secret, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Secret(format!("{SECRET_PREFIX}{}", hex(&bytes))))
    }

    /// To be shown once, to who will use it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What to keep of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

impl SecretHash {
    pub(super) fn of(secret: &[u8]) -> SecretHash {
        SecretHash(Sha256::digest(secret).into())
    }

    pub(super) fn is(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl TryFrom<String> for SecretHash {
    type Error = String;

    fn try_from(text: String) -> Result<SecretHash, String> {
        let wrong = || format!("`{text}` is no hash: write the one that `muster token` prints");
        let digits = text.strip_prefix(HASH_PREFIX).ok_or_else(wrong)?.as_bytes();
        if digits.len() != 2 * HASH_BYTES {
            return Err(wrong());
        }
        let mut hash = [0; HASH_BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(wrong);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).map_err(|_| wrong())?;
        }
        Ok(SecretHash(hash))
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
