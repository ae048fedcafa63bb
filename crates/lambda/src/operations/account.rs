//! The account: its limits and what of them is in use.

use aws::{Response, respond};
use http::StatusCode;
use serde_json::json;

use crate::error::Error;
use crate::operations::provisioned;
use crate::service::Service;

/// AWS's default for an account: requests of all functions at once. Only reservations are measured
/// against it; what really bounds a server is `--limit-instances` and `lambent:max-instances`.
const CONCURRENT_EXECUTIONS: u64 = 1000;
/// What has to be left for functions without a reservation.
const UNRESERVED_MINIMUM: u64 = 100;
/// AWS's bound on all code of an account; the disk is the real one.
const TOTAL_CODE_SIZE: u64 = 80 * 1024 * 1024 * 1024;

/// `GetAccountSettings`.
#[must_use]
pub fn settings(service: &Service) -> Response {
    let entries = service.catalogue.all();
    let latest: u64 = entries.iter().map(|entry| entry.function.latest.code.size).sum();
    let versions = entries.iter().flat_map(|entry| entry.versions.values());
    let published: u64 = versions.map(|version| version.configuration.code.size).sum();
    let limits = &service.options.limits;
    let unreserved = CONCURRENT_EXECUTIONS.saturating_sub(taken(service, None));
    let answer = json!({
        "AccountLimit": {
            "TotalCodeSize": TOTAL_CODE_SIZE,
            "CodeSizeUnzipped": limits.code_unzipped,
            "CodeSizeZipped": limits.code_zip,
            "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
            "UnreservedConcurrentExecutions": unreserved,
        },
        "AccountUsage": { "TotalCodeSize": latest + published, "FunctionCount": entries.len() },
    });
    respond::json(StatusCode::OK, &answer)
}

/// Checks that a reservation leaves enough for the other functions.
pub fn check_reserved(service: &Service, function: &str, wanted: u32) -> Result<(), Error> {
    let taken = taken(service, Some(function)) + u64::from(wanted);
    if taken + UNRESERVED_MINIMUM > CONCURRENT_EXECUTIONS {
        return Err(Error::InvalidParameter(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_MINIMUM}]."
        )));
    }
    Ok(())
}

/// Checks that provisioned concurrency of a function without a reservation leaves enough for the others.
pub fn check_provisioned(service: &Service, function: &str, wanted: u64) -> Result<(), Error> {
    let unreserved = CONCURRENT_EXECUTIONS.saturating_sub(taken(service, Some(function)));
    if wanted > unreserved {
        return Err(Error::InvalidParameter(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency \
             [{unreserved}]."
        )));
    }
    if wanted + UNRESERVED_MINIMUM > unreserved {
        return Err(Error::InvalidParameter(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
             below its minimum value of [{UNRESERVED_MINIMUM}]."
        )));
    }
    Ok(())
}

/// What functions hold of the account: their reservation, else what is provisioned.
fn taken(service: &Service, except: Option<&str>) -> u64 {
    let entries = service.catalogue.all();
    let others = entries.iter().filter(|entry| Some(entry.function.name.as_str()) != except);
    others
        .map(|entry| match entry.function.reserved_concurrency {
            Some(reserved) => u64::from(reserved),
            None => provisioned::total(&entry.function),
        })
        .sum()
}
