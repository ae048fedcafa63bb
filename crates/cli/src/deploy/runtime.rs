//! Which runtime a deploy uses: the one asked for, else what the folder pins, else what the function has
//! already, else the machine's own.

use types::function::Runtime;
use worker::runtimes::Runtimes;

use super::Error;
use crate::detect::{Folder, Language};
use crate::package::{Interpreter, python_constraint};

/// The runtime, and what packaging needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// AWS's identifier.
    pub identifier: String,
    /// The Python to install packages for.
    pub python: Option<Interpreter>,
    /// Where it comes from, when that is worth saying.
    pub why: Option<String>,
}

/// Chooses.
///
/// # Errors
/// [`Error::Runtime`] where what is asked for is not installed.
pub fn choose(
    available: &Runtimes,
    folder: &Folder,
    language: Language,
    asked: Option<&str>,
    existing: Option<&str>,
) -> Result<Chosen, Error> {
    if let Some(asked) = asked {
        return explicit(available, asked);
    }
    match language {
        Language::Any => Ok(Chosen { identifier: Runtime::Provided.to_string(), python: None, why: None }),
        Language::Node => {
            let existing = existing.filter(|existing| existing.starts_with("nodejs"));
            match (existing, available.any_node()) {
                (Some(existing), _) => explicit(available, existing),
                (None, Some(choice)) => {
                    // AWS has even majors only.
                    let major = choice.version - choice.version % 2;
                    Ok(Chosen { identifier: Runtime::Node { major }.to_string(), python: None, why: None })
                }
                (None, None) => Err(missing(available, "Node.js")),
            }
        }
        Language::Python => python(available, folder, existing),
    }
}

fn python(available: &Runtimes, folder: &Folder, existing: Option<&str>) -> Result<Chosen, Error> {
    let usual = available.any_python().map(|choice| choice.version);
    if let Some((text, accepts)) = python_constraint(folder) {
        let newest_first = available.python.keys().rev().copied();
        let minor = usual.into_iter().chain(newest_first).find(|minor| accepts(*minor));
        let minor = minor.ok_or_else(|| missing(available, &text))?;
        let mut chosen = explicit(available, &format!("python3.{minor}"))?;
        chosen.why = Some(format!("{} for {text}", chosen.identifier));
        return Ok(chosen);
    }
    let existing =
        existing.filter(|existing| explicit(available, existing).is_ok_and(|chosen| chosen.python.is_some()));
    let identifier = existing.map(str::to_owned).or_else(|| usual.map(|minor| format!("python3.{minor}")));
    explicit(available, &identifier.ok_or_else(|| missing(available, "Python"))?)
}

fn explicit(available: &Runtimes, identifier: &str) -> Result<Chosen, Error> {
    let runtime: Runtime = identifier.parse().map_err(|_| missing(available, identifier))?;
    let choice = available.choose(runtime);
    if choice.is_none() && runtime != Runtime::Provided {
        return Err(missing(available, identifier));
    }
    let python = match (runtime, choice) {
        (Runtime::Python { minor }, Some(choice)) => {
            Some(Interpreter { program: choice.interpreter.program.clone(), minor })
        }
        _ => None,
    };
    Ok(Chosen { identifier: identifier.to_owned(), python, why: None })
}

fn missing(available: &Runtimes, wanted: &str) -> Error {
    Error::Runtime { wanted: wanted.to_owned(), available: available.identifiers() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn runtimes() -> Runtimes {
        let interpreter = |program: &str, prefix: &str| worker::runtimes::Interpreter {
            program: program.into(),
            prefix: prefix.into(),
        };
        Runtimes {
            python: BTreeMap::from([
                (11, interpreter("/usr/bin/python3.11", "/usr")),
                (13, interpreter("/opt/p/bin/python3.13", "/opt/p")),
            ]),
            node: BTreeMap::from([(20, interpreter("/usr/bin/node", "/usr"))]),
        }
    }

    fn chosen(
        files: &[(&str, &str)],
        language: Language,
        asked: Option<&str>,
        existing: Option<&str>,
    ) -> String {
        let folder = Folder::of(files);
        match choose(&runtimes(), &folder, language, asked, existing) {
            Ok(chosen) => chosen.identifier,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_more_explicit_wish_wins() {
        assert_eq!(chosen(&[], Language::Python, None, None), "python3.11");
        assert_eq!(chosen(&[], Language::Python, None, Some("python3.13")), "python3.13");
        assert_eq!(chosen(&[], Language::Python, None, Some("nodejs20.x")), "python3.11");
        let pinned = [(".python-version", "3.13.0\n")];
        assert_eq!(chosen(&pinned, Language::Python, None, Some("python3.11")), "python3.13");
        assert_eq!(chosen(&pinned, Language::Python, Some("python3.11"), None), "python3.11");
        assert_eq!(chosen(&[], Language::Node, None, None), "nodejs20.x");
        assert_eq!(chosen(&[], Language::Any, None, None), "provided.al2023");
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        for (asked, files) in
            [(Some("python3.7"), vec![]), (Some("cobol"), vec![]), (None, vec![(".python-version", "3.8")])]
        {
            let text = chosen(&files, Language::Python, asked, None);
            assert!(text.contains("not installed") && text.contains("python3.13"), "{text}");
        }
    }
}
