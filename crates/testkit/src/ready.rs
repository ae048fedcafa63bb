//! What a server says about itself when it is ready: the one line of `lambent serve --json`.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

/// Where a server listens and who it is.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The AWS API.
    pub listen: SocketAddr,
    /// Functions and web applications.
    pub gateway: SocketAddr,
    /// Health, metrics and status.
    pub admin: SocketAddr,
    /// The server's process.
    pub pid: u32,
    /// Its broker's process.
    pub broker_pid: u32,
    /// `namespaces` or `process`.
    pub isolation: String,
    /// What its cgroups are named after.
    pub name: String,
}

// === impl Ready ===

impl Ready {
    pub(crate) fn read(line: &str) -> Result<Self> {
        let object: Value = serde_json::from_str(line).with_context(|| format!("not JSON: `{line}`"))?;
        Ok(Self {
            listen: address(&object, "listen")?,
            gateway: address(&object, "gateway")?,
            admin: address(&object, "admin")?,
            pid: pid(&object, "pid")?,
            broker_pid: pid(&object, "broker_pid")?,
            isolation: text(&object, "isolation")?.to_owned(),
            name: text(&object, "name")?.to_owned(),
        })
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Result<&'a str> {
    object.get(key).and_then(Value::as_str).with_context(|| format!("no `{key}` in {object}"))
}

fn address(object: &Value, key: &str) -> Result<SocketAddr> {
    let text = text(object, key)?;
    text.parse().with_context(|| format!("`{key}` is `{text}`, not an address"))
}

fn pid(object: &Value, key: &str) -> Result<u32> {
    let number =
        object.get(key).and_then(Value::as_u64).with_context(|| format!("no `{key}` in {object}"))?;
    u32::try_from(number).with_context(|| format!("`{key}` is {number}, not a process id"))
}
