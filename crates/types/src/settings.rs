//! Lambent's own settings of a function. They are function *tags* named `lambent:*`, so that every AWS
//! client and template can set them; `lambent deploy` flags set the same tags.
//!
//! [`Settings::from_tags`] is the only reader. An unknown `lambent:` tag is an error that names the
//! known ones: a setting is never accepted and ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every tag of ours begins with.
pub const PREFIX: &str = "lambent:";
/// Seconds an instance may stay idle before it is retired.
pub const IDLE_SECONDS: &str = "lambent:idle-seconds";
/// Instances that may live at once; requests beyond them wait in order.
pub const MAX_INSTANCES: &str = "lambent:max-instances";
/// Seconds a request may wait for an instance before it is refused.
pub const QUEUE_SECONDS: &str = "lambent:queue-seconds";
/// Who serves a web application: the application's own server, or the shim.
pub const SERVER: &str = "lambent:server";

/// Every tag there is, with what it takes: the text of errors and of the reference page.
pub const KNOWN: &[(&str, &str)] = &[
    (IDLE_SECONDS, "whole seconds from 1 to 86400; default 300"),
    (MAX_INSTANCES, "a whole number from 1 to 10000; default: the server's --limit-instances"),
    (QUEUE_SECONDS, "whole seconds from 0 to 900; default 30"),
    (SERVER, "own or shim; default: shim where the handler names an application, else own"),
];

/// Who serves a web application's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// The program listens on its own socket and is spoken to in HTTP.
    Own,
    /// The shim imports the application and serves it over frames.
    Shim,
}

/// The settings of one function, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long an instance may stay idle.
    pub idle: Duration,
    /// Most instances at once; `None`: the server's limit.
    pub max_instances: Option<u32>,
    /// How long a request may wait for an instance.
    pub queue: Duration,
    /// Who serves; `None`: decided by the handler.
    pub server: Option<Server>,
}

/// Why tags are not settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `lambent:` tag that means nothing.
    #[error("unknown tag `{0}`: the lambent: tags are {known}", known = known_names())]
    Unknown(String),
    /// A known tag with a value outside its range.
    #[error("tag `{tag}` has the value `{value}`, but takes {expected}")]
    Value {
        /// The tag's key.
        tag: &'static str,
        /// What it was set to.
        value: String,
        /// What it takes, from [`KNOWN`].
        expected: &'static str,
    },
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            max_instances: None,
            queue: Duration::from_secs(30),
            server: None,
        }
    }
}

impl Settings {
    /// Reads the `lambent:*` tags among `tags`; other tags are the user's own.
    ///
    /// # Errors
    /// [`Error`] for an unknown `lambent:` tag or a value outside its range.
    pub fn from_tags(tags: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut settings = Self::default();
        for (tag, value) in tags.iter().filter(|(tag, _)| tag.starts_with(PREFIX)) {
            match tag.as_str() {
                IDLE_SECONDS => settings.idle = seconds(IDLE_SECONDS, value, 1, 86_400)?,
                MAX_INSTANCES => settings.max_instances = Some(number(MAX_INSTANCES, value, 1, 10_000)?),
                QUEUE_SECONDS => settings.queue = seconds(QUEUE_SECONDS, value, 0, 900)?,
                SERVER => settings.server = Some(server(value)?),
                _ => return Err(Error::Unknown(tag.clone())),
            }
        }
        Ok(settings)
    }
}

fn seconds(tag: &'static str, value: &str, least: u32, most: u32) -> Result<Duration, Error> {
    number(tag, value, least, most).map(|seconds| Duration::from_secs(seconds.into()))
}

fn number(tag: &'static str, value: &str, least: u32, most: u32) -> Result<u32, Error> {
    match value.parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(refused(tag, value)),
    }
}

fn server(value: &str) -> Result<Server, Error> {
    match value {
        "own" => Ok(Server::Own),
        "shim" => Ok(Server::Shim),
        _ => Err(refused(SERVER, value)),
    }
}

fn refused(tag: &'static str, value: &str) -> Error {
    let expected = KNOWN.iter().find(|(known, _)| *known == tag).map_or("", |(_, expected)| expected);
    Error::Value { tag, value: value.to_owned(), expected }
}

fn known_names() -> String {
    KNOWN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str, value: &str) -> Result<Settings, Error> {
        Settings::from_tags(&BTreeMap::from([(tag.to_owned(), value.to_owned())]))
    }

    #[test]
    fn reads_each_setting() {
        assert_eq!(read(IDLE_SECONDS, "1").unwrap().idle, Duration::from_secs(1));
        assert_eq!(read(MAX_INSTANCES, "20").unwrap().max_instances, Some(20));
        assert_eq!(read(QUEUE_SECONDS, "0").unwrap().queue, Duration::ZERO);
        assert_eq!(read(SERVER, "own").unwrap().server, Some(Server::Own));
        assert_eq!(read("team", "blue").unwrap(), Settings::default());
    }

    #[test]
    fn names_what_it_refuses() {
        let unknown = read("lambent:idle", "5").unwrap_err().to_string();
        assert!(unknown.contains("`lambent:idle`") && unknown.contains(IDLE_SECONDS), "{unknown}");
        for (tag, value) in [(IDLE_SECONDS, "0"), (MAX_INSTANCES, "-1"), (QUEUE_SECONDS, "x"), (SERVER, "")] {
            let text = read(tag, value).unwrap_err().to_string();
            assert!(text.contains(tag) && text.contains("takes"), "{text}");
        }
    }
}
