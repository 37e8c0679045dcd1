//! Who may ask for what: bearer tokens with roles, and keys for sending messages.
//!
//! Secrets are random, of 256 bits: nobody can try them all, so that one round of SHA-256 keeps
//! them. A slow hash is for what people make up.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

/// What stands for all workspaces.
pub const ALL_WORKSPACES: &str = "*";
/// What secrets begin with, so that a scanner for leaked secrets can tell them.
const SECRET_PREFIX: &str = "mst_";
const SECRET_BYTES: usize = 32;
const HASH_PREFIX: &str = "sha256:";
const HASH_BYTES: usize = 32;

/// What a token is for. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes rules.
    Author,
    /// Runs the service.
    Operator,
}

/// Who may ask for what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSettings {
    /// Whether everybody may do everything.
    pub open: bool,
    /// Whether everybody may read the figures.
    pub open_metrics: bool,
    /// Tokens for reading and administration.
    #[serde(default)]
    pub tokens: Vec<Token>,
    /// Keys for sending messages.
    #[serde(default)]
    pub ingest_keys: Vec<IngestKey>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is, for the log.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Where it counts.
    pub workspaces: Vec<String>,
    /// What is kept of its secret.
    pub hash: SecretHash,
}

/// A key for sending messages, without its secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestKey {
    /// Whose it is, for the log.
    pub name: String,
    /// Whose messages it may send.
    pub workspaces: Vec<String>,
    /// What is kept of its secret.
    pub hash: SecretHash,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    kind: Kind,
    workspaces: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nobody in particular, of a service that is open.
    Anybody,
    Token(Role),
    IngestKey,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("no token: send the header `authorization: Bearer <token>`")]
    Missing,
    /// What was shown is no bearer token.
    #[error("the header `authorization` is malformed: write `Bearer <token>`, once")]
    Malformed,
    /// Nobody knows it.
    #[error("this token is not known: make one with `muster token`, and add it to [access]")]
    Unknown,
    /// It is for less.
    #[error("`{name}` is {had}, and this needs {needed}: use a token of that role")]
    Role {
        /// Whose token.
        name: String,
        /// What it is for.
        had: &'static str,
        /// What would do.
        needed: &'static str,
    },
    /// It is for another workspace.
    #[error("`{name}` does not cover workspace `{workspace}`: use a token or key that does")]
    Workspace {
        /// Whose token.
        name: String,
        /// Which it would have to cover.
        workspace: String,
    },
}

/// A secret that was just made.
pub struct Secret(String);

/// What is kept of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretHash([u8; HASH_BYTES]);

impl Role {
    /// As it is called in settings.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Author => "author",
            Role::Operator => "operator",
        }
    }
}

impl AccessSettings {
    /// Whether these settings make sense where the service listens.
    ///
    /// # Errors
    /// When they do not: what, and the mend.
    pub fn check(&self, listen: SocketAddr) -> Result<(), String> {
        if self.open && !listen.ip().is_loopback() {
            return Err(format!(
                "`access.open` lets everybody in, and `{listen}` is reached from elsewhere: listen on 127.0.0.1, or make tokens"
            ));
        }
        let tokens = self.tokens.iter().map(|token| (&token.name, &token.workspaces));
        let keys = self.ingest_keys.iter().map(|key| (&key.name, &key.workspaces));
        for (name, workspaces) in tokens.chain(keys) {
            if workspaces.is_empty() {
                return Err(format!(
                    "`workspaces` of `{name}` is empty: name some, or write `[\"*\"]` for all"
                ));
            }
        }
        Ok(())
    }

    /// Who shows this header.
    ///
    /// # Errors
    /// When nobody known does.
    pub fn caller(&self, header: Option<&[u8]>) -> Result<Caller, Denied> {
        if self.open {
            let workspaces = vec![ALL_WORKSPACES.to_string()];
            return Ok(Caller { name: "anybody".to_string(), kind: Kind::Anybody, workspaces });
        }
        let shown = SecretHash::of(bearer(header.ok_or(Denied::Missing)?)?);
        let tokens = self
            .tokens
            .iter()
            .map(|token| (&token.hash, &token.name, Kind::Token(token.role), &token.workspaces));
        let keys = self
            .ingest_keys
            .iter()
            .map(|key| (&key.hash, &key.name, Kind::IngestKey, &key.workspaces));
        // All are compared, so that the time does not tell which it was.
        let mut found = None;
        for (hash, name, kind, workspaces) in tokens.chain(keys) {
            if hash.is(&shown) {
                found = Some((name, kind, workspaces));
            }
        }
        let (name, kind, workspaces) = found.ok_or(Denied::Unknown)?;
        Ok(Caller { name: name.clone(), kind, workspaces: workspaces.clone() })
    }
}

impl Caller {
    /// What it is called in settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it counts in a workspace; `*` asks for all of them.
    pub fn covers(&self, workspace: &str) -> bool {
        self.workspaces.iter().any(|covered| covered == ALL_WORKSPACES || covered == workspace)
    }

    /// Lets those go on who have a role in a workspace.
    ///
    /// # Errors
    /// When the caller has not.
    pub fn require(&self, needed: Role, workspace: &str) -> Result<(), Denied> {
        match self.kind {
            Kind::Anybody => {}
            Kind::Token(had) if had >= needed => {}
            Kind::Token(_) | Kind::IngestKey => return Err(self.lacks(needed.name())),
        }
        if self.covers(workspace) {
            return Ok(());
        }
        Err(Denied::Workspace { name: self.name.clone(), workspace: workspace.to_string() })
    }

    /// Lets those go on who may send messages; of which workspaces, each message shows.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn require_ingest(&self) -> Result<(), Denied> {
        match self.kind {
            Kind::Anybody | Kind::IngestKey => Ok(()),
            Kind::Token(_) => Err(self.lacks("an ingest key")),
        }
    }

    fn lacks(&self, needed: &'static str) -> Denied {
        let had = match self.kind {
            Kind::Anybody => "anybody",
            Kind::Token(role) => role.name(),
            Kind::IngestKey => "an ingest key",
        };
        Denied::Role { name: self.name.clone(), had, needed }
    }
}

impl Denied {
    /// Whether it is unknown who asks, rather than known that they may not.
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self, Denied::Missing | Denied::Malformed | Denied::Unknown)
    }

    /// The reason, as it is counted.
    pub fn label(&self) -> &'static str {
        match self {
            Denied::Missing => "missing",
            Denied::Malformed => "malformed",
            Denied::Unknown => "unknown",
            Denied::Role { .. } => "role",
            Denied::Workspace { .. } => "workspace",
        }
    }
}

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
    fn of(secret: &[u8]) -> SecretHash {
        SecretHash(Sha256::digest(secret).into())
    }

    fn is(&self, other: &SecretHash) -> bool {
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

/// The token of an `authorization` header. The scheme's case does not matter, by RFC 9110.
fn bearer(header: &[u8]) -> Result<&[u8], Denied> {
    let space = header.iter().position(|byte| *byte == b' ').ok_or(Denied::Malformed)?;
    let (scheme, token) = (&header[..space], header[space..].trim_ascii());
    let is_token = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    match scheme.eq_ignore_ascii_case(b"bearer") && is_token {
        true => Ok(token),
        false => Err(Denied::Malformed),
    }
}
