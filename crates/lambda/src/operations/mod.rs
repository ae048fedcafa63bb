//! The operations of the Lambda API: the routing table of the whole model, and one file per group of
//! those that are done. An operation of the model that is not done is refused by its name.

mod account;
mod aliases;
mod concurrency;
mod delete;
mod functions;
pub mod invoke;
mod lists;
mod permissions;
mod provisioned;
mod routes;
mod tags;
mod updates;
mod urls;
mod versions;

pub use routes::ROUTES;

use aws::{Request, Response};

use crate::error::Error;
use crate::service::Service;

/// Does one operation other than `Invoke`.
///
/// # Errors
/// What the operation says.
pub async fn perform(service: &Service, request: Request) -> Result<Response, Error> {
    match request.operation.as_str() {
        "CreateFunction" => functions::create(service, request).await,
        "GetFunction" => functions::get(service, &request),
        "GetFunctionConfiguration" => functions::get_configuration(service, &request),
        routes::GET_CODE => functions::get_code(service, &request).await,
        "ListFunctions" => lists::functions(service, &request),
        "UpdateFunctionCode" => updates::code(service, request).await,
        "UpdateFunctionConfiguration" => updates::configuration(service, request).await,
        "DeleteFunction" => delete::delete(service, &request).await,
        "PublishVersion" => versions::publish(service, request).await,
        "ListVersionsByFunction" => lists::versions(service, &request),
        "CreateAlias" => aliases::create(service, request).await,
        "GetAlias" => aliases::get(service, &request),
        "UpdateAlias" => aliases::update(service, request).await,
        "DeleteAlias" => aliases::delete(service, &request).await,
        "ListAliases" => lists::aliases(service, &request),
        "CreateFunctionUrlConfig" => urls::create(service, request).await,
        "GetFunctionUrlConfig" => urls::get(service, &request),
        "UpdateFunctionUrlConfig" => urls::update(service, request).await,
        "DeleteFunctionUrlConfig" => urls::delete(service, &request).await,
        "ListFunctionUrlConfigs" => lists::urls(service, &request),
        "AddPermission" => permissions::add(service, request).await,
        "GetPolicy" => permissions::get(service, &request),
        "RemovePermission" => permissions::remove(service, &request).await,
        "TagResource" => tags::tag(service, request).await,
        "UntagResource" => tags::untag(service, &request).await,
        "ListTags" => tags::list(service, &request),
        "PutFunctionConcurrency" => concurrency::put(service, request).await,
        "GetFunctionConcurrency" => concurrency::get(service, &request),
        "DeleteFunctionConcurrency" => concurrency::delete(service, &request).await,
        "PutProvisionedConcurrencyConfig" => provisioned::put(service, request).await,
        "GetProvisionedConcurrencyConfig" => provisioned::get(service, &request),
        "ListProvisionedConcurrencyConfigs" => provisioned::list(service, &request),
        "DeleteProvisionedConcurrencyConfig" => provisioned::delete(service, &request).await,
        "GetAccountSettings" => Ok(account::settings(service)),
        other => Err(Error::Unsupported(other.to_owned())),
    }
}
