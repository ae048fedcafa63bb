//! One digest of a JSON value, for comparing configurations.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the value's text, in lower-case hexadecimal. Objects are ordered by key.
#[must_use]
pub fn hex(value: &Value) -> String {
    Sha256::digest(value.to_string()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
