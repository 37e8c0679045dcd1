//! A user's profile and memberships: what changes seldom.

use crate::codec::{Damaged, Reader, put_signed, put_text, put_unsigned, put_value};
use crate::module::AudienceKey;
use crate::time::Time;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A user's attributes, identities and memberships.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Attributes by name.
    pub attributes: BTreeMap<Arc<str>, Value>,
    /// Identities by kind.
    pub identities: BTreeMap<Arc<str>, Arc<str>>,
    /// The audiences that the user is in, and since when.
    pub memberships: BTreeMap<AudienceKey, Time>,
}

const FORMAT: u8 = 1;

impl Profile {
    /// Its stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_unsigned(&mut out, self.attributes.len() as u64);
        for (name, value) in &self.attributes {
            put_text(&mut out, name);
            put_value(&mut out, value);
        }
        put_unsigned(&mut out, self.identities.len() as u64);
        for (kind, identity) in &self.identities {
            put_text(&mut out, kind);
            put_text(&mut out, identity);
        }
        put_unsigned(&mut out, self.memberships.len() as u64);
        let mut before = 0;
        for (audience, since) in &self.memberships {
            out.extend_from_slice(&audience.bits().to_le_bytes());
            put_signed(&mut out, since.milliseconds() - before);
            before = since.milliseconds();
        }
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are not of that form.
    pub fn decode(bytes: &[u8]) -> Result<Profile, Damaged> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return Err(Damaged);
        }
        let mut profile = Profile::default();
        for _ in 0..reader.length()? {
            profile.attributes.insert(reader.text()?.into(), reader.value()?);
        }
        for _ in 0..reader.length()? {
            profile.identities.insert(reader.text()?.into(), reader.text()?.into());
        }
        let mut before = 0;
        for _ in 0..reader.length()? {
            let bits = reader.bytes(8)?.try_into().map_err(|_| Damaged)?;
            let since = reader.time_after(before)?;
            profile.memberships.insert(AudienceKey::from_bits(u64::from_le_bytes(bits)), since);
            before = since.milliseconds();
        }
        if reader.is_empty() { Ok(profile) } else { Err(Damaged) }
    }
}
