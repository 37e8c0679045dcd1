//! Keys of the tables: in the order in which they are read, none a prefix of another's part.
//!
//! Workspaces, users and event names hold no NUL, so a NUL ends them and sorts before every other
//! byte. Numbers are big-endian, those with a sign with the sign flipped.

use crate::UserKey;
use muster_core::{AudienceKey, Time};
use std::sync::Arc;

/// Bytes of an instant or a number.
const NUMBER: usize = 8;

pub(super) fn user(key: &UserKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.workspace.len() + key.user.len() + 2 + 3 * NUMBER);
    put_user(&mut out, key);
    out
}

pub(super) fn users_prefix(workspace: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(workspace.len() + 1);
    put_part(&mut out, workspace);
    out
}

pub(super) fn put_user(out: &mut Vec<u8>, key: &UserKey) {
    put_part(out, &key.workspace);
    put_part(out, &key.user);
}

/// All history of a user, or what of it has that name.
pub(super) fn history_prefix(key: &UserKey, event: Option<&str>) -> Vec<u8> {
    let mut out = user(key);
    if let Some(event) = event {
        put_part(&mut out, event);
    }
    out
}

pub(super) fn history(prefix: &[u8], time: Time, number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + 2 * NUMBER);
    out.extend_from_slice(prefix);
    out.extend_from_slice(&ordered(time));
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// Makes a row's key of its user's.
pub(super) fn put_history(out: &mut Vec<u8>, event: &str, time: Time, number: u64) {
    put_part(out, event);
    out.extend_from_slice(&ordered(time));
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn members_prefix(workspace: &str, audience: AudienceKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(workspace.len() + 1 + NUMBER);
    put_part(&mut out, workspace);
    out.extend_from_slice(&audience.bits().to_be_bytes());
    out
}

pub(super) fn member(workspace: &str, audience: AudienceKey, user: &str) -> Vec<u8> {
    let mut out = members_prefix(workspace, audience);
    put_part(&mut out, user);
    out
}

pub(super) fn put_timer(out: &mut Vec<u8>, due: Time, key: &UserKey) {
    out.extend_from_slice(&ordered(due));
    put_user(out, key);
}

pub(super) fn outbox(workspace: &str, sequence: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(workspace.len() + 1 + NUMBER);
    put_part(&mut out, workspace);
    out.extend_from_slice(&sequence.to_be_bytes());
    out
}

/// The sequence number that a key of the outbox ends with.
pub(super) fn outbox_sequence(key: &[u8]) -> Option<u64> {
    key.last_chunk::<NUMBER>().map(|number| u64::from_be_bytes(*number))
}

/// A figure that is kept for each workspace.
pub(super) fn per_workspace(figure: &str, workspace: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(figure.len() + workspace.len() + 2);
    put_part(&mut out, figure);
    put_part(&mut out, workspace);
    out
}

/// Up to when events are gone, of a workspace, by name.
pub(super) fn forgotten_prefix(workspace: &str) -> Vec<u8> {
    per_workspace("forgotten", workspace)
}

pub(super) fn forgotten(workspace: &str, event: &str) -> Vec<u8> {
    let mut out = forgotten_prefix(workspace);
    put_part(&mut out, event);
    out
}

/// An instant as bytes that sort as instants do.
pub(super) fn ordered(time: Time) -> [u8; NUMBER] {
    (time.milliseconds() as u64 ^ (1 << 63)).to_be_bytes()
}

fn put_part(out: &mut Vec<u8>, part: &str) {
    assert!(!part.is_empty() && !part.contains('\0'), "a part of a key is text without NUL");
    out.extend_from_slice(part.as_bytes());
    out.push(0);
}

/// Takes a key apart, from the front. Every part is `None` when the key is not of that form.
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl Parts<'_> {
    pub(super) fn text(&mut self) -> Option<Arc<str>> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?.into();
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    pub(super) fn user(&mut self) -> Option<UserKey> {
        Some(UserKey { workspace: self.text()?, user: self.text()? })
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<NUMBER>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    pub(super) fn time(&mut self) -> Option<Time> {
        Time::from_milliseconds((self.number()? ^ (1 << 63)) as i64)
    }
}
