//! JSON written straight into a buffer, for what every request needs: to build values first would cost more
//! than all the rest of its way. Writes only, and never fails; reading is serde's.

use std::fmt::Display;
use std::io::Write as _;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// An object that is being written; [`Self::end`] closes it.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

// === impl Object ===

impl<'a> Object<'a> {
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins a member; its value is to be written next.
    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub fn text(&mut self, name: &str, value: &str) {
        text(self.member(name), value);
    }

    /// A member whose text is given as bytes of a header.
    pub fn latin1(&mut self, name: &str, value: &[u8]) {
        latin1(self.member(name), value);
    }

    /// A number, or `true` or `false`.
    pub fn plain(&mut self, name: &str, value: impl Display) {
        plain(self.member(name), value);
    }

    /// A member that is an object.
    pub fn object(&mut self, name: &str) -> Object<'_> {
        Object::begin(self.member(name))
    }

    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// A text in quotation marks.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    escaped(out, text.as_bytes(), Vec::push);
}

/// A text in quotation marks, given as bytes each of which stands for the character of its number.
pub(crate) fn latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    escaped(out, bytes, |out, byte| {
        out.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
    });
}

/// What its `Display` writes, as it is.
pub(crate) fn plain(out: &mut Vec<u8>, value: impl Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8], beyond_ascii: impl Fn(&mut Vec<u8>, u8)) {
    out.push(b'"');
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7f) && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
    } else {
        for &byte in bytes {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=0x1f => {
                    let digit = |number: u8| HEX.get(usize::from(number)).copied().unwrap_or(b'0');
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                }
                0x20..=0x7f => out.push(byte),
                0x80.. => beyond_ascii(out, byte),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value(out: &[u8]) -> Value {
        serde_json::from_slice(out).unwrap()
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(given in "\\PC{0,20}|[\\x00-\\x7f]{0,20}") {
            let mut out = Vec::new();
            text(&mut out, &given);
            prop_assert_eq!(value(&out), json!(given));
        }

        #[test]
        fn bytes_are_the_characters_of_their_numbers(given in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            latin1(&mut out, &given);
            prop_assert_eq!(value(&out), json!(crate::call::latin1(&given)));
        }
    }

    #[test]
    fn objects_nest() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("a", "b\"");
        object.object("c").end();
        let mut inner = object.object("d");
        inner.plain("e", 1);
        inner.plain("f", true);
        inner.end();
        object.end();
        assert_eq!(value(&out), json!({ "a": "b\"", "c": {}, "d": { "e": 1, "f": true } }));
    }
}
