//! The compact byte form of what is stored: variable-length integers, texts, values, events.

use crate::decimal::Decimal;
use crate::event::{Arrival, Event, Fields};
use crate::time::Time;
use crate::value::Value;
use std::sync::Arc;

/// Stored bytes that do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are damaged")]
pub struct Damaged;

/// Appends an unsigned integer, seven bits a byte, lowest first (LEB128).
pub fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer, small ones of either sign in few bytes (zigzag).
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a signed integer of up to 128 bits.
pub fn put_wide(out: &mut Vec<u8>, value: i128) {
    let mut rest = ((value << 1) ^ (value >> 127)) as u128;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a text behind its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_unsigned(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a value.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Boolean(false) => out.push(0),
        Value::Boolean(true) => out.push(1),
        Value::Number(number) => put_billionths(out, 2, number.billionths()),
        Value::Text(text) => {
            out.push(12);
            put_text(out, text);
        }
        Value::Composite(json) => {
            out.push(13);
            put_text(out, json);
        }
    }
}

/// Appends a number of billionths: a tag of `base` plus the places that it leaves unused (most
/// numbers have two places or none), then its digits.
pub(crate) fn put_billionths(out: &mut Vec<u8>, base: u8, billionths: i128) {
    let (mut zeros, mut digits) = (0, billionths);
    while zeros < 9 && digits != 0 && digits % 10 == 0 {
        (zeros, digits) = (zeros + 1, digits / 10);
    }
    out.push(base + zeros);
    put_wide(out, digits);
}

/// Appends names and values.
pub fn put_fields(out: &mut Vec<u8>, fields: &Fields) {
    put_unsigned(out, fields.len() as u64);
    for (name, value) in fields {
        put_text(out, name);
        put_value(out, value);
    }
}

/// Appends events that have one name, in order; the name itself is not written.
pub fn put_arrivals(out: &mut Vec<u8>, arrivals: &[Arrival]) {
    put_unsigned(out, arrivals.len() as u64);
    let mut before: Option<&Arrival> = None;
    for arrival in arrivals {
        let (time, number) = before.map_or((0, 0), |b| (b.event.time.milliseconds(), b.number));
        put_signed(out, arrival.event.time.milliseconds() - time);
        put_signed(out, arrival.number as i64 - number as i64);
        put_fields(out, &arrival.event.properties);
        // Events of one message share their context, and most follow one of the same message.
        let shared = before.is_some_and(|b| b.event.context == arrival.event.context);
        out.push(u8::from(shared));
        if !shared {
            put_fields(out, &arrival.event.context);
        }
        before = Some(arrival);
    }
}

/// Reads what the functions of this module wrote, from the front. Every method fails with
/// [`Damaged`] when the bytes are not of the form asked for.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    /// That many bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// What [`put_unsigned`] wrote.
    pub fn unsigned(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    /// A length that cannot exceed the bytes left, since everything takes a byte at least.
    pub fn length(&mut self) -> Result<usize, Damaged> {
        let length = self.unsigned()?;
        if length > self.0.len() as u64 {
            return Err(Damaged);
        }
        Ok(length as usize)
    }

    /// What [`put_signed`] wrote.
    pub fn signed(&mut self) -> Result<i64, Damaged> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// What [`put_wide`] wrote.
    pub fn wide(&mut self) -> Result<i128, Damaged> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i128 ^ -((value & 1) as i128));
            }
        }
        Err(Damaged)
    }

    /// An instant written as signed milliseconds after `base` milliseconds.
    pub fn time_after(&mut self, base: i64) -> Result<Time, Damaged> {
        let milliseconds = base.checked_add(self.signed()?).ok_or(Damaged)?;
        Time::from_milliseconds(milliseconds).ok_or(Damaged)
    }

    /// What [`put_text`] wrote.
    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Damaged)
    }

    /// What [`put_value`] wrote.
    pub fn value(&mut self) -> Result<Value, Damaged> {
        Ok(match self.byte()? {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            tag @ 2..=11 => Value::Number(Decimal::from_billionths(self.digits(tag - 2)?)),
            12 => Value::Text(self.text()?.into()),
            13 => Value::Composite(self.text()?.into()),
            _ => return Err(Damaged),
        })
    }

    /// What [`put_billionths`] wrote with the tag base 0.
    pub(crate) fn billionths(&mut self) -> Result<i128, Damaged> {
        let zeros = self.byte()?;
        self.digits(zeros)
    }

    fn digits(&mut self, zeros: u8) -> Result<i128, Damaged> {
        let scale = 10i128.checked_pow(u32::from(zeros)).ok_or(Damaged)?;
        self.wide()?.checked_mul(scale).ok_or(Damaged)
    }

    /// What [`put_fields`] wrote.
    pub fn fields(&mut self) -> Result<Fields, Damaged> {
        let length = self.length()?;
        (0..length).map(|_| Ok((self.text()?.into(), self.value()?))).collect()
    }

    /// What [`put_arrivals`] wrote of events of that name.
    pub fn arrivals(&mut self, name: &Arc<str>) -> Result<Vec<Arrival>, Damaged> {
        let length = self.length()?;
        let mut arrivals: Vec<Arrival> = Vec::with_capacity(length);
        for _ in 0..length {
            let (before_time, before_number, before_context) = match arrivals.last() {
                Some(b) => (b.event.time.milliseconds(), b.number, Some(&b.event.context)),
                None => (0, 0, None),
            };
            let time = self.time_after(before_time)?;
            let number = (before_number as i64).checked_add(self.signed()?).ok_or(Damaged)?;
            let properties = self.fields()?;
            let context = match (self.byte()?, before_context) {
                (0, _) => Arc::new(self.fields()?),
                (1, Some(context)) => context.clone(),
                _ => return Err(Damaged),
            };
            let event = Event { name: name.clone(), time, id: None, properties, context };
            arrivals.push(Arrival { number: number as u64, event: Arc::new(event) });
        }
        Ok(arrivals)
    }
}
