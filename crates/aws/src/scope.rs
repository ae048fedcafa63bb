//! The credential scope of a SigV4 signature: who signed, for which region and service.
//!
//! Read from the `Authorization` header or, for presigned URLs, from `X-Amz-Credential`. Reading is not
//! verifying: nothing here checks the signature.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// `AKID/20260101/us-east-1/lambda/aws4_request`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The access key id.
    pub access_key: String,
    /// The region the request was signed for.
    pub region: String,
    /// The service's signing name.
    pub service: String,
}

// === impl Scope ===

impl Scope {
    /// The scope of a request, if it is signed at all.
    #[must_use]
    pub fn of(headers: &HeaderMap, query: &[(String, String)]) -> Option<Self> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(credential) = header.and_then(credential) {
            return Self::parse(credential);
        }
        let presigned = query.iter().find(|(key, _)| key == "X-Amz-Credential")?;
        Self::parse(&presigned.1)
    }

    fn parse(credential: &str) -> Option<Self> {
        // An access key may hold slashes; the last four parts are fixed.
        let mut parts = credential.rsplitn(5, '/');
        let (terminator, service) = (parts.next()?, parts.next()?);
        let (region, _date, access_key) = (parts.next()?, parts.next()?, parts.next()?);
        (terminator == "aws4_request").then(|| Self {
            access_key: access_key.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }
}

fn credential(header: &str) -> Option<&str> {
    let parameters = header.strip_prefix("AWS4-")?.split_once(' ')?.1;
    parameters.split(',').find_map(|parameter| parameter.trim().strip_prefix("Credential="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_header_and_query() {
        let mut headers = HeaderMap::new();
        let text = "AWS4-HMAC-SHA256 Credential=AK/20260101/eu-west-1/lambda/aws4_request, \
                    SignedHeaders=host, Signature=00";
        headers.insert(AUTHORIZATION, text.parse().unwrap());
        let scope = Scope::of(&headers, &[]).unwrap();
        assert_eq!((scope.service.as_str(), scope.region.as_str()), ("lambda", "eu-west-1"));

        let query = [("X-Amz-Credential".to_owned(), "AK/20260101/us-east-1/s3/aws4_request".to_owned())];
        assert_eq!(Scope::of(&HeaderMap::new(), &query).unwrap().service, "s3");
    }

    #[test]
    fn an_unsigned_request_has_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Scope::of(&headers, &[]), None);
        headers.insert(AUTHORIZATION, "Bearer abc".parse().unwrap());
        assert_eq!(Scope::of(&headers, &[]), None);
        headers.insert(AUTHORIZATION, "AWS4-HMAC-SHA256 Credential=short".parse().unwrap());
        assert_eq!(Scope::of(&headers, &[]), None);
    }
}
