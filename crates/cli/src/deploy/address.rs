//! Names and addresses: a function's name from a folder's, a web address from a function URL.

use std::path::Path;

use types::arn;

use super::Error;

/// The longest label of a host name.
const MAX_LABEL: usize = 63;

/// A function name made of the folder's own: lower case, with hyphens for what a host name cannot have.
pub fn name_of_folder(folder: &Path) -> Result<String, Error> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut label = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            'a'..='z' | '0'..='9' => label.push(character),
            'A'..='Z' => label.push(character.to_ascii_lowercase()),
            _ if label.ends_with('-') || label.is_empty() => {}
            _ => label.push('-'),
        }
    }
    label.truncate(MAX_LABEL);
    let label = label.trim_end_matches('-');
    if arn::check_name(label).is_err() {
        return Err(Error::Name { folder: folder.display().to_string() });
    }
    Ok(label.to_owned())
}

/// `http://NAME.localhost:PORT/` on the gateway that answers `function_url`.
pub fn web_address(name: &str, function_url: &str) -> String {
    let authority =
        function_url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
    format!("http://{}.localhost{port}/", name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_a_function() {
        for (folder, name) in [("/x/My_App.v2", "my-app-v2"), ("shop", "shop"), ("/a/--b--", "b")] {
            assert_eq!(name_of_folder(Path::new(folder)).unwrap(), name);
        }
        for folder in ["/", "/x/---", "/x/日本"] {
            name_of_folder(Path::new(folder)).unwrap_err();
        }
    }

    #[test]
    fn the_address_is_on_the_gateway_of_the_url() {
        let url = "http://abc.lambda-url.us-east-1.localhost:8080/";
        assert_eq!(web_address("Shop", url), "http://shop.localhost:8080/");
        assert_eq!(web_address("shop", "http://abc.localhost/"), "http://shop.localhost/");
    }
}
