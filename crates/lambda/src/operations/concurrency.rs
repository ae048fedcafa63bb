//! Reserved concurrency: at most so many requests of a function at once, beyond which 429 at once.

use aws::{Members, Request, Response, Violations, respond};
use http::StatusCode;
use serde_json::{Value, json};

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target};
use crate::operations::{account, provisioned, updates};
use crate::service::Service;

/// Reserves concurrency. Zero stops the function.
pub async fn put(service: &Service, request: Request) -> Result<Response, Error> {
    let target = updates::edited(&request)?;
    let mut members = Members::parse("PutFunctionConcurrency", request.body).await?;
    let wanted = members.integer("ReservedConcurrentExecutions")?;
    members.finish();
    // AWS looks for the function before it looks at the number, and names it with $LATEST.
    let missing = || Target { qualifier: Some(types::arn::LATEST.to_owned()), ..target.clone() }.not_found();
    service.catalogue.get(&target.name).ok_or_else(missing)?;
    let mut check = Violations::new();
    check.required("reservedConcurrentExecutions", wanted.as_ref());
    if let Some(wanted) = wanted {
        check.range("reservedConcurrentExecutions", wanted, 0..=i64::from(u32::MAX));
    }
    check.finish()?;
    let wanted = u32::try_from(wanted.unwrap_or_default()).unwrap_or(u32::MAX);
    account::check_reserved(service, &target.name, wanted)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(missing)?;
    let provisioned = provisioned::total(&entry.function);
    if u64::from(wanted) < provisioned {
        return Err(Error::InvalidParameter(format!(
            " ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned \
             concurrency [{provisioned}]."
        )));
    }
    let edit = |draft: &mut Draft| {
        draft.function.reserved_concurrency = Some(wanted);
        Ok(())
    };
    service.catalogue.change(&target.name, missing, edit).await?;
    Ok(respond::json(StatusCode::OK, &json!({"ReservedConcurrentExecutions": wanted})))
}

/// Shows it; nothing where none is reserved.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = Target::parse(request.label("FunctionName"), None, Shape::Strict)?.whole_function()?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    let answer: Value = match entry.function.reserved_concurrency {
        Some(reserved) => json!({"ReservedConcurrentExecutions": reserved}),
        None => json!({}),
    };
    Ok(respond::json(StatusCode::OK, &answer))
}

/// Reserves nothing any more.
pub async fn delete(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = updates::edited(request)?;
    let edit = |draft: &mut Draft| {
        draft.function.reserved_concurrency = None;
        Ok(())
    };
    service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}
