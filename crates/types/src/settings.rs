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

/// Whether instances may share what one init made.
pub const INIT: &str = "lambent:init";
/// Seconds without a request after which an idle instance is frozen.
pub const FREEZE: &str = "lambent:freeze";
/// Requests that one instance handles at once.
pub const CONCURRENCY: &str = "lambent:concurrency";
/// Whether answers over HTTP carry `x-lambent-*` headers.
pub const HEADERS: &str = "lambent:headers";

/// Every tag there is, with what it takes: the text of errors and of the reference page.
pub const KNOWN: &[(&str, &str)] = &[
    (IDLE_SECONDS, "whole seconds from 1 to 86400, or auto; default auto, which is learned"),
    (MAX_INSTANCES, "a whole number from 1 to 10000; default: the server's --limit-instances"),
    (QUEUE_SECONDS, "whole seconds from 0 to 900; default 30"),
    (SERVER, "own or shim; default: shim where the handler names an application, else own"),
    (INIT, "auto, shared or per-instance; default auto, which shares where the platform finds it safe"),
    (
        FREEZE,
        "off, or whole seconds from 0 to 86400; default 1, and off for a program with a server of its own",
    ),
    (
        CONCURRENCY,
        "a whole number from 1 to 1000, for a program with a server of its own; default 16; all others handle \
         one at a time",
    ),
    (HEADERS, "on or off; default off"),
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

/// Whether instances may share what one init made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Shared where nothing of the init stands against it.
    #[default]
    Auto,
    /// Shared, as the user has seen to it that it may be; what the platform could not undo still vetoes.
    Shared,
    /// Every instance runs its own init.
    PerInstance,
}

/// When an idle instance is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// Never: it goes on running between requests.
    Off,
    /// After so long without a request.
    After(Duration),
}

/// The settings of one function, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long an instance may stay idle; `None`: learned from its requests.
    pub idle: Option<Duration>,
    /// Most instances at once; `None`: the server's limit.
    pub max_instances: Option<u32>,
    /// How long a request may wait for an instance.
    pub queue: Duration,
    /// Who serves; `None`: decided by the handler.
    pub server: Option<Server>,
    /// Whether init is shared.
    pub init: Init,
    /// When it is frozen; `None`: decided by what it is.
    pub freeze: Option<Freeze>,
    /// Requests that one instance handles at once; `None`: decided by what it is.
    pub concurrency: Option<u32>,
    /// Whether answers over HTTP carry `x-lambent-*` headers.
    pub headers: bool,
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
            idle: None,
            max_instances: None,
            queue: Duration::from_secs(30),
            server: None,
            init: Init::Auto,
            freeze: None,
            concurrency: None,
            headers: false,
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
                IDLE_SECONDS if value == "auto" => settings.idle = None,
                IDLE_SECONDS => settings.idle = Some(seconds(IDLE_SECONDS, value, 1, 86_400)?),
                MAX_INSTANCES => settings.max_instances = Some(number(MAX_INSTANCES, value, 1, 10_000)?),
                QUEUE_SECONDS => settings.queue = seconds(QUEUE_SECONDS, value, 0, 900)?,
                SERVER => settings.server = Some(server(value)?),
                INIT => settings.init = init(value)?,
                FREEZE => settings.freeze = Some(freeze(value)?),
                CONCURRENCY => settings.concurrency = Some(number(CONCURRENCY, value, 1, 1000)?),
                HEADERS => settings.headers = headers(value)?,
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

fn init(value: &str) -> Result<Init, Error> {
    match value {
        "auto" => Ok(Init::Auto),
        "shared" => Ok(Init::Shared),
        "per-instance" => Ok(Init::PerInstance),
        _ => Err(refused(INIT, value)),
    }
}

fn freeze(value: &str) -> Result<Freeze, Error> {
    match value {
        "off" => Ok(Freeze::Off),
        _ => seconds(FREEZE, value, 0, 86_400).map(Freeze::After),
    }
}

fn headers(value: &str) -> Result<bool, Error> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(refused(HEADERS, value)),
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
        assert_eq!(read(IDLE_SECONDS, "1").unwrap().idle, Some(Duration::from_secs(1)));
        assert_eq!(read(IDLE_SECONDS, "auto").unwrap().idle, None);
        assert_eq!(read(INIT, "per-instance").unwrap().init, Init::PerInstance);
        assert_eq!(read(FREEZE, "off").unwrap().freeze, Some(Freeze::Off));
        assert_eq!(read(FREEZE, "0").unwrap().freeze, Some(Freeze::After(Duration::ZERO)));
        assert_eq!(read(CONCURRENCY, "8").unwrap().concurrency, Some(8));
        assert!(read(HEADERS, "on").unwrap().headers);
        assert_eq!(read(MAX_INSTANCES, "20").unwrap().max_instances, Some(20));
        assert_eq!(read(QUEUE_SECONDS, "0").unwrap().queue, Duration::ZERO);
        assert_eq!(read(SERVER, "own").unwrap().server, Some(Server::Own));
        assert_eq!(read("team", "blue").unwrap(), Settings::default());
    }

    #[test]
    fn names_what_it_refuses() {
        let unknown = read("lambent:idle", "5").unwrap_err().to_string();
        assert!(unknown.contains("`lambent:idle`") && unknown.contains(IDLE_SECONDS), "{unknown}");
        for (tag, value) in [
            (IDLE_SECONDS, "0"),
            (MAX_INSTANCES, "-1"),
            (QUEUE_SECONDS, "x"),
            (SERVER, ""),
            (INIT, "no"),
            (FREEZE, "-1"),
            (HEADERS, "1"),
        ] {
            let text = read(tag, value).unwrap_err().to_string();
            assert!(text.contains(tag) && text.contains("takes"), "{text}");
        }
    }
}
