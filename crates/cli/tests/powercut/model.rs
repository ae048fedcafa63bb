//! A function as the API should show it, and what each operation makes of it. Written from AWS's
//! documentation, not from the server's code.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::Response;

use crate::fixture::zipped;

/// Stands for the id of a URL whose creation was not acknowledged.
const ANY_ID: &str = "any";

/// What can be told apart in one version's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What its code answers.
    pub code: String,
    pub description: String,
}

/// A whole function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub latest: Version,
    pub versions: BTreeMap<u64, Version>,
    /// The version that the alias `live` leads to.
    pub live: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// The id of its URL, the first part of its host: the rest is where the gateway listens.
    pub url: Option<String>,
    pub reserved: Option<u64>,
}

/// One request to the API.
#[derive(Debug, Clone)]
pub enum Operation {
    Create { code: String, publish: bool },
    UpdateCode { code: String, publish: bool },
    Describe(String),
    Publish,
    MoveAlias(u64),
    DeleteAlias,
    Tag(String, String),
    Untag(String),
    CreateUrl,
    DeleteUrl,
    Reserve(u64),
    Unreserve,
    DeleteVersion(u64),
    Delete,
}

// === impl Function ===

impl Function {
    fn created(code: &str) -> Self {
        Self {
            latest: Version { code: code.to_owned(), description: String::new() },
            versions: BTreeMap::new(),
            live: None,
            tags: BTreeMap::new(),
            url: None,
            reserved: None,
        }
    }

    /// Publishes, unless nothing has changed since the last version.
    fn publish(&mut self, next: u64) {
        if self.versions.values().next_back() != Some(&self.latest) {
            self.versions.insert(next, self.latest.clone());
        }
    }

    /// Whether this is what `seen` shows.
    pub fn is(&self, seen: &Self) -> bool {
        let any = self.url.as_deref() == Some(ANY_ID) && seen.url.is_some();
        *self == *seen || any && Self { url: seen.url.clone(), ..self.clone() } == *seen
    }
}

// === impl Operation ===

impl Operation {
    /// An operation that can be done now; `dice` is any number, `code` a code that is not yet there.
    pub fn chosen(function: Option<&Function>, dice: u64, code: String) -> Self {
        let Some(function) = function else { return Self::Create { code, publish: dice.is_multiple_of(2) } };
        let version = |dice: u64| {
            let numbers: Vec<u64> = function.versions.keys().copied().collect();
            numbers.get(usize::try_from(dice).unwrap() % numbers.len().max(1)).copied()
        };
        let older = version(dice / 18).filter(|number| {
            let (newest, _) = function.versions.last_key_value().unwrap();
            number != newest && function.live != Some(number.to_string())
        });
        match dice % 18 {
            0..=2 => Self::UpdateCode { code, publish: false },
            3..=4 => Self::UpdateCode { code, publish: true },
            5 => Self::Describe(code),
            6..=7 => Self::Publish,
            8..=9 => version(dice / 18).map_or(Self::Publish, Self::MoveAlias),
            10 if function.live.is_some() && dice.is_multiple_of(3) => Self::DeleteAlias,
            10 => Self::Tag(format!("key-{}", dice / 18 % 3), code),
            11 => function
                .tags
                .keys()
                .next()
                .map_or(Self::Tag("first".to_owned(), code), |key| Self::Untag(key.clone())),
            12 if function.url.is_none() => Self::CreateUrl,
            12 => Self::DeleteUrl,
            13 if function.reserved.is_none() => Self::Reserve(1 + dice / 18 % 5),
            13 => Self::Unreserve,
            14 => older.map_or(Self::Publish, Self::DeleteVersion),
            _ => Self::Delete,
        }
    }

    /// What it makes of a function whose next version is `next`.
    pub fn apply(&self, function: Option<&Function>, next: u64) -> Option<Function> {
        let mut after = match self {
            Self::Create { code, .. } => Function::created(code),
            _ => function?.clone(),
        };
        match self {
            Self::Create { publish, .. } if *publish => after.publish(next),
            Self::UpdateCode { code, publish } => {
                after.latest.code.clone_from(code);
                if *publish {
                    after.publish(next);
                }
            }
            Self::Describe(text) => after.latest.description.clone_from(text),
            Self::Publish => after.publish(next),
            Self::MoveAlias(number) => after.live = Some(number.to_string()),
            Self::DeleteAlias => after.live = None,
            Self::Tag(key, value) => _ = after.tags.insert(key.clone(), value.clone()),
            Self::Untag(key) => _ = after.tags.remove(key),
            Self::CreateUrl => after.url = Some(ANY_ID.to_owned()),
            Self::DeleteUrl => after.url = None,
            Self::Reserve(number) => after.reserved = Some(*number),
            Self::Unreserve => after.reserved = None,
            Self::DeleteVersion(number) => _ = after.versions.remove(number),
            Self::Delete => return None,
            Self::Create { .. } => {}
        }
        Some(after)
    }

    /// Its request: method, path and body.
    pub fn request(
        &self,
        name: &str,
        before: Option<&Function>,
        runtime: &str,
    ) -> (&'static str, String, Value) {
        let function = format!("/2015-03-31/functions/{name}");
        let tags = format!("/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:{name}");
        let url = format!("/2021-10-31/functions/{name}/url");
        let reserved = format!("/2017-10-31/functions/{name}/concurrency");
        match self {
            Self::Create { code, publish } => (
                "POST",
                "/2015-03-31/functions".to_owned(),
                json!({
                    "FunctionName": name, "Runtime": runtime, "Handler": "lambda_function.lambda_handler",
                    "Role": "arn:aws:iam::000000000000:role/lambent",
                    "Code": { "ZipFile": zip(code) }, "Publish": publish,
                }),
            ),
            Self::UpdateCode { code, publish } => {
                ("PUT", format!("{function}/code"), json!({ "ZipFile": zip(code), "Publish": publish }))
            }
            Self::Describe(text) => {
                ("PUT", format!("{function}/configuration"), json!({ "Description": text }))
            }
            Self::Publish => ("POST", format!("{function}/versions"), json!({})),
            Self::MoveAlias(number) if before.is_some_and(|before| before.live.is_some()) => {
                let moved = json!({ "FunctionVersion": number.to_string() });
                ("PUT", format!("{function}/aliases/live"), moved)
            }
            Self::MoveAlias(number) => {
                let made = json!({ "Name": "live", "FunctionVersion": number.to_string() });
                ("POST", format!("{function}/aliases"), made)
            }
            Self::DeleteAlias => ("DELETE", format!("{function}/aliases/live"), Value::Null),
            Self::Tag(key, value) => ("POST", tags, json!({ "Tags": { key: value } })),
            Self::Untag(key) => ("DELETE", format!("{tags}?tagKeys={key}"), Value::Null),
            Self::CreateUrl => ("POST", url, json!({ "AuthType": "NONE" })),
            Self::DeleteUrl => ("DELETE", url, Value::Null),
            Self::Reserve(number) => ("PUT", reserved, json!({ "ReservedConcurrentExecutions": number })),
            Self::Unreserve => ("DELETE", reserved, Value::Null),
            Self::DeleteVersion(number) => ("DELETE", format!("{function}?Qualifier={number}"), Value::Null),
            Self::Delete => ("DELETE", function, Value::Null),
        }
    }

    /// Takes from the answer what the server chose itself.
    pub fn learn(&self, after: &mut Option<Function>, answer: &Response) {
        if let (Self::CreateUrl, Some(after)) = (self, after) {
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            after.url = Some(url_id(&answer));
        }
    }
}

/// The id in a URL's configuration.
pub fn url_id(shown: &Value) -> String {
    let url = shown["FunctionUrl"].as_str().unwrap().trim_start_matches("http://");
    url.split('.').next().unwrap().to_owned()
}

/// Code that answers with a text, which it reads from another of its files.
fn zip(code: &str) -> String {
    let handler = "\
import os

def lambda_handler(event, context):
    with open(os.path.join(os.path.dirname(__file__), 'package', 'answer.txt')) as file:
        return file.read().split()[0]
";
    // More than a page, so that a file can be torn.
    let answer = format!("{code} {}", "x".repeat(9000));
    zipped(&[("lambda_function.py", handler), ("package/answer.txt", &answer)])
}
