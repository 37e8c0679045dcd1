//! A user's profile and memberships: what changes seldom.

use crate::codec::{Damaged, Reader, put_text, put_unsigned, put_value};
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
    pub memberships: Memberships,
}

/// Audiences and since when a user is in them. Kept as a sorted list, since it is read and written
/// whole far more often than it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memberships(Vec<(AudienceKey, Time)>);

impl Memberships {
    /// Since when the user is in the audience, if she is.
    pub fn since(&self, audience: AudienceKey) -> Option<Time> {
        self.find(audience).ok().map(|at| self.0[at].1)
    }

    /// The audiences and since when, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (AudienceKey, Time)> + '_ {
        self.0.iter().copied()
    }

    /// Sets since when the user is in the audience, if she is. Gives what it was.
    pub(crate) fn set(&mut self, audience: AudienceKey, since: Option<Time>) -> Option<Time> {
        match (self.find(audience), since) {
            (Ok(at), Some(since)) => Some(std::mem::replace(&mut self.0[at].1, since)),
            (Ok(at), None) => Some(self.0.remove(at).1),
            (Err(at), Some(since)) => {
                self.0.insert(at, (audience, since));
                None
            }
            (Err(_), None) => None,
        }
    }

    fn find(&self, audience: AudienceKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&audience, |(key, _)| *key)
    }
}

impl FromIterator<(AudienceKey, Time)> for Memberships {
    fn from_iter<I: IntoIterator<Item = (AudienceKey, Time)>>(memberships: I) -> Memberships {
        let mut list: Vec<(AudienceKey, Time)> = memberships.into_iter().collect();
        list.sort_unstable();
        list.dedup_by_key(|(key, _)| *key);
        Memberships(list)
    }
}

const FORMAT: u8 = 2;
/// A membership as it is stored: an audience's key and since when. Of fixed width, since a busy
/// user's thousands of them are read and written with most of her batches.
const MEMBERSHIP_BYTES: usize = 16;

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
        put_unsigned(&mut out, self.memberships.0.len() as u64);
        out.reserve(self.memberships.0.len() * MEMBERSHIP_BYTES);
        for (audience, since) in self.memberships.iter() {
            out.extend_from_slice(&audience.bits().to_le_bytes());
            out.extend_from_slice(&since.milliseconds().to_le_bytes());
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
        let length = reader.length()?;
        let rows = reader.bytes(length.checked_mul(MEMBERSHIP_BYTES).ok_or(Damaged)?)?;
        let memberships: Vec<(AudienceKey, Time)> = rows
            .as_chunks::<MEMBERSHIP_BYTES>()
            .0
            .iter()
            .map(|row| {
                let [key, since] = [0, 8].map(|at| std::array::from_fn(|byte| row[at + byte]));
                let since = Time::from_milliseconds(i64::from_le_bytes(since)).ok_or(Damaged)?;
                Ok((AudienceKey::from_bits(u64::from_le_bytes(key)), since))
            })
            .collect::<Result<_, Damaged>>()?;
        if !memberships.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(Damaged);
        }
        profile.memberships = Memberships(memberships);
        if reader.is_empty() { Ok(profile) } else { Err(Damaged) }
    }
}
