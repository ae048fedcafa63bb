//! Page tokens as clients see them: opaque text that goes through a URL or a shell unharmed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::logs::error::Error;

/// The text of a token.
#[must_use]
pub fn write(inner: &str) -> String {
    URL_SAFE_NO_PAD.encode(inner)
}

/// What a token holds.
///
/// # Errors
/// [`Error::InvalidParameter`] for a text that is no token.
pub fn read(token: &str) -> Result<String, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::InvalidParameter("The specified nextToken is invalid.".to_owned()))
}
