//! Who may ask for what: bearer tokens with roles, and keys for sending messages.
//!
//! Secrets are random, of 256 bits: nobody can try them all, so that one round of SHA-256 keeps
//! them. A slow hash is for what people make up.

mod secret;

pub use secret::{Secret, SecretHash};

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What stands for all workspaces.
pub const ALL_WORKSPACES: &str = "*";

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
    /// Of what was shown; nothing is asked of anybody by a service that is open.
    shown: Option<SecretHash>,
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
        let tokens = self.tokens.iter().map(|token| (&token.name, &token.workspaces, &token.hash));
        let keys = self.ingest_keys.iter().map(|key| (&key.name, &key.workspaces, &key.hash));
        let mut names = BTreeSet::new();
        let mut owners = BTreeMap::new();
        for (name, workspaces, hash) in tokens.chain(keys) {
            if name.is_empty() {
                return Err("a token or key has an empty `name`: name whose it is".to_string());
            }
            if !names.insert(name) {
                return Err(format!(
                    "two tokens or keys are named `{name}`: give each its own name, by which the log tells them apart"
                ));
            }
            // Which of the two would count is nobody's guess.
            if let Some(other) = owners.insert(hash.to_string(), name) {
                return Err(format!(
                    "`{other}` and `{name}` have the same hash: make a secret for each with `muster token`"
                ));
            }
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
            return Ok(Caller::anybody());
        }
        self.known(SecretHash::of(bearer(header.ok_or(Denied::Missing)?)?))
    }

    /// Who somebody is by these settings whom earlier ones let in.
    ///
    /// # Errors
    /// When nobody knows them any more.
    pub fn recognise(&self, caller: &Caller) -> Result<Caller, Denied> {
        match &caller.shown {
            _ if self.open => Ok(Caller::anybody()),
            Some(shown) => self.known(shown.clone()),
            None => Err(Denied::Missing),
        }
    }

    fn known(&self, shown: SecretHash) -> Result<Caller, Denied> {
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
        let (name, workspaces) = (name.clone(), workspaces.clone());
        Ok(Caller { name, kind, workspaces, shown: Some(shown) })
    }
}

impl Caller {
    fn anybody() -> Caller {
        Caller {
            name: "anybody".to_string(),
            kind: Kind::Anybody,
            workspaces: vec![ALL_WORKSPACES.to_string()],
            shown: None,
        }
    }

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
