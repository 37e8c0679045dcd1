//! The words of case files: times, users, messages in short.

use super::timeline::{IdLimits, UserKey};
use crate::decode::{DEFAULT_WORKSPACE, parse_time as parse_rfc3339};
use muster_core::Time;

/// A message in short, as JSON texts.
pub(super) struct Message {
    user: String,
    /// The other fields of the message, each a key and its JSON.
    fields: Vec<(&'static str, String)>,
    /// The time that the line began with.
    time: Option<String>,
    events: Vec<String>,
}

impl Message {
    /// Reads `[TIME] USER EVENT [{…}] [KEY=…]` or `[TIME] USER sets {…}`.
    pub(super) fn parse(line: &str) -> Result<Message, String> {
        let (time, rest) = take_time(line)?;
        let (user, rest) =
            rest.split_once(' ').ok_or("write `TIME USER EVENT` or `USER sets {…}`")?;
        let mut message = Message {
            user: user.to_string(),
            fields: Vec::new(),
            time: time.clone(),
            events: Vec::new(),
        };
        match rest.strip_prefix("sets ") {
            Some(attributes) => message.set("attributes", attributes),
            None if rest == "appears" => {}
            None => {
                let time =
                    time.ok_or("an event needs a time: write `2026-01-03 09:00` before the user")?;
                message.event(&time, rest)?;
            }
        }
        Ok(message)
    }

    /// Reads `TIME EVENT [{…}] [id=…]`: a further event.
    pub(super) fn add_event(&mut self, line: &str) -> Result<(), String> {
        if let Some(attributes) = line.strip_prefix("sets ") {
            self.set("attributes", attributes);
            return Ok(());
        }
        let (time, rest) = take_time(line)?;
        self.event(&time.ok_or("write the event's time first")?, rest)
    }

    pub(super) fn to_json(&self) -> String {
        let (workspace, user) = match self.user.split_once('/') {
            Some((workspace, user)) => (Some(workspace), user),
            None => (None, &*self.user),
        };
        let mut json = format!("{{\"user\":\"{user}\"");
        if let Some(workspace) = workspace {
            json.push_str(&format!(",\"workspace\":\"{workspace}\""));
        }
        for (key, value) in &self.fields {
            json.push_str(&format!(",\"{key}\":{value}"));
        }
        match &self.time {
            Some(time) if self.events.is_empty() => json.push_str(&format!(",\"time\":\"{time}\"")),
            _ => {}
        }
        if !self.events.is_empty() {
            json.push_str(&format!(",\"events\":[{}]", self.events.join(",")));
        }
        json.push('}');
        json
    }

    fn event(&mut self, time: &str, rest: &str) -> Result<(), String> {
        let (name, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err("name the event after the user".to_string());
        }
        let mut json = format!("{{\"name\":\"{name}\",\"time\":\"{time}\"");
        while !rest.is_empty() {
            if let Some(id) = rest.strip_prefix("id=") {
                let (id, after) = id.split_once(' ').unwrap_or((id, ""));
                json.push_str(&format!(",\"id\":\"{id}\""));
                rest = after;
            } else if let Some(id) = rest.strip_prefix("message=") {
                let (id, after) = id.split_once(' ').unwrap_or((id, ""));
                self.set("id", &format!("\"{id}\""));
                rest = after;
            } else {
                let (key, after) = match rest.strip_prefix("context=") {
                    Some(after) => (Some("context"), after),
                    None => (None, rest),
                };
                let end = braced(after).ok_or_else(|| {
                    format!(
                        "`{rest}` is neither `{{…}}` nor `id=…`, `message=…` or `context={{…}}`"
                    )
                })?;
                match key {
                    Some(key) => self.set(key, &after[..end]),
                    None => {
                        json.push_str(&format!(",\"properties\":{}", quote_keys(&after[..end])))
                    }
                }
                rest = after[end..].trim_start();
            }
        }
        json.push('}');
        self.events.push(json);
        Ok(())
    }

    fn set(&mut self, key: &'static str, json: &str) {
        self.fields.push((key, quote_keys(json)));
    }
}

/// Splits a time off the front of a line, as RFC 3339; none when the line begins with none.
fn take_time(line: &str) -> Result<(Option<String>, &str), String> {
    let starts_like = |text: &str, digits: usize, mark: char| {
        text.len() > digits
            && text.bytes().take(digits).all(|b| b.is_ascii_digit())
            && text[digits..].starts_with(mark)
    };
    if !starts_like(line, 4, '-') {
        return Ok((None, line));
    }
    let (date, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (clock, rest) = match starts_like(rest, 2, ':') {
        true => rest.split_once(' ').unwrap_or((rest, "")),
        false => ("00:00", rest),
    };
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    let time = format!("{date}T{clock}{seconds}Z");
    match parse_rfc3339(&time) {
        Some(_) => Ok((Some(time), rest)),
        None => Err(format!("`{date} {clock}` is not a time: write `2026-01-03 09:00`")),
    }
}

/// A time as case files write it.
pub(super) fn parse_time(text: &str) -> Result<Time, String> {
    let (time, rest) = take_time(text)?;
    let time = time.filter(|_| rest.is_empty()).as_deref().and_then(parse_rfc3339);
    time.ok_or_else(|| format!("`{text}` is not a time: write `2026-01-03 09:00`"))
}

/// `COUNT ids for DURATION`.
pub(super) fn parse_limits(text: &str) -> Result<IdLimits, String> {
    let malformed = || format!("`{text}` is not understood: write `remember 3 ids for 24h`");
    let (count, hours) = text.split_once(" ids for ").ok_or_else(malformed)?;
    let hours: i64 = hours.strip_suffix('h').and_then(|h| h.parse().ok()).ok_or_else(malformed)?;
    let count = count.parse().map_err(|_| malformed())?;
    Ok(IdLimits { horizon_ms: hours * 3_600_000, count })
}

/// A time as short as it can be written.
pub(super) fn time(time: Time) -> String {
    let text = crate::decode::format_time(time);
    let (date, clock) = text.trim_end_matches('Z').split_once('T').unwrap_or((&text, ""));
    let clock = clock.strip_suffix(".000").unwrap_or(clock);
    let clock = clock.strip_suffix(":00").unwrap_or(clock);
    if clock == "00:00" { date.to_string() } else { format!("{date} {clock}") }
}

/// A user, with the workspace when it is not the default.
pub(super) fn user(key: &UserKey) -> String {
    match &*key.workspace {
        DEFAULT_WORKSPACE => key.user.to_string(),
        workspace => format!("{workspace}/{}", key.user),
    }
}

/// Replaces every `<c*N>` by N times that character.
pub(super) fn expand(text: &str) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (inside, after) = after.split_once('>').ok_or("`<` without `>`")?;
        let malformed = || format!("`<{inside}>` is not understood: write `<x*20000>`");
        let (unit, count) = inside.split_once('*').ok_or_else(malformed)?;
        let count: usize = count.parse().map_err(|_| malformed())?;
        expanded.push_str(before);
        expanded.push_str(&unit.repeat(count));
        rest = after;
    }
    Ok(expanded + rest)
}

/// Where the braces that a text begins with close, one past the end.
fn braced(text: &str) -> Option<usize> {
    let (mut depth, mut in_text) = (0, false);
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        match c {
            '"' if before != '\\' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth -= 1,
            _ => {}
        }
        match depth {
            0 if index == 0 => return None,
            0 => return Some(index + 1),
            _ => before = c,
        }
    }
    None
}

/// JSON from a notation that leaves names unquoted: `{amount: 5}`.
fn quote_keys(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let mut json = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '"' => {
                let after = &rest[1..];
                after.find('"').map_or(rest.len(), |at| at + 2)
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(end);
        let is_key = is_word(c) && after.starts_with(':');
        match is_key {
            true => json.push_str(&format!("\"{word}\"")),
            false => json.push_str(word),
        }
        rest = after;
    }
    json
}
