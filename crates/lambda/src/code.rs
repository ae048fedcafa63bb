//! Taking in the code of a request: base64 text → zip → artifact.

use aws::Members;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use store::Artifacts;
use store::artifacts::Error as ArtifactError;
use types::limits::Limits;

use crate::error::Error;
use crate::records::Code;

/// Takes the members that say where the code is, and keeps the code. Durable when done.
///
/// # Errors
/// What is wrong with the zip, or a source that is not supported.
pub async fn take(members: &mut Members, artifacts: &Artifacts, limits: &Limits) -> Result<Code, Error> {
    for (member, advice) in [
        ("S3Bucket", "there is no S3 here yet, send the code as ZipFile"),
        ("S3Key", "there is no S3 here yet, send the code as ZipFile"),
        ("S3ObjectVersion", "there is no S3 here yet, send the code as ZipFile"),
        ("ImageUri", "images are not run yet, send the code as ZipFile"),
    ] {
        if members.value(member).is_some() {
            return Err(Error::unsupported_value(&format!("code from `{member}`"), advice));
        }
    }
    let Some(text) = members.text("ZipFile")? else {
        return Err(Error::InvalidParameter("Please provide a source for function code.".to_owned()));
    };
    let decoded = tokio::task::spawn_blocking(move || STANDARD.decode(text)).await.map_err(|_| stopping())?;
    let zip = decoded.map_err(|error| Error::Serialization(format!("`ZipFile` is not base64: {error}")))?;
    let artifact =
        artifacts.put_zip(Bytes::from(zip), limits).await.map_err(|error| from_artifact(&error))?;
    Ok(Code { digest: artifact.digest, sha256: artifact.sha256_base64, size: artifact.size })
}

/// What AWS says of a zip that cannot be taken; our own words follow where they say more.
#[must_use]
pub fn from_artifact(error: &ArtifactError) -> Error {
    let text = error.to_string();
    match error {
        ArtifactError::NotAZip { .. }
        | ArtifactError::Escapes { .. }
        | ArtifactError::Special { .. }
        | ArtifactError::Duplicate { .. }
        | ArtifactError::Unreadable { .. } => Error::InvalidParameter(format!(
            "Could not unzip uploaded file. Please check your file, then try to upload again. ({text})"
        )),
        ArtifactError::Empty => {
            Error::InvalidParameter(format!("Uploaded file must be a non-empty zip ({text})"))
        }
        ArtifactError::ZipTooLarge { .. } => {
            Error::TooLarge { code: "RequestEntityTooLargeException", message: text }
        }
        ArtifactError::TooLarge { limit } => Error::InvalidParameter(format!(
            "Unzipped size must be smaller than {limit} bytes (setting --limit-code-unzipped)"
        )),
        ArtifactError::TooManyEntries { .. } => Error::InvalidParameter(text),
        ArtifactError::DiskFull => Error::CodeStorage(format!("Code storage limit exceeded: {text}")),
        ArtifactError::Stopped => stopping(),
        ArtifactError::Unknown { .. } | ArtifactError::Damaged { .. } | ArtifactError::Io(_) => {
            Error::Service(text)
        }
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping: retry against the next one".to_owned())
}
