//! Embeds the shims: writes `shim_files.rs`, a list of every file under `runtimes/python` and
//! `runtimes/node` with its content, and a digest over all of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error, fs, io};

use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn error::Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest.join("../../runtimes");
    rerun_if_changed(&root)?;
    let mut files = Vec::new();
    for (directory, extensions) in [("python", &["py"][..]), ("node", &["mjs", "cjs", "js", "json"][..])] {
        collect(&root.join(directory), extensions, &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    let mut list = String::new();
    for file in &files {
        let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        digest.update(name.as_bytes());
        digest.update(fs::read(file)?);
        let path = file.canonicalize()?;
        writeln!(list, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())?;
    }
    let digest: String = digest.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let text = format!(
        "/// Files of the shims: path below the runtime directory, and content.\n\
         pub const FILES: &[(&str, &[u8])] = &[\n{list}];\n\
         /// Digest over all of them.\n\
         pub const DIGEST: &str = {digest:?};\n"
    );
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("shim_files.rs"), text)?;
    Ok(())
}

fn collect(directory: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    rerun_if_changed(directory)?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "__pycache__" && name != "node_modules") {
                collect(&path, extensions, files)?;
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn rerun_if_changed(path: &Path) -> io::Result<()> {
    writeln!(io::stdout(), "cargo::rerun-if-changed={}", path.display())
}
