//! `lambent rollback`: points the alias `live` at an earlier version.

use clap::Args;
use serde_json::json;

use super::ExitStatus;
use crate::api;
use crate::deploy::LIVE;
use crate::diagnostics::Advised;
use crate::printer::Printer;

/// Go back to an earlier version
///
/// Requests in progress finish on the version they began on. The next deploy goes forward again.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The function
    name: String,
    /// The version to go back to [default: the one before the live one]
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
}

/// Runs the command.
pub async fn run(
    arguments: &RollbackArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let name = &arguments.name;
    let versions = server.lambda.versions(name).await?;
    let versions: Vec<u64> = versions.iter().filter_map(|version| version.version.parse().ok()).collect();
    let alias = server.lambda.find_alias(name, LIVE).await?.ok_or_else(|| {
        Advised::new(format!("{name} has no alias `{LIVE}` to move"), "`lambent deploy` makes one")
    })?;
    let live = alias.function_version.parse().ok();
    let target = target(name, &versions, live, arguments.to)?;
    server.lambda.update_alias(name, LIVE, &target.to_string()).await?;
    let from = alias.function_version;
    printer.step("live", format_args!("{name} version {from} -> {target}"));
    if printer.is_json() {
        printer.document(&json!({ "name": name, "version": target.to_string(), "previous": from }))?;
    }
    Ok(ExitStatus::Success)
}

fn target(name: &str, versions: &[u64], live: Option<u64>, to: Option<u64>) -> Result<u64, Advised> {
    let list = || {
        let numbers: Vec<String> = versions.iter().map(u64::to_string).collect();
        format!("its versions are {}", numbers.join(", "))
    };
    if let Some(to) = to {
        let missing = || Advised::new(format!("{name} has no version {to}"), list());
        return versions.iter().copied().find(|version| *version == to).ok_or_else(missing);
    }
    let live =
        live.ok_or_else(|| Advised::new(format!("{name} has no live version"), "name one with --to"))?;
    let earlier = versions.iter().copied().filter(|version| *version < live).max();
    earlier.ok_or_else(|| {
        Advised::new(
            format!("{name} has no version before {live}"),
            "deploy another one first, or name one with --to",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_to_the_version_before_or_to_the_named_one() {
        assert_eq!(target("f", &[1, 2, 5, 7], Some(5), None).unwrap(), 2);
        assert_eq!(target("f", &[1, 2, 5], Some(1), Some(5)).unwrap(), 5);
        assert!(target("f", &[3], Some(3), None).unwrap_err().message.contains("before 3"));
        assert!(target("f", &[1, 3], Some(3), Some(2)).unwrap_err().hint.contains("1, 3"));
    }
}
