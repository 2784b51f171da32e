//! Replays what fuzzing starts from and what it found: no input may panic.

#[path = "../fuzz/src/events.rs"]
mod events;
#[path = "../fuzz/src/json.rs"]
mod json;

use std::{fs, path::PathBuf};

fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut n_inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus") {
        run(&fs::read(entry.expect("the corpus").path()).expect("an input"));
        n_inputs += 1;
    }
    assert!(n_inputs > 0, "the corpus of {target} is empty");
}

#[test]
fn streams_of_events_of_the_corpus_do_no_harm() {
    replay("events", events::run);
}

#[test]
fn json_of_the_corpus_does_no_harm() {
    replay("json", json::run);
}
