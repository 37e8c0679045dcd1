//! Transitions and memberships as JSON lines.

use crate::decode::format_time;
use crate::store::UserKey;
use muster_core::{Time, Transition, transition_id};
use serde::Serialize;

#[derive(Serialize)]
struct TransitionLine<'a> {
    id: String,
    workspace: &'a str,
    user: &'a str,
    audience: &'a str,
    change: &'static str,
    at: String,
    number: u64,
    cause: &'static str,
    engine: &'static str,
    rules: &'a str,
}

#[derive(Serialize)]
struct MembershipLine<'a> {
    workspace: &'a str,
    user: &'a str,
    audience: &'a str,
    since: String,
}

/// A transition as one line of JSON, without the line's end.
pub fn to_line(key: &UserKey, transition: &Transition) -> Vec<u8> {
    let line = TransitionLine {
        id: transition_id(&key.workspace, &key.user, transition.number),
        workspace: &key.workspace,
        user: &key.user,
        audience: &transition.audience,
        change: transition.change.name(),
        at: format_time(transition.at),
        number: transition.number,
        cause: transition.cause.name(),
        engine: transition.engine.name(),
        rules: &transition.rules,
    };
    // Texts and numbers always serialise.
    serde_json::to_vec(&line).unwrap_or_default()
}

/// A membership as one line of JSON, without the line's end.
pub fn membership_line(key: &UserKey, audience: &str, since: Time) -> String {
    let (workspace, user) = (&*key.workspace, &*key.user);
    let line = MembershipLine { workspace, user, audience, since: format_time(since) };
    serde_json::to_string(&line).unwrap_or_default()
}
