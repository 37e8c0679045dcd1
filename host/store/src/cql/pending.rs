//! What is yet to be told of a user, and the users of a commit, as they are stored.

use super::error::CqlError;
use crate::{Line, Untold, UserKey};
use muster_core::codec::{Damaged, Reader, put_text, put_unsigned};
use muster_core::{AudienceKey, Time};

pub(super) fn encode(untold: &Untold) -> Vec<u8> {
    let mut out = Vec::new();
    put_unsigned(&mut out, untold.lines.len() as u64);
    for line in &untold.lines {
        put_unsigned(&mut out, line.number);
        put_unsigned(&mut out, line.json.len() as u64);
        out.extend_from_slice(&line.json);
    }
    put_unsigned(&mut out, untold.members.len() as u64);
    for (audience, since) in &untold.members {
        out.extend_from_slice(&audience.bits().to_le_bytes());
        out.push(u8::from(since.is_some()));
        let since = since.map_or(0, Time::milliseconds);
        out.extend_from_slice(&since.to_le_bytes());
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Untold, Damaged> {
    let mut reader = Reader::new(bytes);
    let lines = (0..reader.length()?).map(|_| {
        let number = reader.unsigned()?;
        let length = reader.length()?;
        Ok(Line { number, json: reader.bytes(length)?.to_vec() })
    });
    let lines = lines.collect::<Result<_, Damaged>>()?;
    let members = (0..reader.length()?).map(|_| {
        let audience = u64::from_le_bytes(eight(&mut reader)?);
        let is_in = reader.byte()? == 1;
        let since = Time::from_milliseconds(i64::from_le_bytes(eight(&mut reader)?));
        let since = since.ok_or(Damaged)?;
        Ok((AudienceKey::from_bits(audience), is_in.then_some(since)))
    });
    let members = members.collect::<Result<_, Damaged>>()?;
    Ok(Untold { lines, members })
}

fn eight(reader: &mut Reader<'_>) -> Result<[u8; 8], Damaged> {
    reader.bytes(8)?.try_into().map_err(|_| Damaged)
}

pub(super) fn encode_users<'a>(users: impl Iterator<Item = &'a UserKey>) -> Vec<u8> {
    let mut out = Vec::new();
    for key in users {
        put_text(&mut out, &key.workspace);
        put_text(&mut out, &key.user);
    }
    out
}

pub(super) fn decode_users(bytes: &[u8]) -> Result<Vec<UserKey>, CqlError> {
    let mut reader = Reader::new(bytes);
    let mut users = Vec::new();
    while !reader.is_empty() {
        let key = reader.text().and_then(|workspace| {
            Ok(UserKey { workspace: workspace.into(), user: reader.text()?.into() })
        });
        users.push(key.map_err(|_| CqlError::Damaged { table: "journal" })?);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_and_less_is_refused() {
        let at = Time::from_milliseconds(-5);
        let untold = Untold {
            lines: vec![Line { number: 7, json: b"{}".to_vec() }],
            members: vec![(AudienceKey::of("a"), at), (AudienceKey::of("b"), None)],
        };
        let bytes = encode(&untold);
        assert_eq!(decode(&bytes).unwrap(), untold);
        assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).is_err()));
        let users = ["a", "b"].map(|user| UserKey { workspace: "w".into(), user: user.into() });
        let bytes = encode_users(users.iter());
        assert_eq!(decode_users(&bytes).unwrap(), users);
        assert!(decode_users(&bytes[..bytes.len() - 1]).is_err());
    }
}
