//! Operations of the Lambda API (REST-JSON), one method each. Paths, members and codes are AWS's.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::shapes::{
    AliasConfiguration, AliasPage, FunctionConfiguration, FunctionPage, TagList, UrlConfiguration, UrlPage,
    VersionPage,
};
use super::{Endpoint, Error, ServiceError};

/// What stays as it is in a path segment or a query value.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The API demands a role; nothing here acts on it yet.
const ROLE: &str = "arn:aws:iam::000000000000:role/lambent";

/// The Lambda service at one address.
#[derive(Debug, Clone)]
pub struct Lambda {
    endpoint: Endpoint,
}

/// What a function is besides its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSettings {
    /// AWS's runtime identifier.
    pub runtime: String,
    /// What is called.
    pub handler: String,
    /// MiB.
    pub memory_size: u32,
    /// Seconds.
    pub timeout: u32,
    /// The user's variables.
    pub environment: BTreeMap<String, String>,
}

/// A function to create.
#[derive(Debug)]
pub struct NewFunction<'a> {
    /// Its bare name.
    pub name: &'a str,
    /// Its zip.
    pub code: &'a [u8],
    /// The rest.
    pub settings: &'a FunctionSettings,
    /// Tags, Lambent's own among them.
    pub tags: &'a BTreeMap<String, String>,
}

/// What an invocation came to.
#[derive(Debug)]
pub struct Invocation {
    /// The result, or the error object where `function_error` is set.
    pub payload: Bytes,
    /// `X-Amz-Function-Error`.
    pub function_error: Option<String>,
    /// The last lines of the log, if they were asked for.
    pub log_tail: Option<String>,
    /// The version that ran.
    pub executed_version: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

// === impl Lambda ===

impl Lambda {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// `CreateFunction`
    pub async fn create_function(&self, new: &NewFunction<'_>) -> Result<FunctionConfiguration, Error> {
        let mut body = settings_body(new.settings);
        merge(
            &mut body,
            json!({
                "FunctionName": new.name,
                "Role": ROLE,
                "PackageType": "Zip",
                "Code": { "ZipFile": BASE64_STANDARD.encode(new.code) },
                "Tags": new.tags,
            }),
        );
        self.call("CreateFunction", Method::POST, "/2015-03-31/functions", Some(body)).await
    }

    /// `GetFunctionConfiguration`
    pub async fn function(
        &self,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<FunctionConfiguration, Error> {
        let path = with_qualifier(function_path(name, "/configuration"), qualifier);
        self.call("GetFunctionConfiguration", Method::GET, &path, None).await
    }

    /// `GetFunctionConfiguration`, with "there is none" as a value.
    pub async fn find_function(&self, name: &str) -> Result<Option<FunctionConfiguration>, Error> {
        found(self.function(name, None).await)
    }

    /// `ListFunctions`, all pages.
    pub async fn functions(&self) -> Result<Vec<FunctionConfiguration>, Error> {
        let mut functions = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let path = paged("/2015-03-31/functions", marker.as_deref());
            let page: FunctionPage = self.call("ListFunctions", Method::GET, &path, None).await?;
            functions.extend(page.functions);
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(functions);
            }
        }
    }

    /// `UpdateFunctionCode`
    pub async fn update_code(&self, name: &str, code: &[u8]) -> Result<FunctionConfiguration, Error> {
        let body = json!({ "ZipFile": BASE64_STANDARD.encode(code) });
        self.call("UpdateFunctionCode", Method::PUT, &function_path(name, "/code"), Some(body)).await
    }

    /// `UpdateFunctionConfiguration`
    pub async fn update_configuration(
        &self,
        name: &str,
        settings: &FunctionSettings,
    ) -> Result<FunctionConfiguration, Error> {
        let path = function_path(name, "/configuration");
        self.call("UpdateFunctionConfiguration", Method::PUT, &path, Some(settings_body(settings))).await
    }

    /// `DeleteFunction`
    pub async fn delete_function(&self, name: &str) -> Result<(), Error> {
        self.call_for_nothing("DeleteFunction", Method::DELETE, &function_path(name, ""), None).await
    }

    /// `PublishVersion`
    pub async fn publish_version(&self, name: &str) -> Result<FunctionConfiguration, Error> {
        let path = function_path(name, "/versions");
        self.call("PublishVersion", Method::POST, &path, Some(json!({}))).await
    }

    /// `ListVersionsByFunction`, all pages.
    pub async fn versions(&self, name: &str) -> Result<Vec<FunctionConfiguration>, Error> {
        let mut versions = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let path = paged(&function_path(name, "/versions"), marker.as_deref());
            let page: VersionPage = self.call("ListVersionsByFunction", Method::GET, &path, None).await?;
            versions.extend(page.versions);
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(versions);
            }
        }
    }

    /// `ListAliases`
    pub async fn aliases(&self, name: &str) -> Result<Vec<AliasConfiguration>, Error> {
        let path = function_path(name, "/aliases");
        let page: AliasPage = self.call("ListAliases", Method::GET, &path, None).await?;
        Ok(page.aliases)
    }

    /// `GetAlias`, with "there is none" as a value.
    pub async fn find_alias(&self, name: &str, alias: &str) -> Result<Option<AliasConfiguration>, Error> {
        let path = function_path(name, &format!("/aliases/{}", encode(alias)));
        found(self.call("GetAlias", Method::GET, &path, None).await)
    }

    /// `CreateAlias`
    pub async fn create_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), Error> {
        let body = json!({ "Name": alias, "FunctionVersion": version });
        let path = function_path(name, "/aliases");
        self.call_for_nothing("CreateAlias", Method::POST, &path, Some(body)).await
    }

    /// `UpdateAlias`
    pub async fn update_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), Error> {
        let path = function_path(name, &format!("/aliases/{}", encode(alias)));
        let body = json!({ "FunctionVersion": version });
        self.call_for_nothing("UpdateAlias", Method::PUT, &path, Some(body)).await
    }

    /// `CreateFunctionUrlConfig` without authentication; the URL.
    pub async fn create_url(&self, name: &str, qualifier: &str) -> Result<String, Error> {
        let path = with_qualifier(url_path(name, "/url"), Some(qualifier));
        let body = json!({ "AuthType": "NONE" });
        let url: UrlConfiguration =
            self.call("CreateFunctionUrlConfig", Method::POST, &path, Some(body)).await?;
        Ok(url.function_url)
    }

    /// `GetFunctionUrlConfig`, with "there is none" as a value; the URL.
    pub async fn find_url(&self, name: &str, qualifier: &str) -> Result<Option<String>, Error> {
        let path = with_qualifier(url_path(name, "/url"), Some(qualifier));
        let url: Option<UrlConfiguration> =
            found(self.call("GetFunctionUrlConfig", Method::GET, &path, None).await)?;
        Ok(url.map(|url| url.function_url))
    }

    /// `ListFunctionUrlConfigs`; the URLs.
    pub async fn urls(&self, name: &str) -> Result<Vec<String>, Error> {
        let path = url_path(name, "/urls");
        let page: UrlPage = self.call("ListFunctionUrlConfigs", Method::GET, &path, None).await?;
        Ok(page.function_url_configs.into_iter().map(|url| url.function_url).collect())
    }

    /// `AddPermission`: anyone may call the function's URL.
    pub async fn allow_url(&self, name: &str, qualifier: &str) -> Result<(), Error> {
        let path = with_qualifier(function_path(name, "/policy"), Some(qualifier));
        let body = json!({
            "StatementId": "lambent-url",
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        });
        self.call_for_nothing("AddPermission", Method::POST, &path, Some(body)).await
    }

    /// `ListTags`
    pub async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, Error> {
        let list: TagList = self.call("ListTags", Method::GET, &tags_path(arn), None).await?;
        Ok(list.tags)
    }

    /// `TagResource`
    pub async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), Error> {
        let body = json!({ "Tags": tags });
        self.call_for_nothing("TagResource", Method::POST, &tags_path(arn), Some(body)).await
    }

    /// `UntagResource`
    pub async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), Error> {
        let query: Vec<String> = keys.iter().map(|key| format!("tagKeys={}", encode(key))).collect();
        let path = format!("{}?{}", tags_path(arn), query.join("&"));
        self.call_for_nothing("UntagResource", Method::DELETE, &path, None).await
    }

    /// `Invoke`, waiting for the result.
    pub async fn invoke(
        &self,
        name: &str,
        qualifier: Option<&str>,
        payload: Bytes,
        tail: bool,
    ) -> Result<Invocation, Error> {
        let path = with_qualifier(function_path(name, "/invocations"), qualifier);
        let mut request = request(Method::POST, &path, payload);
        let headers = request.headers_mut();
        headers.insert("x-amz-invocation-type", http::HeaderValue::from_static("RequestResponse"));
        if tail {
            headers.insert("x-amz-log-type", http::HeaderValue::from_static("Tail"));
        }
        let answer = self.send("Invoke", request).await?;
        let headers = answer.headers();
        let log_tail = header(headers, "x-amz-log-result")
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Invocation {
            function_error: header(headers, "x-amz-function-error"),
            executed_version: header(headers, "x-amz-executed-version"),
            request_id: header(headers, "x-amzn-requestid"),
            log_tail,
            payload: answer.into_body(),
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Error> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = self.send(operation, request(method, path, body)).await?;
        serde_json::from_slice(answer.body()).map_err(|source| Error::Malformed {
            operation,
            url: self.endpoint.url().to_owned(),
            source,
        })
    }

    async fn call_for_nothing(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(), Error> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.send(operation, request(method, path, body)).await.map(|_| ())
    }

    async fn send(&self, operation: &'static str, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let answer = self.endpoint.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refusal(operation, &answer).into())
    }
}

/// Reads AWS's error shape, in the header and body spellings that REST-JSON and JSON 1.1 use.
pub(super) fn refusal(operation: &'static str, answer: &Response<Bytes>) -> ServiceError {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let code =
        header(answer.headers(), "x-amzn-errortype").or_else(|| text("__type")).or_else(|| text("Code"));
    // `x-amzn-errortype` may carry `Name:http://...`, `__type` may carry `namespace#Name`.
    let code = code.as_deref().unwrap_or("UnknownError");
    let code = code.split(':').next().unwrap_or(code);
    let code = code.rsplit('#').next().unwrap_or(code);
    let message =
        text("message").or_else(|| text("Message")).or_else(|| text("error")).unwrap_or_else(|| {
            let body = String::from_utf8_lossy(answer.body());
            let excerpt: String = body.trim().chars().take(200).collect();
            format!("HTTP {} {excerpt}", answer.status().as_u16()).trim_end().to_owned()
        });
    ServiceError { operation, status: answer.status().as_u16(), code: code.to_owned(), message }
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Bytes> {
    let has_body = !body.is_empty();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // Every part of a path here is encoded, so this cannot fail; `/` would be answered with a 404.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if has_body {
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    }
    request
}

fn settings_body(settings: &FunctionSettings) -> Value {
    json!({
        "Runtime": settings.runtime,
        "Handler": settings.handler,
        "MemorySize": settings.memory_size,
        "Timeout": settings.timeout,
        "Environment": { "Variables": settings.environment },
    })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn function_path(name: &str, rest: &str) -> String {
    format!("/2015-03-31/functions/{}{rest}", encode(name))
}

fn url_path(name: &str, rest: &str) -> String {
    format!("/2021-10-31/functions/{}{rest}", encode(name))
}

fn tags_path(arn: &str) -> String {
    format!("/2017-03-31/tags/{}", encode(arn))
}

fn with_qualifier(path: String, qualifier: Option<&str>) -> String {
    match qualifier {
        Some(qualifier) => format!("{path}?Qualifier={}", encode(qualifier)),
        None => path,
    }
}

fn paged(path: &str, marker: Option<&str>) -> String {
    match marker {
        Some(marker) => format!("{path}?Marker={}", encode(marker)),
        None => path.to_owned(),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(header: Option<&str>, body: &str) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(body.to_owned()));
        *answer.status_mut() = http::StatusCode::NOT_FOUND;
        if let Some(header) = header {
            answer.headers_mut().insert("x-amzn-errortype", header.parse().unwrap());
        }
        answer
    }

    #[test]
    fn reads_every_spelling_of_an_aws_error() {
        for (header, body, code, message) in [
            (Some("ResourceNotFoundException"), r#"{"Message":"gone"}"#, "ResourceNotFoundException", "gone"),
            (Some("TooMany:http://x"), r#"{"message":"slow"}"#, "TooMany", "slow"),
            (None, r#"{"__type":"com.x#Bad","message":"m"}"#, "Bad", "m"),
            (None, "plain", "UnknownError", "HTTP 404 plain"),
        ] {
            let error = refusal("Op", &answer(header, body));
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        }
    }
}
