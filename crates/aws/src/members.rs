//! The members of a JSON request, taken one by one so that none is overlooked.
//!
//! An operation takes what it knows; what remains at [`Members::finish`] is unknown to it. AWS ignores
//! such members, so do we, but not in silence: they are named in the server's log.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

/// Bodies above this size are parsed off the async threads.
const LARGE: usize = 256 * 1024;

/// Why a body is not what an operation takes. Services answer it as their own serialization error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not a JSON object.
    #[error("Could not parse request body into json: {0}")]
    NotJson(String),
    /// A member has another type than the model's.
    #[error("{found} can not be converted to {wanted} (member `{member}`)")]
    WrongType {
        /// The member.
        member: String,
        /// What it is, as AWS names it: `NUMBER_VALUE`.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// The server is going down.
    #[error("the server is stopping: retry against the next one")]
    Stopping,
}

/// An object whose members are being taken.
#[derive(Debug, Default)]
pub struct Members {
    /// What it is, for errors and the log: an operation or a member's path.
    name: String,
    members: Map<String, Value>,
}

// === impl Members ===

impl Members {
    /// Parses a request's body; an empty one has no members.
    ///
    /// # Errors
    /// [`Error::NotJson`] when it is not a JSON object.
    pub async fn parse(operation: &str, body: Bytes) -> Result<Self, Error> {
        let members = if body.len() < LARGE {
            parse_object(&body)?
        } else {
            let parsed = tokio::task::spawn_blocking(move || parse_object(&body)).await;
            parsed.map_err(|_| Error::Stopping)??
        };
        Ok(Self { name: operation.to_owned(), members })
    }

    /// Wraps members that are already parsed.
    #[must_use]
    pub fn new(name: &str, members: Map<String, Value>) -> Self {
        Self { name: name.to_owned(), members }
    }

    /// Takes a member as it is; `null` counts as missing, as with AWS.
    pub fn value(&mut self, member: &str) -> Option<Value> {
        self.members.remove(member).filter(|value| !value.is_null())
    }

    /// Takes a text.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn text(&mut self, member: &str) -> Result<Option<String>, Error> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(member, &other, "String")),
        }
    }

    /// Takes a whole number.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn integer(&mut self, member: &str) -> Result<Option<i64>, Error> {
        match self.value(member) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong(member, &value, "Integer")),
        }
    }

    /// Takes a truth value; missing is false.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn flag(&mut self, member: &str) -> Result<bool, Error> {
        match self.value(member) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| wrong(member, &value, "Boolean")),
        }
    }

    /// Takes an object.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn object(&mut self, member: &str) -> Result<Option<Self>, Error> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self::new(&format!("{}.{member}", self.name), members))),
            Some(other) => Err(wrong(member, &other, "Object")),
        }
    }

    /// Takes a list of texts.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn texts(&mut self, member: &str) -> Result<Option<Vec<String>>, Error> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    other => Err(wrong(member, &other, "String")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(member, &other, "List")),
        }
    }

    /// Takes a map of texts.
    ///
    /// # Errors
    /// [`Error::WrongType`] for another type.
    pub fn text_map(&mut self, member: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::Object(pairs)) => pairs
                .into_iter()
                .map(|(key, value)| match value {
                    Value::String(text) => Ok((key, text)),
                    other => Err(wrong(&key, &other, "String")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(member, &other, "Map")),
        }
    }

    /// Ends the taking: what is left is ignored, and named in the log.
    pub fn finish(self) {
        if !self.members.is_empty() {
            let unknown: Vec<&str> = self.members.keys().map(String::as_str).collect();
            tracing::warn!(request = self.name, members = unknown.join(", "), "unknown members are ignored");
        }
    }
}

/// Whether a value says nothing: null, empty, or made of nothing but such values.
#[must_use]
pub fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(says_nothing),
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
    }
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| Error::NotJson(error.to_string()))
}

fn wrong(member: &str, value: &Value, wanted: &'static str) -> Error {
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(_) => "BOOLEAN_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    Error::WrongType { member: member.to_owned(), found, wanted }
}
