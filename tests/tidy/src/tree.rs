//! What no source file may hold. Reads text, so it knows nothing of macros and needs no compiler.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A Rust file of the project, relative to its root.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// Files under `tests/`, `benches/`, `jepsen/`, or named `tests.rs`.
    pub fn is_test(&self) -> bool {
        let text = self.path.to_string_lossy();
        text.starts_with("tests/")
            || text.starts_with("jepsen/")
            || text.contains("/tests/")
            || text.contains("/benches/")
            || text.ends_with("/tests.rs")
    }
}

/// All Rust files below a folder, sorted; `target` and dot folders are left out.
///
/// # Errors
/// A folder or file cannot be read.
pub fn sources(root: &Path) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path)?;
                let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];

/// Every breach of a file rule, as a sentence.
pub fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let path = source.path.display();
        let stem = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem == "mod" {
            found.push(format!("{path}: name the file after the module, never mod.rs"));
        }
        if EMPTY_NAMES.contains(&stem.as_str()) {
            found.push(format!("{path}: `{stem}` says nothing about what the file holds"));
        }
        let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let says = first.starts_with("//!") || first.starts_with("#![");
        // a `tests.rs` is told by the file whose tests it holds
        if !says && stem != "tests" {
            found.push(format!("{path}: a file opens with `//!`: what it owns, what it never does, how it fails"));
        }
        // this crate has to spell what it forbids
        if source.path.starts_with("tests/tidy") {
            continue;
        }
        for (i, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for forbidden in ["todo!(", "unimplemented!(", "#[ignore", "dbg!("] {
                if code.contains(forbidden) {
                    found.push(format!("{path}:{}: `{forbidden}` must not be committed", i + 1));
                }
            }
        }
    }
    found
}
