//! Who may depend on whom (docs/architecture.md). Every crate of the workspace is in the table; a crate that is not is
//! an error, so that a new one has to be thought about.

use std::collections::{BTreeMap, BTreeSet};

/// One crate's law: which of our crates it may use, and whether it is pure.
#[derive(Debug, Clone, Copy)]
pub struct Law {
    pub name: &'static str,
    pub purity: Purity,
    pub may_use: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purity {
    /// No clock, file, socket, environment, randomness; no crate that has them.
    Pure,
    Io,
}

use Purity::{Io, Pure};

const fn law(name: &'static str, purity: Purity, may_use: &'static [&'static str]) -> Law {
    Law { name, purity, may_use }
}

/// The table. Layers from the words at the bottom to the processes.
pub const LAWS: &[Law] = &[
    law("dm-model", Pure, &[]),
    law("dm-rules", Pure, &["dm-model"]),
    law("dm-config", Pure, &["dm-model", "dm-rules"]),
    law("dm-ddl", Pure, &["dm-model", "dm-rules"]),
    law("dm-fence", Pure, &["dm-model"]),
    law("dm-proto", Io, &["dm-model"]),
    law("dm-mysql", Io, &["dm-model", "dm-config", "dm-ddl", "dm-fence"]),
    law("dm-runtime", Io, &["dm-model"]),
    law("dm-state", Pure, &["dm-model"]),
    law("dm-raft", Io, &["dm-model", "dm-state", "dm-proto", "dm-runtime"]),
    law("dm-binlog", Pure, &["dm-model"]),
    law("dm-sync-core", Pure, &["dm-model", "dm-rules", "dm-ddl", "dm-fence", "dm-binlog"]),
    law(
        "dm-master",
        Io,
        &[
            "dm-model",
            "dm-rules",
            "dm-config",
            "dm-ddl",
            "dm-fence",
            "dm-proto",
            "dm-mysql",
            "dm-runtime",
            "dm-state",
            "dm-raft",
        ],
    ),
    law(
        "dm-worker",
        Io,
        &[
            "dm-model",
            "dm-rules",
            "dm-config",
            "dm-ddl",
            "dm-fence",
            "dm-proto",
            "dm-mysql",
            "dm-runtime",
            "dm-binlog",
            "dm-sync-core",
        ],
    ),
    law("dm-checker", Pure, &["dm-model", "dm-rules", "dm-fence"]),
    law("dmctl", Io, &["dm-model", "dm-config", "dm-proto", "dm-runtime"]),
];

/// May use anything; nobody may use them.
pub const OUTSIDE: &[&str] = &["dm-faulty", "dm-model-check", "dm-tests", "dm-tidy", "dm-jepsen"];

/// What a pure crate may not stand on, and why.
pub const IMPURE: &[(&str, &str)] = &[
    ("tokio", "it is an IO runtime"),
    ("tonic", "it is the wire"),
    ("prost", "only dm-proto knows the wire"),
    ("openraft", "only dm-raft knows Raft"),
    ("rocksdb", "only dm-raft knows the disk"),
    ("mysql_async", "it opens sockets"),
    ("rand", "randomness comes in as an argument"),
    ("tracing-subscriber", "only a process decides where logs go"),
    ("axum", "it serves"),
    ("hyper", "it serves"),
    ("nix", "it talks to the operating system"),
    ("tempfile", "it writes files"),
];

/// Libraries that only one crate may name.
pub const ONLY_IN: &[(&str, &[&str])] = &[
    ("openraft", &["dm-raft"]),
    ("rocksdb", &["dm-raft"]),
    ("mysql_async", &["dm-mysql", "dm-worker", "dm-tests", "dm-jepsen"]),
];

/// A workspace as its manifests describe it: crate → its direct, non-dev dependencies.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Every broken law, as a sentence that says which and why.
pub fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let known: BTreeMap<_, _> = LAWS.iter().map(|law| (law.name, law)).collect();
    for (name, uses) in graph {
        let ours: Vec<_> = uses.iter().filter(|dep| graph.contains_key(*dep)).collect();
        for dep in &ours {
            if OUTSIDE.contains(&dep.as_str()) && !OUTSIDE.contains(&name.as_str()) {
                found.push(format!("{name} uses {dep}: tests and fault runs may use anything, nothing may use them"));
            }
        }
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let Some(law) = known.get(name.as_str()) else {
            found.push(format!("{name} is not in the table of laws: say in tests/tidy/src/laws.rs what it may use"));
            continue;
        };
        for dep in ours {
            if !OUTSIDE.contains(&dep.as_str()) && !law.may_use.contains(&dep.as_str()) {
                found.push(format!("{name} uses {dep}: the table allows it only {:?}", law.may_use));
            }
        }
        if law.purity == Purity::Pure {
            for (dep, why) in IMPURE.iter().filter(|(dep, _)| uses.contains(*dep)) {
                found.push(format!("{name} is pure and uses {dep}: {why}"));
            }
        }
    }
    for (library, homes) in ONLY_IN {
        for (name, uses) in graph {
            if uses.contains(*library) && !homes.contains(&name.as_str()) {
                found.push(format!("{name} uses {library}: only {homes:?} may"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        edges.iter().map(|(n, deps)| ((*n).to_owned(), deps.iter().map(|d| (*d).to_owned()).collect())).collect()
    }

    #[test]
    fn each_kind_of_breach_is_found() {
        let bad = graph(&[
            ("dm-model", &["tokio"]),
            ("dm-state", &["dm-model", "dm-binlog"]),
            ("dm-binlog", &["dm-model"]),
            ("dm-worker", &["openraft", "dm-tests"]),
            ("dm-tests", &["dm-model"]),
            ("dm-new", &[]),
        ]);
        let found = violations(&bad).join("\n");
        for part in [
            "dm-model is pure and uses tokio",
            "dm-state uses dm-binlog",
            "dm-worker uses openraft",
            "dm-worker uses dm-tests",
            "dm-new is not in the table",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }
}
