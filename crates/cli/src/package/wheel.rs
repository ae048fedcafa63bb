//! Compatibility tags of wheels and extension modules: which interpreter and machine a binary is for.
//!
//! Source: the packaging specifications "platform compatibility tags" and "binary distribution format".

use super::binaries::Target;

/// One `python-abi-platform` triple; each part may hold several, separated by dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    python: String,
    abi: String,
    platform: String,
}

// === impl Tag ===

impl Tag {
    /// Reads `cp311-cp311-manylinux_2_17_x86_64`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (python, abi, platform) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || python.is_empty() {
            return None;
        }
        Some(Self { python: python.to_owned(), abi: abi.to_owned(), platform: platform.to_owned() })
    }

    /// Reads the end of `name-version[-build]-python-abi-platform.whl`; with it the name.
    pub fn of_wheel(file: &str) -> Option<(String, Self)> {
        let stem = file.strip_suffix(".whl")?;
        let parts: Vec<&str> = stem.split('-').collect();
        let name = parts.first()?.to_lowercase().replace('_', "-");
        let tag = parts.get(parts.len().checked_sub(3)?..)?.join("-");
        (parts.len() >= 5).then(|| Self::parse(&tag).map(|tag| (name, tag)))?
    }

    /// Whether it can be used on the target.
    pub fn fits(&self, target: &Target) -> bool {
        self.fits_machine(target) && self.fits_python(target)
    }

    /// What it was built for, in words.
    pub fn describe(&self) -> String {
        let python = self.python.split('.').next().unwrap_or_default();
        let python = match python.strip_prefix("cp3") {
            Some(minor) => format!("CPython 3.{minor}"),
            None => python.to_owned(),
        };
        if self.platform == "any" { python } else { format!("{python} ({})", self.platform) }
    }

    fn fits_machine(&self, target: &Target) -> bool {
        self.platform.split('.').any(|platform| {
            platform == "any"
                || platform
                    .strip_suffix(target.machine)
                    .is_some_and(|rest| rest.starts_with("linux_") || rest.starts_with("manylinux"))
        })
    }

    fn fits_python(&self, target: &Target) -> bool {
        let Some(minor) = target.python else { return true };
        let stable = self.abi.split('.').any(|abi| abi == "abi3");
        let pure = self.abi == "none";
        self.python.split('.').any(|python| {
            let (implementation, version) = python.split_at_checked(2).unwrap_or((python, ""));
            let version = version.strip_prefix('3').map(|minor| minor.parse::<u8>().ok());
            match (implementation, version) {
                ("py", Some(least)) => least.is_none_or(|least| least <= minor),
                ("cp", Some(Some(built))) => built == minor || ((stable || pure) && built <= minor),
                ("cp", Some(None)) => true,
                _ => false,
            }
        })
    }
}

/// What the name of an extension module says: `_x.cpython-311-x86_64-linux-gnu.so` is for 3.11 on x86_64.
/// `None`: the name says nothing (`_x.abi3.so`, `lib.so`).
pub fn of_extension_module(file: &str) -> Option<Tag> {
    let middle = file.strip_suffix(".so").or_else(|| file.strip_suffix(".pyd"))?.split_once('.')?.1;
    if let Some(rest) = middle.strip_prefix("cpython-") {
        let (version, platform) = rest.split_once('-').unwrap_or((rest, "any"));
        let python = format!("cp{}", version.trim_end_matches(['m', 'd', 'u', 't']));
        let platform = match platform.split_once("-linux-gnu") {
            Some((machine, _)) => format!("linux_{machine}"),
            None => platform.to_owned(),
        };
        return Some(Tag { abi: python.clone(), python, platform });
    }
    // Windows: `_x.cp311-win_amd64.pyd`.
    let (python, platform) = middle.split_once('-')?;
    python.starts_with("cp").then(|| Tag {
        python: python.into(),
        abi: python.into(),
        platform: platform.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { python: Some(11), machine: "x86_64" };

    #[test]
    fn wheels_are_judged_by_their_names() {
        for (file, fits) in [
            ("flask-3.0.0-py3-none-any.whl", true),
            ("six-1.16.0-py2.py3-none-any.whl", true),
            ("numpy-1.26.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", true),
            ("numpy-1.21.6-cp37-cp37m-manylinux_2_12_x86_64.manylinux2010_x86_64.whl", false),
            ("numpy-1.26.0-cp311-cp311-manylinux_2_17_aarch64.whl", false),
            ("numpy-1.26.0-cp311-cp311-macosx_11_0_arm64.whl", false),
            ("numpy-1.26.0-cp311-cp311-musllinux_1_1_x86_64.whl", false),
            ("cryptography-41.0.0-cp37-abi3-manylinux_2_28_x86_64.whl", true),
            ("future-1.0-cp312-abi3-manylinux_2_28_x86_64.whl", false),
            ("old-1.0-py2-none-any.whl", false),
            ("built-1.0-2-py3-none-linux_x86_64.whl", true),
        ] {
            let (_, tag) = Tag::of_wheel(file).unwrap();
            assert_eq!(tag.fits(&TARGET), fits, "{file}");
        }
        assert_eq!(Tag::of_wheel("not-a.whl"), None);
    }

    #[test]
    fn extension_modules_are_judged_by_their_names() {
        for (file, fits) in [
            ("_x.cpython-311-x86_64-linux-gnu.so", Some(true)),
            ("_x.cpython-37m-x86_64-linux-gnu.so", Some(false)),
            ("_x.cpython-311-aarch64-linux-gnu.so", Some(false)),
            ("_x.cpython-311-darwin.so", Some(false)),
            ("_x.cp311-win_amd64.pyd", Some(false)),
            ("_x.abi3.so", None),
            ("libfoo.so", None),
            ("libfoo-1.2.so", None),
        ] {
            assert_eq!(of_extension_module(file).map(|tag| tag.fits(&TARGET)), fits, "{file}");
        }
    }
}
