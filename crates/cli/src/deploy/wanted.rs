//! What a function is to be: the plan, what was asked for on the command line and, for everything not
//! mentioned, what the function has already.

use std::collections::BTreeMap;

use types::settings::{self, Server};

use crate::api::{FunctionConfiguration, FunctionSettings};

/// Memory of a new function in MiB: enough for a framework, unlike AWS's 128.
const MEMORY: u32 = 512;
/// Time limit of a new function in seconds: a web application may take longer than AWS's 3.
const TIMEOUT: u32 = 30;
/// The value that removes a setting.
const DEFAULT: &str = "default";

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Variables to set.
    pub environment: BTreeMap<String, String>,
    /// Variables to remove.
    pub unset: Vec<String>,
    /// MiB.
    pub memory: Option<u32>,
    /// Seconds.
    pub timeout: Option<u32>,
    /// Settings by tag; `default` removes one.
    pub tags: BTreeMap<&'static str, String>,
}

/// What the function is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its bare name.
    pub name: String,
    /// Its configuration.
    pub settings: FunctionSettings,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

// === impl Wanted ===

impl Wanted {
    /// Puts the three together.
    pub fn new(
        name: &str,
        runtime: &str,
        handler: &str,
        server: Option<Server>,
        overrides: &Overrides,
        existing: Option<(&FunctionConfiguration, &BTreeMap<String, String>)>,
    ) -> Self {
        let configuration = existing.map(|(configuration, _)| configuration);
        let mut environment =
            configuration.map(|existing| existing.environment.variables.clone()).unwrap_or_default();
        environment.retain(|name, _| !overrides.unset.contains(name));
        environment.extend(overrides.environment.clone());
        let settings = FunctionSettings {
            runtime: runtime.to_owned(),
            handler: handler.to_owned(),
            memory_size: overrides.memory.or(configuration.map(|is| is.memory_size)).unwrap_or(MEMORY),
            timeout: overrides.timeout.or(configuration.map(|is| is.timeout)).unwrap_or(TIMEOUT),
            environment,
        };
        let mut tags = existing.map(|(_, tags)| tags.clone()).unwrap_or_default();
        // Who serves follows from what the folder is now, not from what it was.
        tags.remove(settings::SERVER);
        let server = server.map(|server| match server {
            Server::Own => "own",
            Server::Shim => "shim",
        });
        tags.extend(server.map(|server| (settings::SERVER.to_owned(), server.to_owned())));
        for (tag, value) in &overrides.tags {
            if value == DEFAULT {
                tags.remove(*tag);
            } else {
                tags.insert((*tag).to_owned(), value.clone());
            }
        }
        Self { name: name.to_owned(), settings, tags }
    }

    /// Whether the function's configuration is already this.
    pub fn is_configured(&self, existing: &FunctionConfiguration) -> bool {
        let settings = &self.settings;
        settings.runtime == existing.runtime
            && settings.handler == existing.handler
            && settings.memory_size == existing.memory_size
            && settings.timeout == existing.timeout
            && settings.environment == existing.environment.variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mentioned_stays() {
        let mut existing = FunctionConfiguration { memory_size: 256, timeout: 5, ..Default::default() };
        existing.environment.variables =
            [("KEEP", "1"), ("DROP", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let tags = [("team", "blue"), (settings::SERVER, "own"), (settings::IDLE_SECONDS, "9")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let overrides = Overrides {
            environment: BTreeMap::from([("NEW".to_owned(), "3".to_owned())]),
            unset: vec!["DROP".to_owned()],
            timeout: Some(7),
            tags: BTreeMap::from([(settings::IDLE_SECONDS, DEFAULT.to_owned())]),
            ..Overrides::default()
        };
        let wanted = Wanted::new("f", "python3.11", "app.app", None, &overrides, Some((&existing, &tags)));
        assert_eq!((wanted.settings.memory_size, wanted.settings.timeout), (256, 7));
        assert_eq!(wanted.settings.environment.keys().collect::<Vec<_>>(), ["KEEP", "NEW"]);
        assert_eq!(wanted.tags.keys().collect::<Vec<_>>(), ["team"]);
        assert!(!wanted.is_configured(&existing));
    }
}
