//! Text and JSON, written by the compiler.

use crate::comparison::{Comparison, OPERATORS_MAX, Operand, Scalar};

/// Offset basis and prime of FNV-1a with 128 bits (Fowler, Noll, Vo).
const HASH_BEGINNING: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const HASH_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Text under way: its first `N` bytes, and the length and hash of all of it.
#[doc(hidden)]
pub struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
    pub(super) hash: u128,
}

impl<const N: usize> Writer<N> {
    pub(super) const fn new() -> Writer<N> {
        Writer { bytes: [0; N], length: 0, hash: HASH_BEGINNING }
    }

    /// How long the text is.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The text.
    pub const fn bytes(self) -> [u8; N] {
        assert!(self.length == N, "a text is written to its length");
        self.bytes
    }

    pub(super) const fn comparison(&mut self, comparison: &Comparison) {
        self.raw("{");
        let mut at = 0;
        while at < OPERATORS_MAX {
            if let Some(operator) = comparison.operators[at] {
                self.separate(at > 0);
                self.pair("", operator.name);
                self.raw(":");
                self.operand(&operator.operand);
            }
            at += 1;
        }
        self.raw("}");
    }

    const fn operand(&mut self, operand: &Operand) {
        let length = match operand {
            Operand::Whole(whole) => return self.whole(*whole),
            Operand::One(scalar) => return self.scalar(scalar),
            Operand::Wholes(list) => list.len(),
            Operand::Numbers(list) | Operand::Texts(list) => list.len(),
            Operand::Values(list) => list.len(),
        };
        self.raw("[");
        let mut at = 0;
        while at < length {
            self.separate(at > 0);
            match operand {
                Operand::Wholes(list) => self.whole(list[at]),
                Operand::Numbers(list) => self.raw(list[at]),
                Operand::Texts(list) => self.text(list[at]),
                Operand::Values(list) => self.scalar(&list[at]),
                Operand::Whole(_) | Operand::One(_) => {}
            }
            at += 1;
        }
        self.raw("]");
    }

    const fn scalar(&mut self, scalar: &Scalar) {
        match scalar {
            Scalar::Number(number) => self.raw(number),
            Scalar::Text(text) => self.text(text),
            Scalar::Boolean(true) => self.raw("true"),
            Scalar::Boolean(false) => self.raw("false"),
        }
    }

    pub(super) const fn pair(&mut self, begin: &str, text: &str) {
        self.raw(begin);
        self.text(text);
    }

    pub(super) const fn separate(&mut self, is_further: bool) {
        if is_further {
            self.raw(",");
        }
    }

    const fn byte(&mut self, byte: u8) {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        if N == 0 {
            self.hash = (self.hash ^ byte as u128).wrapping_mul(HASH_PRIME);
        }
    }

    pub(super) const fn raw(&mut self, text: &str) {
        let (bytes, mut at) = (text.as_bytes(), 0);
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    pub(super) const fn text(&mut self, text: &str) {
        self.byte(b'"');
        self.escaped(text);
        self.byte(b'"');
    }

    pub(super) const fn escaped(&mut self, text: &str) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let (bytes, mut at) = (text.as_bytes(), 0);
        while at < bytes.len() {
            match bytes[at] {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                control @ 0..0x20 => {
                    self.raw("\\u00");
                    self.byte(DIGITS[(control >> 4) as usize]);
                    self.byte(DIGITS[(control & 15) as usize]);
                }
                byte => self.byte(byte),
            }
            at += 1;
        }
    }

    pub(super) const fn whole(&mut self, whole: i64) {
        if whole < 0 {
            self.byte(b'-');
        }
        let magnitude = whole.unsigned_abs();
        let mut unit = 1;
        while magnitude / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (magnitude / unit % 10) as u8);
            unit /= 10;
        }
    }
}
