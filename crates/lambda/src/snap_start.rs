//! `SnapStart`: the init of a published version is shared by its instances, which are forked from it.
//!
//! AWS restores them from a snapshot; what that asks of a function (hooks before and after, nothing unique made
//! in the init) is what a fork asks of it. It is taken for the runtimes for which AWS takes it and that can be
//! forked here. Decides and shows only: the sharing is the worker's, by the setting `lambent:init`.

use serde_json::{Value, json};
use types::arn::LATEST;
use types::function::Runtime;

use crate::error::Error;
use crate::records::Configuration;

/// `ApplyOn`: it applies to published versions.
pub const PUBLISHED: &str = "PublishedVersions";
/// `ApplyOn`: it does not apply.
pub const NONE: &str = "None";
/// The first Python with it on AWS.
const FIRST_PYTHON: u8 = 12;

/// Whether it is in force for a version: `$LATEST` never has it.
#[must_use]
pub fn is_on(configuration: &Configuration, version: &str) -> bool {
    configuration.snap_start && version != LATEST
}

/// AWS's `SnapStartResponse`.
#[must_use]
pub fn shown(configuration: &Configuration, version: &str) -> Value {
    let applies_to = if configuration.snap_start { PUBLISHED } else { NONE };
    let status = if is_on(configuration, version) { "On" } else { "Off" };
    json!({"ApplyOn": applies_to, "OptimizationStatus": status})
}

/// Refuses it for runtimes that AWS refuses.
///
/// # Errors
/// [`Error::InvalidParameter`] in AWS's words.
pub fn check(configuration: &Configuration) -> Result<(), Error> {
    let runtime = configuration.runtime.as_str();
    let has_it = match runtime.parse() {
        Ok(Runtime::Python { minor }) => minor >= FIRST_PYTHON,
        _ => false,
    };
    if configuration.snap_start && !has_it {
        let text = format!("{runtime} is not supported for SnapStart enabled functions.");
        return Err(Error::InvalidParameter(text));
    }
    Ok(())
}
