//! `PublishVersion`: what `$LATEST` is now, frozen under the next number.

use std::sync::Arc;

use aws::{Members, Request, Response, Violations};
use http::StatusCode;

use crate::entry::Draft;
use crate::error::Error;
use crate::operations::{functions, updates};
use crate::records::{Version, revision_id};
use crate::service::Service;
use crate::unsupported;

/// Publishes a version, or answers with the last one if nothing has changed since.
pub async fn publish(service: &Service, request: Request) -> Result<Response, Error> {
    let target = updates::edited(&request)?;
    let mut members = Members::parse("PublishVersion", request.body).await?;
    unsupported::check(&mut members, None)?;
    let description = members.text("Description")?;
    let (sha256, expected) = (members.text("CodeSha256")?, members.text("RevisionId")?);
    members.finish();
    if let Some(description) = &description {
        let mut check = Violations::new();
        check.length("description", description, 0..=256);
        check.finish()?;
    }
    let edit = |draft: &mut Draft| {
        updates::check_revision(expected.as_deref(), &draft.function.latest.revision_id)?;
        let current = &draft.function.latest.code.sha256;
        if let Some(sha256) = sha256.filter(|sha256| !sha256.is_empty() && sha256 != current) {
            return Err(Error::InvalidParameter(format!(
                "CodeSHA256 ({sha256}) is different from current CodeSHA256 in $LATEST ({current}). Please try \
                 again with the CodeSHA256 in $LATEST."
            )));
        }
        Ok(add_if_changed(draft, description))
    };
    let (number, entry) = service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    functions::shown(&entry, Some(&number.to_string()), StatusCode::CREATED)
}

/// Adds a version unless the last one was published from the same `$LATEST`; its number either way.
pub fn add_if_changed(draft: &mut Draft, description: Option<String>) -> u64 {
    let fingerprint = draft.function.latest.fingerprint();
    match draft.versions.values().next_back() {
        Some(last) if last.published_from == fingerprint => last.number,
        _ => add(draft, description),
    }
}

/// Adds a version; its number.
pub fn add(draft: &mut Draft, description: Option<String>) -> u64 {
    let number = draft.function.next_version;
    draft.function.next_version = number.saturating_add(1);
    let mut configuration = draft.function.latest.clone();
    let published_from = configuration.fingerprint();
    configuration.revision_id = revision_id();
    if let Some(description) = description {
        configuration.description = description;
    }
    draft.versions.insert(number, Arc::new(Version { number, configuration, published_from }));
    number
}
