//! Where a symbolic link inside a package leads, worked out without a file system.
//!
//! Looking at a target's text alone is not enough: `..` after another link leaves from where *that* one
//! leads. So targets are followed as the kernel would, over the links the package will have.

use std::collections::{BTreeMap, VecDeque};

/// As many links as the kernel follows.
const MOST_HOPS: usize = 40;

/// Links by their path (components joined by `/`), each with its target.
pub(crate) type Links = BTreeMap<String, String>;

/// Whether following the link at `path` never leaves the package. A link that runs in circles leads
/// nowhere and counts as leaving.
pub(crate) fn stays_inside(path: &str, links: &Links) -> bool {
    let mut here: Vec<&str> = Vec::new();
    let mut ahead: VecDeque<&str> = path.split('/').collect();
    let mut hops = 0;
    while let Some(component) = ahead.pop_front() {
        match component {
            "" | "." => continue,
            ".." => {
                if here.pop().is_none() {
                    return false;
                }
                continue;
            }
            name => here.push(name),
        }
        if let Some(target) = links.get(&here.join("/")) {
            hops += 1;
            if target.starts_with('/') || hops > MOST_HOPS {
                return false;
            }
            here.pop();
            for component in target.split('/').rev() {
                ahead.push_front(component);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inside(path: &str, links: &[(&str, &str)]) -> bool {
        let links = links.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect();
        stays_inside(path, &links)
    }

    #[test]
    fn follows_links_as_the_kernel_does() {
        assert!(inside("a/link", &[("a/link", "../b/file")]));
        assert!(inside("link", &[("link", "not-there")]));
        assert!(!inside("a/link", &[("a/link", "../../b")]));
        assert!(!inside("link", &[("link", "/etc/passwd")]));
        // Each target looks harmless, and the two together are not.
        let pair = [("a/b/up", "../.."), ("out", "a/b/up/../x")];
        assert!(inside("a/b/up", &pair));
        assert!(!inside("out", &pair));
        assert!(!inside("a", &[("a", "b"), ("b", "a")]));
    }

    proptest! {
        /// The kernel is asked about random links between a few directories.
        #[test]
        fn agrees_with_the_kernel(
            targets in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec!["d", "e", "x", "y", "z", "..", "."]), 1..5),
                3,
            ),
        ) {
            let around = tempfile::tempdir().unwrap();
            let root = around.path().canonicalize().unwrap().join("root");
            std::fs::create_dir_all(root.join("d/e")).unwrap();
            let links: Links = ["x", "d/y", "d/e/z"]
                .iter()
                .zip(targets)
                .map(|(path, target)| ((*path).to_owned(), target.join("/")))
                .collect();
            for (path, target) in &links {
                std::os::unix::fs::symlink(target, root.join(path)).unwrap();
            }
            for path in links.keys() {
                // Where the kernel gets nowhere, nothing can be read either.
                if let Ok(leads_to) = root.join(path).canonicalize() {
                    prop_assert_eq!(stays_inside(path, &links), leads_to.starts_with(&root), "{:?}", links);
                }
            }
        }
    }
}
