//! From bytes at the edge to messages: the native format.
//!
//! The event is the unit that is refused: its neighbours count. A bad field of the message refuses
//! the message.

mod value;

pub use value::parse_time;

use muster_core::{Event, Fields, Message, Time, Value};
use serde_json::value::RawValue;
use std::sync::Arc;
use value::{Object, Reason, attribute, fields, identity, list, object, text, time};

/// Bytes of one message: room for a thousand events, far from filling memory.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes that a message may take where it is kept, which context that many events share takes more than
/// once: databases take some 16 MiB in one write.
pub const MESSAGE_WEIGHT_MAX: usize = 4 << 20;
/// Events of one message: a user's batch is evaluated whole, and must stay short.
pub const MESSAGE_EVENTS_MAX: usize = 1_000;
/// Bytes of a workspace's or a user's id: they are part of every stored key.
pub const ID_BYTES_MAX: usize = 256;
/// What messages and their events are read for.
const MESSAGE_KEYS: &[&str] =
    &["workspace", "user", "id", "time", "identities", "attributes", "context", "events"];
const EVENT_KEYS: &[&str] = &["name", "time", "id", "properties"];
/// What some editors begin texts with (Unicode 16, section 23.8).
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The workspace of a message that names none.
pub const DEFAULT_WORKSPACE: &str = "default";

/// A message, and what of it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The tenant.
    pub workspace: Arc<str>,
    /// The user.
    pub user: Arc<str>,
    /// What is left of the message; none when nothing is.
    pub message: Option<Message>,
    /// Its events that were refused.
    pub refused: Vec<Refusal>,
    /// How many keys of it nobody knows.
    pub unknown_keys: u64,
}

/// Why a message, or an event of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Where in the message: `events[3].time`, or nothing for the message as a whole.
    pub position: String,
    /// One line, lowercase, with the mend.
    pub reason: String,
}

impl Refusal {
    /// Of a message whose user cannot be decided.
    pub(crate) fn of_user(reason: &str) -> Refusal {
        Refusal { position: "user".to_string(), reason: reason.to_string() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position.as_str() {
            "" => f.write_str(&self.reason),
            position => write!(f, "{position}: {}", self.reason),
        }
    }
}

/// Reads one message.
///
/// `latest` is the latest time that an event may have; none where there is no future.
///
/// # Errors
/// When the message as a whole is refused.
pub fn decode(json: &[u8], latest: Option<Time>) -> Result<Decoded, Refusal> {
    let whole = |reason: Reason| Refusal { position: String::new(), reason };
    if json.len() > MESSAGE_BYTES_MAX {
        let size = json.len();
        return Err(whole(format!(
            "message of {size} bytes is too large: send at most {MESSAGE_BYTES_MAX}"
        )));
    }
    let top: Object<'_> =
        serde_json::from_slice(json).map_err(|error| whole(not_a_message(&error)))?;
    let at = |key: &str| {
        let position = key.to_string();
        move |reason: Reason| Refusal { position, reason }
    };
    let mut decoded = Decoded {
        workspace: DEFAULT_WORKSPACE.into(),
        user: "".into(),
        message: None,
        refused: Vec::new(),
        unknown_keys: 0,
    };
    let mut message = Message::default();
    let mut context = Arc::new(Fields::new());
    let mut events: Vec<&RawValue> = Vec::new();
    let mut given = Given::default();
    for (key, raw) in top.0 {
        given.once(MESSAGE_KEYS, &key).map_err(at(&key))?;
        match &*key {
            "workspace" => decoded.workspace = id(raw).map_err(at("workspace"))?,
            "user" => decoded.user = id(raw).map_err(at("user"))?,
            "id" => message.id = optional(raw, text).map_err(at("id"))?,
            "time" => message.time = optional(raw, time).map_err(at("time"))?,
            "identities" => message.identities = object(raw, identity).map_err(at("identities"))?,
            "attributes" => {
                message.attributes = object(raw, attribute).map_err(at("attributes"))?
            }
            "context" => context = Arc::new(fields(raw).map_err(at("context"))?),
            "events" => events = list(raw).map_err(at("events"))?,
            _ => decoded.unknown_keys += 1,
        }
    }
    if decoded.user.is_empty() {
        return Err(at("user")("missing: name the user".to_string()));
    }
    if events.len() > MESSAGE_EVENTS_MAX {
        let reason = format!("too many events: send at most {MESSAGE_EVENTS_MAX} in a message");
        return Err(at("events")(reason));
    }
    if let Some(time) = message.time {
        check_future(time, latest).map_err(at("time"))?;
    }
    for (index, raw) in events.iter().enumerate() {
        match event(raw, &context, latest) {
            Ok((event, unknown)) => {
                decoded.unknown_keys += unknown;
                message.events.push(Arc::new(event));
            }
            Err(refusal) => {
                let dot = if refusal.position.is_empty() { "" } else { "." };
                let position = format!("events[{index}]{dot}{}", refusal.position);
                decoded.refused.push(Refusal { position, ..refusal });
            }
        }
    }
    let weight = message.weight();
    if weight > MESSAGE_WEIGHT_MAX {
        return Err(at("context")(format!(
            "takes {weight} bytes beside events of so many names and hours, of at most \
             {MESSAGE_WEIGHT_MAX}: send them in several messages"
        )));
    }
    let nothing_left = !decoded.refused.is_empty()
        && message.events.is_empty()
        && message.attributes.is_empty()
        && message.identities.is_empty();
    decoded.message = (!nothing_left).then_some(message);
    Ok(decoded)
}

fn event(
    raw: &RawValue,
    context: &Arc<Fields>,
    latest: Option<Time>,
) -> Result<(Event, u64), Refusal> {
    let at = |key: &str| {
        let position = key.to_string();
        move |reason: Reason| Refusal { position, reason }
    };
    let object: Object<'_> = serde_json::from_str(raw.get())
        .map_err(|_| at("")(format!("{} is not an event: write an object", value::shown(raw))))?;
    let (mut name, mut when, mut id, mut properties) = (None, None, None, Fields::new());
    let mut unknown = 0;
    let mut given = Given::default();
    for (key, raw) in object.0 {
        given.once(EVENT_KEYS, &key).map_err(at(&key))?;
        match &*key {
            "name" => name = Some(text(raw).map_err(at("name"))?),
            "time" => when = Some(time(raw).map_err(at("time"))?),
            "id" => id = optional(raw, text).map_err(at("id"))?,
            "properties" => properties = fields(raw).map_err(at("properties"))?,
            _ => unknown += 1,
        }
    }
    let name = name.filter(|name: &Arc<str>| !name.is_empty());
    let name = name.ok_or_else(|| at("name")("missing: name the event".to_string()))?;
    if name.contains('\0') {
        return Err(at("name")("a NUL is not allowed in an event's name".to_string()));
    }
    let missing = || at("time")("missing: write RFC 3339 or milliseconds since 1970".to_string());
    let time = when.ok_or_else(missing)?;
    check_future(time, latest).map_err(at("time"))?;
    Ok((Event { name, time, id, properties, context: context.clone() }, unknown))
}

/// Which keys were given: of two users nobody could say who was meant.
#[derive(Default)]
struct Given(u8);

impl Given {
    fn once(&mut self, keys: &[&str], key: &str) -> Result<(), Reason> {
        let bit = keys.iter().position(|known| *known == key).map_or(0, |at| 1 << at);
        if self.0 & bit != 0 {
            return Err("given twice: write it once".to_string());
        }
        self.0 |= bit;
        Ok(())
    }
}

/// What is null is absent.
fn optional<T>(
    raw: &RawValue,
    read: impl Fn(&RawValue) -> Result<T, Reason>,
) -> Result<Option<T>, Reason> {
    if raw.get() == "null" { Ok(None) } else { read(raw).map(Some) }
}

fn id(raw: &RawValue) -> Result<Arc<str>, Reason> {
    let id = text(raw)?;
    if id.is_empty() {
        return Err("empty: write at least one character".to_string());
    }
    if id.len() > ID_BYTES_MAX || id.contains('\0') {
        let shown = value::shown(raw);
        return Err(format!("{shown} must have at most {ID_BYTES_MAX} bytes and no NUL"));
    }
    Ok(id)
}

fn check_future(time: Time, latest: Option<Time>) -> Result<(), Reason> {
    match latest {
        Some(latest) if time > latest => Err(format!(
            "{} is too far in the future: check the sender's clock",
            value::format_time(time)
        )),
        _ => Ok(()),
    }
}

fn not_a_message(error: &serde_json::Error) -> Reason {
    use serde_json::error::Category;
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("malformed JSON at {line}:{column}: it ends too early"),
        Category::Data => "not a message: write a JSON object".to_string(),
        _ => format!("malformed JSON at {line}:{column}"),
    }
}

pub use value::format_time;

/// A value as JSON, for interfaces.
pub fn value_to_json(value: &Value) -> Box<RawValue> {
    // A value prints as JSON, whatever it is.
    RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
