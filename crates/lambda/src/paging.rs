//! Lists in pages: `MaxItems` in, `NextMarker` out.
//!
//! A marker is the key of the last item of the page before, so a list that changes between two pages
//! neither repeats nor skips what stayed.

use aws::{Request, Violations};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::error::Error;

/// The most items AWS puts on a page whatever is asked for.
const PAGE: usize = 50;

/// Which page a request asks for.
#[derive(Debug)]
pub struct Page {
    after: Option<String>,
    size: usize,
}

// === impl Page ===

impl Page {
    /// Reads `Marker` and `MaxItems`, which may be at most `longest`.
    ///
    /// # Errors
    /// [`Error`] for a size outside its range or a marker that is none of ours.
    pub fn of(request: &Request, longest: i64) -> Result<Self, Error> {
        let mut size = PAGE;
        if let Some(text) = request.query("MaxItems") {
            let number: i64 = text
                .parse()
                .map_err(|_| Error::Serialization(format!("`MaxItems` is not a number: {text}")))?;
            let mut check = Violations::new();
            check.range("maxItems", number, 1..=longest);
            check.finish()?;
            size = usize::try_from(number).unwrap_or(PAGE).min(PAGE);
        }
        let after = match request.query("Marker") {
            None | Some("") => None,
            Some(marker) => Some(decode(marker).ok_or_else(|| {
                Error::InvalidParameter(format!(
                    "Invalid marker `{marker}`: use the NextMarker of the page before"
                ))
            })?),
        };
        Ok(Self { after, size })
    }

    /// The page as an answer: `items` come with their keys, in the order of the keys.
    pub fn answer(&self, member: &str, items: impl Iterator<Item = (String, Value)>) -> Value {
        let mut items =
            items.skip_while(|(key, _)| self.after.as_ref().is_some_and(|after| key <= after)).peekable();
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < self.size
            && let Some((key, value)) = items.next()
        {
            page.push(value);
            last = Some(key);
        }
        let mut answer = Map::new();
        answer.insert(member.to_owned(), page.into());
        if let (Some(last), true) = (last, items.peek().is_some()) {
            answer.insert("NextMarker".to_owned(), URL_SAFE_NO_PAD.encode(last).into());
        }
        answer.into()
    }
}

fn decode(marker: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()
}
