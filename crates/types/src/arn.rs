//! How a function is named: bare, with a qualifier, as a partial or a full ARN.
//!
//! Source: the `FunctionName` and `Qualifier` patterns of the Lambda API model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The account everything belongs to unless credentials say otherwise.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The region everything lives in unless a request says otherwise.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The qualifier of the version that is being edited.
pub const LATEST: &str = "$LATEST";
/// The longest function name AWS accepts.
pub const MAX_NAME: usize = 64;

/// A function as a caller named it: `name`, `name:qualifier`, `account:function:name` or a full ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FunctionReference {
    /// The bare name, 1 to 64 characters of `[a-zA-Z0-9-_]`.
    pub name: String,
    /// A version number, an alias or `$LATEST`, where the caller gave one.
    pub qualifier: Option<String>,
}

/// Why a text names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name has characters or a length that AWS refuses.
    #[error("`{0}` is not a function name: use 1 to 64 letters, digits, `-` and `_`")]
    Name(String),
    /// The qualifier is neither a number, an alias nor `$LATEST`.
    #[error("`{0}` is not a version or alias: use a number, `$LATEST` or letters, digits, `-` and `_`")]
    Qualifier(String),
    /// The text has colons but not the shape of an ARN.
    #[error("`{0}` is not a function ARN: expected arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]")]
    Arn(String),
}

// === impl FunctionReference ===

impl FunctionReference {
    /// A reference to the unqualified function.
    ///
    /// # Errors
    /// [`Error::Name`] when `name` is not a name AWS would accept.
    pub fn unqualified(name: &str) -> Result<Self, Error> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), qualifier: None })
    }

    /// The full ARN in the default account and region.
    #[must_use]
    pub fn arn(&self) -> String {
        let mut arn = function_arn(&self.name);
        if let Some(qualifier) = &self.qualifier {
            arn.push(':');
            arn.push_str(qualifier);
        }
        arn
    }
}

impl FromStr for FunctionReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split(':').collect();
        let (name, qualifier) = match parts.as_slice() {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            [_account, "function", name] => (*name, None),
            [_account, "function", name, qualifier] => (*name, Some(*qualifier)),
            ["arn", _partition, "lambda", _region, _account, "function", name] => (*name, None),
            ["arn", _partition, "lambda", _region, _account, "function", name, qualifier] => {
                (*name, Some(*qualifier))
            }
            _ => return Err(Error::Arn(text.to_owned())),
        };
        check_name(name)?;
        if let Some(qualifier) = qualifier {
            check_qualifier(qualifier)?;
        }
        Ok(Self { name: name.to_owned(), qualifier: qualifier.map(str::to_owned) })
    }
}

impl fmt::Display for FunctionReference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.qualifier {
            Some(qualifier) => write!(out, "{}:{qualifier}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

/// The unqualified ARN of the function called `name`.
#[must_use]
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{DEFAULT_REGION}:{DEFAULT_ACCOUNT}:function:{name}")
}

/// Checks a bare function name.
///
/// # Errors
/// [`Error::Name`] when AWS would refuse it.
pub fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(())
}

/// Checks a qualifier: a version number, an alias or `$LATEST`.
///
/// # Errors
/// [`Error::Qualifier`] when AWS would refuse it.
pub fn check_qualifier(qualifier: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if qualifier == LATEST {
        return Ok(());
    }
    if qualifier.is_empty() || qualifier.len() > 128 || !qualifier.chars().all(allowed) {
        return Err(Error::Qualifier(qualifier.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_aws_reads() {
        for text in [
            "hello",
            "hello:live",
            "000000000000:function:hello",
            "000000000000:function:hello:live",
            "arn:aws:lambda:us-east-1:000000000000:function:hello",
            "arn:aws:lambda:eu-west-1:123456789012:function:hello:$LATEST",
        ] {
            assert_eq!(text.parse::<FunctionReference>().unwrap().name, "hello", "{text}");
        }
    }

    #[test]
    fn refuses_what_aws_refuses() {
        for text in ["", "a b", "a/b", "hello:", "hello:a b", "arn:aws:s3:::bucket", &"x".repeat(65)] {
            assert!(text.parse::<FunctionReference>().is_err(), "{text}");
        }
    }
}
