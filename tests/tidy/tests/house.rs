//! Holds the workspace against its laws and prints its sizes.

use std::path::{Path, PathBuf};

use dm_tidy::{laws, sizes, tree};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn crates_depend_downwards_only() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let graph: laws::Graph = metadata
        .packages
        .iter()
        .map(|package| {
            let uses = package
                .dependencies
                .iter()
                .filter(|dep| dep.kind != cargo_metadata::DependencyKind::Development)
                .map(|dep| dep.name.clone())
                .collect();
            (package.name.to_string(), uses)
        })
        .collect();
    assert!(graph.len() >= laws::LAWS.len(), "the workspace has lost crates: {:?}", graph.keys());
    let found = laws::violations(&graph);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_keep_the_rules() {
    let sources = tree::sources(&root()).unwrap();
    assert!(sources.len() > 50, "only {} files found", sources.len());
    let found = tree::violations(&sources);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn sizes_are_shown() {
    let sizes = sizes::measure(&tree::sources(&root()).unwrap());
    println!("{sizes}");
    assert!(!sizes.fn_lines.is_empty());
}
