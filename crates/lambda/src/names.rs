//! Function names and qualifiers as requests spell them, checked as AWS checks them.
//!
//! A name comes bare, with a qualifier, as a partial or as a full ARN; a qualifier may come beside it.
//! [`Target`] is what remains: which function, which of its versions. Nothing is looked up here.

use aws::Violations;
use types::arn::{DEFAULT_ACCOUNT, DEFAULT_REGION, FunctionReference, LATEST, function_arn};

use crate::error::Error;

/// The model's pattern of names in operations that change a function.
const STRICT: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
/// The model's pattern of names in operations that read, call or delete a function.
const NAMESPACED: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
/// The model's pattern of a qualifier beside the name.
const QUALIFIER: &str = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";

/// Which of the model's two shapes of a function name an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// At most 140 characters.
    Strict,
    /// At most 256 characters; dots are allowed (and then name no function).
    Namespaced,
}

/// The function a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bare name.
    pub name: String,
    /// A version, an alias or `$LATEST`, if the request named one.
    pub qualifier: Option<String>,
}

/// The parts of a name that matches the pattern.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    region: Option<&'a str>,
    account: Option<&'a str>,
    name: &'a str,
    qualifier: Option<&'a str>,
}

// === impl Target ===

impl Target {
    /// Reads a name and, where the operation takes one, the qualifier beside it.
    ///
    /// # Errors
    /// AWS's for a malformed name, another region or account, or two different qualifiers.
    pub fn parse(text: &str, beside: Option<&str>, shape: Shape) -> Result<Self, Error> {
        let mut check = Violations::new();
        if let Some(qualifier) = beside {
            check.length("qualifier", qualifier, 1..=128);
            check.pattern("qualifier", qualifier, QUALIFIER, is_qualifier(qualifier));
        }
        let (longest, pattern) = match shape {
            Shape::Strict => (140, STRICT),
            Shape::Namespaced => (256, NAMESPACED),
        };
        check.length("functionName", text, 1..=longest);
        let parts = parse(text, shape);
        check.pattern("functionName", text, pattern, parts.is_some());
        check.finish()?;
        // `finish` has refused what has no parts.
        let Some(parts) = parts else { return Err(Error::Validation(String::new())) };
        parts.check_place()?;
        let qualifier = match (parts.qualifier, beside) {
            (Some(inside), Some(beside)) if inside != beside => {
                return Err(Error::InvalidParameter(
                    "The derived qualifier from the function name does not match the specified qualifier."
                        .to_owned(),
                ));
            }
            (inside, beside) => beside.or(inside).map(str::to_owned),
        };
        Ok(Self { name: parts.name.to_owned(), qualifier })
    }

    /// The same, refused where it names a version or an alias.
    ///
    /// # Errors
    /// AWS's for operations that are about the whole function.
    pub fn whole_function(self) -> Result<Self, Error> {
        match self.qualifier.as_deref() {
            None | Some(LATEST) => Ok(Self { qualifier: None, ..self }),
            Some(_) => Err(Error::InvalidParameter(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support \
                 this operation. Please specify either a function name or an unqualified function ARN."
                    .to_owned(),
            )),
        }
    }

    /// The ARN as AWS names it in errors: with the qualifier if there is one.
    #[must_use]
    pub fn arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => qualified_arn(&self.name, qualifier),
            None => function_arn(&self.name),
        }
    }

    /// As the routing snapshot reads it.
    #[must_use]
    pub fn reference(&self) -> FunctionReference {
        FunctionReference { name: self.name.clone(), qualifier: self.qualifier.clone() }
    }

    /// The error for a function or a version that is not there.
    #[must_use]
    pub fn not_found(&self) -> Error {
        Error::NotFound(format!("Function not found: {}", self.arn()))
    }
}

impl Parts<'_> {
    fn check_place(&self) -> Result<(), Error> {
        if let Some(region) = self.region.filter(|region| *region != DEFAULT_REGION) {
            return Err(Error::NotFound(format!(
                "Functions from '{region}' are not reachable in this region ('{DEFAULT_REGION}')"
            )));
        }
        match self.account {
            Some(account) if account != DEFAULT_ACCOUNT => Err(Error::OtherAccount),
            _ => Ok(()),
        }
    }
}

/// The ARN of a version or an alias.
#[must_use]
pub fn qualified_arn(name: &str, qualifier: &str) -> String {
    format!("{}:{qualifier}", function_arn(name))
}

/// Whether a qualifier is a version's number.
#[must_use]
pub fn is_version(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is made of the characters of names, and of at least one.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn is_qualifier(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$');
    matches!(text, "$LATEST" | "$LATEST.PUBLISHED") || (!text.is_empty() && text.chars().all(plain))
}

/// Matches the model's pattern; each optional part is taken whenever it is there, as the pattern does.
fn parse(text: &str, shape: Shape) -> Option<Parts<'_>> {
    let mut rest = text;
    if let Some(after) = rest.strip_prefix("arn:") {
        let (partition, after) = after.split_once(':')?;
        let partition_ok = partition.is_empty()
            || partition
                .strip_prefix("aws")
                .is_some_and(|tail| tail.chars().all(|c| c.is_ascii_alphabetic() || c == '-'));
        rest = after.strip_prefix("lambda:").filter(|_| partition_ok)?;
    }
    let region = take(&mut rest, is_region);
    let account = take(&mut rest, |part| part.len() == 12 && is_version(part));
    take(&mut rest, |part| part == "function");
    let (name, qualifier) = match rest.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (rest, None),
    };
    let dots = shape == Shape::Namespaced;
    let name_ok = match dots {
        true => !name.is_empty() && name.split('.').all(|part| part.is_empty() || is_name(part)),
        false => is_name(name),
    };
    let qualifier_ok = qualifier.is_none_or(|qualifier| {
        qualifier == LATEST || (dots && qualifier == "$LATEST.PUBLISHED") || is_name(qualifier)
    });
    (name_ok && qualifier_ok).then_some(Parts { region, account, name, qualifier })
}

/// Takes the part before the next colon, if `wanted` says that it is one.
fn take<'a>(rest: &mut &'a str, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
    let (part, after) = rest.split_once(':')?;
    if !wanted(part) {
        return None;
    }
    *rest = after;
    Some(part)
}

/// `(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}`
fn is_region(text: &str) -> bool {
    let lower = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let parts: Vec<&str> = text.strip_prefix("eusc-").unwrap_or(text).split('-').collect();
    let (country, middle, place, number) = match parts.as_slice() {
        [country, place, number] => (country, None, place, number),
        [country, middle, place, number] => (country, Some(middle), place, number),
        _ => return false,
    };
    let middle_ok = middle.is_none_or(|middle| {
        *middle == "gov"
            || middle
                .strip_prefix("iso")
                .is_some_and(|rest| rest.len() <= 1 && (rest.is_empty() || lower(rest)))
    });
    country.len() == 2
        && lower(country)
        && middle_ok
        && lower(place)
        && number.len() == 1
        && is_version(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str, beside: Option<&str>) -> Result<Target, Error> {
        Target::parse(text, beside, Shape::Namespaced)
    }

    #[test]
    fn reads_every_form() {
        for (text, qualifier) in [
            ("hello", None),
            ("function:hello", None),
            ("hello:live", Some("live")),
            ("000000000000:hello:7", Some("7")),
            ("us-east-1:000000000000:function:hello", None),
            ("arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST", Some("$LATEST")),
            ("arn::lambda:hello", None),
        ] {
            let found = target(text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((found.name.as_str(), found.qualifier.as_deref()), ("hello", qualifier), "{text}");
        }
        assert_eq!(target("hello", Some("3")).unwrap().qualifier.as_deref(), Some("3"));
        assert_eq!(target("hello:3", Some("3")).unwrap().qualifier.as_deref(), Some("3"));
    }

    // The cases and verdicts are those recorded from AWS (`test_function_name_and_qualifier_validation`).
    #[test]
    fn refuses_what_aws_refuses() {
        for text in [
            "arn:aws:lambda:us-east-1:000000000000:function:my-function:1:2",
            "invalid-account:function:my-function",
            "my-function!",
            "my-function:invalid!",
            "arn:aws:lambda:us-east-1::function:my-function",
            "arn:aws:lambda::000000000000:function:my-function",
            "arn:aws:lambda:us-east-1:000000000000:function:my-function:$LATES",
            "arn:aws:ec2:us-east-1:000000000000:instance:i-1234567890abcdef0",
            "function:my-function:$LATEST:extra",
            "",
        ] {
            assert!(matches!(target(text, None), Err(Error::Validation(_))), "{text}");
        }
    }

    #[test]
    fn tells_other_regions_accounts_and_qualifiers_apart() {
        let other_region = target("arn:aws:lambda:eu-west-1:000000000000:function:hello", None).unwrap_err();
        assert_eq!(
            other_region.to_string(),
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
        );
        assert!(matches!(target("123456789012:hello", None), Err(Error::OtherAccount)));
        let twice = target("hello:$LATEST", Some("1")).unwrap_err();
        assert!(matches!(twice, Error::InvalidParameter(_)), "{twice}");
        let bad = target("hello", Some("invalid!")).unwrap_err().to_string();
        assert!(bad.ends_with(r"pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"), "{bad}");
    }

    #[test]
    fn the_two_shapes_differ_in_length_and_dots() {
        let long = format!("my-function:{}", "a".repeat(129));
        let refused = Target::parse(&long, None, Shape::Strict).unwrap_err().to_string();
        assert!(refused.ends_with("Member must have length less than or equal to 140"), "{refused}");
        assert!(Target::parse("a.b", None, Shape::Strict).is_err());
        assert!(Target::parse("a.b", None, Shape::Namespaced).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_only_name_characters(text in "\\PC{0,40}") {
            if let Ok(found) = Target::parse(&text, None, Shape::Strict) {
                prop_assert!(is_name(&found.name));
                prop_assert!(text.contains(&found.name));
            }
        }

        #[test]
        fn a_full_arn_is_read_back(name in "[a-zA-Z0-9_-]{1,64}", qualifier in "[a-zA-Z0-9_-]{1,20}") {
            let wanted = Target { name, qualifier: Some(qualifier) };
            prop_assert_eq!(Target::parse(&wanted.arn(), None, Shape::Namespaced).unwrap(), wanted);
        }
    }
}
