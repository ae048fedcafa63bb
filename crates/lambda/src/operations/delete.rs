//! `DeleteFunction`: a whole function, or one of its versions.

use aws::{Request, Response, respond};
use http::StatusCode;
use types::arn::LATEST;

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target, is_version};
use crate::service::Service;

/// Deletes what the request names. Its logs stay, as with AWS.
pub async fn delete(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = Target::parse(request.label("FunctionName"), request.query("Qualifier"), Shape::Namespaced)?;
    match target.qualifier.as_deref() {
        None => service.catalogue.remove(&target.name, || target.not_found()).await?,
        Some(LATEST) => {
            let text = "$LATEST version cannot be deleted without deleting the function.";
            return Err(Error::InvalidParameter(text.to_owned()));
        }
        Some(number) if is_version(number) => version(service, &target, number).await?,
        Some(_) => {
            let text = "Deletion of aliases is not currently supported.";
            return Err(Error::InvalidParameter(text.to_owned()));
        }
    }
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

async fn version(service: &Service, target: &Target, number: &str) -> Result<(), Error> {
    let edit = |draft: &mut Draft| {
        let aliases = draft.function.aliases.iter().filter(|(_, alias)| alias.version == number);
        let aliases: Vec<&str> = aliases.map(|(name, _)| name.as_str()).collect();
        if !aliases.is_empty() {
            return Err(Error::Conflict(format!(
                "Unable to delete version because the following aliases reference it: [{}]",
                aliases.join(", ")
            )));
        }
        draft.function.provisioned.remove(number);
        if let Ok(number) = number.parse() {
            draft.versions.remove(&number);
        }
        draft.function.policies.remove(number);
        Ok(())
    };
    service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    Ok(())
}
