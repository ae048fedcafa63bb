//! Environment variables from `--env NAME=VALUE` and from files in dotenv syntax: `NAME=VALUE` lines,
//! optional `export`, comments, single quotes (literal) and double quotes (with escapes). Nothing is
//! expanded: what is written is what the function gets.

use std::collections::BTreeMap;

use super::Error;

/// What a name is, for errors.
const NAME_RULE: &str = "a name begins with a letter and has two or more letters, digits and underscores";

/// Reads `NAME=VALUE`.
pub fn variable(given: &str) -> Result<(String, String), Error> {
    match given.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        Some((name, _)) if !name.is_empty() => {
            Err(Error::Variable { given: name.to_owned(), reason: NAME_RULE })
        }
        _ => Err(Error::Variable { given: given.to_owned(), reason: "not of the form NAME=VALUE" }),
    }
}

/// Reads a file's text.
pub fn parse(file: &str, text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut variables = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let refuse = |reason| Error::EnvironmentFile { file: file.to_owned(), line: index + 1, reason };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| refuse("there is no `=`"))?;
        let name = name.trim();
        if !is_name(name) {
            return Err(refuse(NAME_RULE));
        }
        let mut value = value.trim().to_owned();
        if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            // A quoted value may go on over several lines.
            while closing(&value, quote).is_none() {
                let (_, more) = lines.next().ok_or_else(|| refuse("the quote is not closed"))?;
                value.push('\n');
                value.push_str(more);
            }
            let end = closing(&value, quote).unwrap_or(value.len());
            let rest = value.get(end + 1..).unwrap_or_default().trim();
            if !(rest.is_empty() || rest.starts_with('#')) {
                return Err(refuse("there is something after the closing quote"));
            }
            let inner = value.get(1..end).unwrap_or_default();
            value = if quote == '"' { unescaped(inner) } else { inner.to_owned() };
        } else if let Some((before, _)) = value.split_once(" #") {
            value = before.trim_end().to_owned();
        }
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// AWS's rule for names: a letter, then at least one letter, digit or underscore.
fn is_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Where the quote that opens a text is closed.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some(other @ ('"' | '\\' | '$')) => plain.push(other),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        let text = "# c\nA_=1\nexport B_ = two words # why\nC_=\"x\\n\\\"y\\\" #z\" # c\nD_='a\\n'\nE_=\nF_=\"1\n2\"\nG_=a#b\nH_=a=b\n";
        let read = parse(".env", text).unwrap();
        let expected = [
            ("A_", "1"),
            ("B_", "two words"),
            ("C_", "x\n\"y\" #z"),
            ("D_", "a\\n"),
            ("E_", ""),
            ("F_", "1\n2"),
            ("G_", "a#b"),
            ("H_", "a=b"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, line) in [("AB=1\nno\n", 2), ("1A=x", 1), ("\n\nAB='x", 3), ("AB=\"x\" y", 1), ("A=1", 1)]
        {
            let error = parse("f", text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{text}: {error}");
        }
        for given in ["X", "=1", "A B=1", "A=1", "_A=1"] {
            variable(given).unwrap_err();
        }
        assert_eq!(variable("AB=b=c").unwrap(), ("AB".to_owned(), "b=c".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[A-Z='\"\\\\ #\n$é]*") {
            let _ = parse("f", &text);
        }
    }
}
