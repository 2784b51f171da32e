//! Every code that the crates of a worker can raise has a way out. The codes are read from the sources, so that a new one
//! cannot be forgotten.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dm_model::error::{Class, Code, Level, Scope};

use super::*;

/// What runs inside a subtask.
const FOLDERS: [&str; 8] = [
    "core/config/src",
    "core/ddl/src",
    "core/fence/src",
    "core/mysql/src",
    "core/rules/src",
    "worker/src",
    "worker/binlog/src",
    "worker/sync-core/src",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.ends_with("tests") || path.ends_with("tests.rs");
        if path.is_dir() && !is_test {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            found.push(path);
        }
    }
}

/// Number → whether a text stands at its place of the workaround.
fn codes() -> BTreeMap<u32, bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut codes = BTreeMap::new();
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| sources(&root.join(folder), &mut files));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for call in text.split("Code::new(").skip(1) {
            let Ok(number) = call.split(',').next().unwrap_or_default().trim().parse::<u32>() else { continue };
            let arguments: String = call.split(';').next().unwrap_or_default().split_whitespace().collect();
            let has_text = !arguments.contains(",\"\")") && !arguments.contains(",\"\",)");
            let known = codes.entry(number).or_insert(true);
            *known &= has_text;
        }
        if file.ends_with("config/src/error.rs") {
            declared(text, &mut codes);
        }
    }
    codes
}

/// `core/config` declares codes as `20003 Config Medium Name { … } "message", "workaround";`.
fn declared(text: &str, codes: &mut BTreeMap<u32, bool>) {
    let table = text.split("errors! {").nth(1).unwrap();
    for declaration in table.split(";\n") {
        let words = declaration.split_whitespace().find_map(|word| word.parse::<u32>().ok());
        let Some(number) = words.filter(|number| (10_000..70_000).contains(number)) else { continue };
        let has_text = !declaration.trim_end().ends_with("\"\"");
        *codes.entry(number).or_insert(true) &= has_text;
    }
}

#[test]
fn every_code_has_a_way_out() {
    let codes = codes();
    for number in [10002, 20003, 32001, 36015, 36067, 36069, 60002, 60050] {
        assert!(codes.contains_key(&number), "{number} is not found: how codes are declared has changed");
    }
    assert!(codes.len() > 60, "{} codes", codes.len());
    let without: Vec<u32> =
        codes.iter().filter(|(number, has_text)| !**has_text && of(**number).is_none()).map(|it| *it.0).collect();
    assert_eq!(without, Vec::<u32>::new(), "codes without a workaround");
}

#[test]
fn a_report_always_gets_one_and_keeps_its_own() {
    let report = |number, workaround| {
        let code = Code::new(number, Class::Database, Scope::Upstream, Level::High, workaround);
        complete(Report::new(code, Retry::Backoff, "x")).workaround
    };
    assert_eq!(report(10006, "mine"), "mine");
    assert!(report(10006, "").contains("RawCause"));
    assert!(!report(1, "").is_empty());
}
