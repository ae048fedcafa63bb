//! `UpdateFunctionCode` and `UpdateFunctionConfiguration`: changes of `$LATEST`.

use aws::{Members, Request, Response, Violations};
use http::StatusCode;

use crate::code;
use crate::configuration::Wanted;
use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target};
use crate::operations::{functions, versions};
use crate::service::Service;
use crate::unsupported;

/// Replaces the code of `$LATEST`; with `DryRun` it only says what would be.
pub async fn code(service: &Service, request: Request) -> Result<Response, Error> {
    let target = edited(&request)?;
    let mut members = Members::parse("UpdateFunctionCode", request.body).await?;
    let mut check = Violations::new();
    let architectures = members.texts("Architectures")?;
    if let Some(names) = &architectures {
        functions::check_architectures(names, &mut check);
    }
    check.finish()?;
    unsupported::check_architectures(architectures.as_deref())?;
    unsupported::check(&mut members, None)?;
    let (publish, dry_run) = (members.flag("Publish")?, members.flag("DryRun")?);
    let expected = members.text("RevisionId")?;
    // Asked again under the function's turn; asked here so that a large zip is not kept for nothing.
    let before = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    check_revision(expected.as_deref(), &before.function.latest.revision_id)?;
    let code = code::take(&mut members, service.catalogue.artifacts(), &service.options.limits).await?;
    members.finish();
    if dry_run {
        return functions::shown(&before, None, StatusCode::OK);
    }
    let edit = |draft: &mut Draft| {
        check_revision(expected.as_deref(), &draft.function.latest.revision_id)?;
        draft.function.latest.code = code;
        draft.function.latest.touch();
        Ok(publish.then(|| versions::add_if_changed(draft, None)))
    };
    let (version, entry) = service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    functions::shown(&entry, version.map(|number| number.to_string()).as_deref(), StatusCode::OK)
}

/// Changes the configuration of `$LATEST`.
pub async fn configuration(service: &Service, request: Request) -> Result<Response, Error> {
    let target = edited(&request)?;
    let mut members = Members::parse("UpdateFunctionConfiguration", request.body).await?;
    let mut check = Violations::new();
    let wanted = Wanted::take(&mut members, &service.options.limits, &mut check)?;
    check.finish()?;
    unsupported::check(&mut members, Some(&target.name))?;
    let expected = members.text("RevisionId")?;
    members.finish();
    wanted.check(&service.options.runtimes)?;
    let edit = |draft: &mut Draft| {
        check_revision(expected.as_deref(), &draft.function.latest.revision_id)?;
        wanted.apply(&mut draft.function.latest)?;
        draft.function.latest.touch();
        Ok(())
    };
    let ((), entry) = service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    functions::shown(&entry, None, StatusCode::OK)
}

/// Checks a `RevisionId` that the caller depends on.
pub fn check_revision(expected: Option<&str>, found: &str) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != found => Err(Error::Precondition),
        _ => Ok(()),
    }
}

/// The function whose `$LATEST` a request edits.
pub fn edited(request: &Request) -> Result<Target, Error> {
    Target::parse(request.label("FunctionName"), None, Shape::Strict)?.whole_function()
}
