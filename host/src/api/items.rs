//! Takes the body of a request apart into messages, as its bytes arrive: the elements of an array, the
//! lines of a stream, or the body as a whole. No item is kept beyond what shows that it is too long,
//! so a body may be as long as it likes.

use crate::decode::{BYTE_ORDER_MARK, MESSAGE_BYTES_MAX};

/// The items of a body.
pub(super) struct Items {
    form: Form,
    /// Whether what is no array is one object, whatever its lines.
    is_document: bool,
    /// What has arrived of the item that has not ended.
    item: Vec<u8>,
    /// In an array: brackets and braces that are open, and whether a text is.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    elements: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing but white space has come.
    Unknown,
    Lines,
    Array,
    /// Everything is one item.
    Whole,
    /// An array has ended.
    Beyond,
}

/// What is left at the end of a body.
pub(super) enum Rest {
    Nothing,
    Item(Vec<u8>),
    /// What makes no item, and why.
    Wrong(Vec<u8>, &'static str),
}

impl Items {
    pub(super) fn new(is_document: bool) -> Items {
        Items {
            form: Form::Unknown,
            is_document,
            item: Vec::new(),
            depth: 0,
            in_text: false,
            is_escaped: false,
            elements: 0,
        }
    }

    /// The next item that ends within the bytes. What follows it is left of them.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        if self.form == Form::Unknown {
            self.begin(bytes);
        }
        loop {
            let end = match self.form {
                Form::Lines => bytes.iter().position(|byte| *byte == b'\n'),
                Form::Array => self.element_end(bytes),
                Form::Unknown | Form::Whole | Form::Beyond => None,
            };
            let Some(end) = end else {
                self.keep(bytes);
                *bytes = &[];
                return None;
            };
            self.keep(&bytes[..end]);
            let closes = self.form == Form::Array && bytes[end] == b']';
            *bytes = &bytes[end + 1..];
            let item = std::mem::take(&mut self.item);
            let is_blank = item.trim_ascii().is_empty();
            let is_nothing = match self.form {
                // An empty array has no element; elsewhere one is missing.
                Form::Array => is_blank && closes && self.elements == 0,
                _ => is_blank,
            };
            self.elements += 1;
            if closes {
                self.form = Form::Beyond;
            }
            if !is_nothing {
                return Some(item);
            }
        }
    }

    /// What has not ended when the body does.
    pub(super) fn end(self) -> Rest {
        let is_blank = self.item.trim_ascii().is_empty();
        match self.form {
            Form::Array => {
                Rest::Wrong(self.item, "the array has no end: write `]` after its last message")
            }
            Form::Unknown if self.is_document => Rest::Item(self.item),
            _ if is_blank => Rest::Nothing,
            Form::Beyond => {
                Rest::Wrong(self.item, "this follows an array: write it before the last `]`")
            }
            _ => Rest::Item(self.item),
        }
    }

    fn begin(&mut self, bytes: &mut &[u8]) {
        *bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
        self.form = match bytes.first() {
            None => return,
            Some(b'[') => Form::Array,
            Some(_) if self.is_document => Form::Whole,
            Some(_) => Form::Lines,
        };
        if self.form == Form::Array {
            *bytes = &bytes[1..];
        }
    }

    /// Where the element ends that the bytes go on with.
    fn element_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'[' | b'{' => self.depth += 1,
                b',' | b']' if self.depth == 0 => return Some(at),
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// Of an item beyond all bounds only so much is kept as shows that it is.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (MESSAGE_BYTES_MAX + 1).saturating_sub(self.item.len());
        self.item.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The items of a body that arrives in pieces of that size, and whether it ends as it should.
    fn items(body: &str, is_document: bool, piece: usize) -> (Vec<String>, bool) {
        let mut items = Items::new(is_document);
        let mut found = Vec::new();
        for mut bytes in body.as_bytes().chunks(piece) {
            while let Some(item) = items.next(&mut bytes) {
                found.push(item);
            }
        }
        let ends = match items.end() {
            Rest::Nothing => true,
            Rest::Item(item) => {
                found.push(item);
                true
            }
            Rest::Wrong(item, _) => {
                found.push(item);
                false
            }
        };
        let text = |item: Vec<u8>| String::from_utf8(item).unwrap().trim().to_string();
        (found.into_iter().map(text).collect(), ends)
    }

    fn of(body: &str, is_document: bool) -> Vec<String> {
        items(body, is_document, 3).0
    }

    #[test]
    fn a_broken_element_leaves_its_neighbours_whole() {
        let body = r#"[ {"a":"],}\"["}, oops, {"b":[1,{"c":2}]}, , {"d":1} ]"#;
        let expected = [r#"{"a":"],}\"["}"#, "oops", r#"{"b":[1,{"c":2}]}"#, "", r#"{"d":1}"#];
        assert_eq!(of(body, true), expected);
    }

    #[test]
    fn what_is_no_array_is_lines_or_a_document() {
        assert_eq!(of("{\n}\n\n{}", false), ["{", "}", "{}"]);
        assert_eq!(of("{\n}", true), ["{\n}"]);
        assert_eq!(of("\u{feff} [1]", false), ["1"]);
        assert_eq!(of("", true), [""]);
        assert!(of(" \n", false).is_empty());
    }

    #[test]
    fn an_array_ends_once() {
        assert!(of("[ ]", true).is_empty());
        assert_eq!(of("[1,]", true), ["1", ""]);
        assert_eq!(items("[1] 2", true, 2), (vec!["1".to_string(), "2".to_string()], false));
        assert_eq!(items("[1, 2", true, 2), (vec!["1".to_string(), "2".to_string()], false));
    }

    #[test]
    fn too_long_an_item_is_not_kept_whole() {
        let mut items = Items::new(false);
        let line = [b'x'; 1 << 16];
        for _ in 0..100 {
            assert!(items.next(&mut &line[..]).is_none());
        }
        let item = items.next(&mut &b"\n"[..]).unwrap();
        assert_eq!(item.len(), MESSAGE_BYTES_MAX + 1);
    }

    proptest! {
        /// Any list of values comes out as it went in, however it arrives.
        #[test]
        fn arrays_come_apart_where_their_elements_end(
            texts in proptest::collection::vec("[\\[\\]{},\"\\\\ a]{0,6}", 0..6),
            piece in 1usize..9,
        ) {
            let values: Vec<_> = texts.iter().map(|t| serde_json::json!({ "t": [t] })).collect();
            let body = serde_json::Value::from(values.clone()).to_string();
            let expected: Vec<String> = values.iter().map(ToString::to_string).collect();
            prop_assert_eq!(items(&body, true, piece), (expected, true));
        }
    }
}
