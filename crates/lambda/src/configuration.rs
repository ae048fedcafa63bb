//! The members by which a function is configured: the same in `CreateFunction` and
//! `UpdateFunctionConfiguration`, so read and checked in one place.

use std::collections::BTreeMap;

use aws::{Members, Violations};
use types::function::Runtime;
use types::limits::Limits;

use crate::environment;
use crate::error::Error;
use crate::names::is_version;
use crate::records::Configuration;
use crate::snap_start;

const ROLE: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
/// The largest `MemorySize` and `EphemeralStorage` of the model, in MiB.
const MAX_MIB: i64 = 32_768;

/// What a request wants to be configured; `None` where it says nothing.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `Runtime`, checked to be available.
    pub runtime: Option<String>,
    /// `Handler`.
    pub handler: Option<String>,
    /// `Role`.
    pub role: Option<String>,
    description: Option<String>,
    timeout: Option<u32>,
    memory: Option<u32>,
    tmp: Option<u32>,
    environment: Option<BTreeMap<String, String>>,
    snap_start: Option<bool>,
}

// === impl Wanted ===

impl Wanted {
    /// Takes the members, collecting violations of the model in `check`.
    ///
    /// # Errors
    /// [`Error::Serialization`] for a member of the wrong type.
    pub fn take(members: &mut Members, limits: &Limits, check: &mut Violations) -> Result<Self, Error> {
        let mut wanted = Self {
            runtime: members.text("Runtime")?,
            handler: members.text("Handler")?,
            role: members.text("Role")?,
            description: members.text("Description")?,
            ..Self::default()
        };
        wanted.check_texts(check);
        let longest = i64::from(limits.timeout_seconds);
        if let Some(seconds) = members.integer("Timeout")? {
            check.range_of_setting("timeout", seconds, 1..=longest, "--limit-timeout");
            wanted.timeout = u32::try_from(seconds).ok();
        }
        if let Some(mib) = members.integer("MemorySize")? {
            check.range("memorySize", mib, 128..=MAX_MIB);
            wanted.memory = u32::try_from(mib).ok();
        }
        if let Some(mut storage) = members.object("EphemeralStorage")? {
            let size = storage.integer("Size")?;
            check.required("ephemeralStorage.size", size.as_ref());
            if let Some(mib) = size {
                check.range("ephemeralStorage.size", mib, 512..=MAX_MIB);
                wanted.tmp = u32::try_from(mib).ok();
            }
            storage.finish();
        }
        if let Some(mut object) = members.object("Environment")? {
            let variables = object.text_map("Variables")?.unwrap_or_default();
            environment::check_names(&variables, check);
            wanted.environment = Some(variables);
            object.finish();
        }
        if let Some(mut object) = members.object("SnapStart")? {
            if let Some(applies_to) = object.text("ApplyOn")? {
                check.one_of("snapStart.applyOn", &applies_to, &[snap_start::PUBLISHED, snap_start::NONE]);
                wanted.snap_start = Some(applies_to == snap_start::PUBLISHED);
            }
            object.finish();
        }
        Ok(wanted)
    }

    /// Checks what only the service knows: the runtime and the size of the environment.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check(&self, available: &[String]) -> Result<(), Error> {
        if let Some(runtime) = &self.runtime {
            check_runtime(runtime, available)?;
        }
        match &self.environment {
            Some(variables) => environment::check(variables),
            None => Ok(()),
        }
    }

    /// Writes what is wanted over what is there.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] where the two do not go together.
    pub fn apply(self, to: &mut Configuration) -> Result<(), Error> {
        set(&mut to.runtime, self.runtime);
        set(&mut to.handler, self.handler);
        set(&mut to.role, self.role);
        set(&mut to.description, self.description);
        set(&mut to.timeout_seconds, self.timeout);
        set(&mut to.memory_mib, self.memory);
        set(&mut to.tmp_mib, self.tmp);
        if self.environment.is_some() {
            to.environment = self.environment;
        }
        set(&mut to.snap_start, self.snap_start);
        snap_start::check(to)
    }

    fn check_texts(&self, check: &mut Violations) {
        if let Some(handler) = &self.handler {
            check.length("handler", handler, 0..=128);
            let matches = !handler.is_empty() && !handler.contains(char::is_whitespace);
            check.pattern("handler", handler, r"[^\s]+", matches);
        }
        if let Some(role) = &self.role {
            check.pattern("role", role, ROLE, is_role(role));
        }
        if let Some(description) = &self.description {
            check.length("description", description, 0..=256);
        }
    }
}

/// Checks that a runtime is known and installed here.
fn check_runtime(runtime: &str, available: &[String]) -> Result<(), Error> {
    let known: Runtime = runtime.parse().map_err(|_| {
        Error::InvalidParameter(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \
             [{}] or be a valid ARN",
            available.join(", ")
        ))
    })?;
    if available.iter().any(|name| name.parse() == Ok(known)) {
        return Ok(());
    }
    Err(Error::InvalidParameter(format!(
        "runtime {runtime} is not installed on this host: available are [{}]; install it and restart, or \
         choose one of these",
        available.join(", ")
    )))
}

fn is_role(role: &str) -> bool {
    let Some(rest) = role.strip_prefix("arn:") else { return false };
    let Some((partition, rest)) = rest.split_once(":iam::") else { return false };
    let Some((account, name)) = rest.split_once(":role") else { return false };
    let letters = |tail: &str| tail.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
    let partition_ok = partition.is_empty() || partition.strip_prefix("aws").is_some_and(letters);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    let name_ok = name.chars().all(allowed) && !name.trim_start_matches('/').is_empty();
    partition_ok && account.len() == 12 && is_version(account) && name_ok
}

fn set<T>(to: &mut T, wanted: Option<T>) {
    if let Some(value) = wanted {
        *to = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_models_shape() {
        for role in ["arn:aws:iam::000000000000:role/r", "arn:aws-cn:iam::123456789012:role/path/r+=,.@-_"] {
            assert!(is_role(role), "{role}");
        }
        for role in [
            "r1",
            "",
            "arn:aws:iam::123:role/r",
            "arn:aws:iam::000000000000:role/",
            "arn:aws:iam::000000000000:user/r",
        ] {
            assert!(!is_role(role), "{role}");
        }
    }

    #[test]
    fn a_runtime_must_be_known_and_installed() {
        let available = ["python3.11".to_owned(), "provided.al2023".to_owned()];
        assert!(check_runtime("python3.11", &available).is_ok());
        assert!(check_runtime("provided.al2", &available).is_ok());
        let missing = check_runtime("python3.9", &available).unwrap_err().to_string();
        assert!(missing.contains("not installed") && missing.contains("python3.11"), "{missing}");
        let unknown = check_runtime("cobol", &available).unwrap_err().to_string();
        assert!(unknown.starts_with("Value cobol at 'runtime' failed"), "{unknown}");
    }
}
