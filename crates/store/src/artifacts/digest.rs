//! The name of an artifact: the SHA-256 of its bytes. A value of this type is safe to use in a path.

use std::fmt::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::Error;

/// 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    text: String,
    bytes: [u8; 32],
}

// === impl Digest ===

impl Digest {
    /// The digest of some bytes.
    pub(crate) fn of(content: &[u8]) -> Self {
        let bytes: [u8; 32] = Sha256::digest(content).into();
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self { text, bytes }
    }

    /// Reads a digest that came from elsewhere.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Unknown { digest: text.to_owned() };
        let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(lower) {
            return Err(unknown());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| unknown())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| unknown())?;
        }
        Ok(Self { text: text.to_owned(), bytes })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// The directory that artifacts are spread over by.
    pub(crate) fn fan(&self) -> &str {
        self.text.get(..2).unwrap_or(&self.text)
    }

    pub(crate) fn base64(&self) -> String {
        BASE64_STANDARD.encode(self.bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_becomes_a_path() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.base64(), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(Digest::parse(digest.as_str()).unwrap(), digest);
        for text in ["", "ab", "../../etc/passwd", &"A".repeat(64), &"/".repeat(64), &"é".repeat(32)] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }
}
