//! Every input that is kept in `fuzz/corpus` and `fuzz/findings`, run once through what the fuzzer runs (I-14).

#[path = "../../fuzz/src/bodies/mod.rs"]
pub(crate) mod bodies;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub(crate) fn inputs(directory: &str, target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory).join(target);
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn nothing_that_the_fuzzer_found_is_forgotten() {
    let mut failures = Vec::new();
    for (target, body) in bodies::TARGETS {
        let corpus = inputs("corpus", target);
        assert!(!corpus.is_empty(), "{target} has no corpus");
        for path in corpus.into_iter().chain(inputs("findings", target)) {
            let data = fs::read(&path).unwrap();
            if catch_unwind(AssertUnwindSafe(|| body(&data))).is_err() {
                failures.push(path);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn every_target_is_a_program_and_has_a_body() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let programs: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .filter(|name| *name != "rejoin-fuzz")
        .collect();
    let targets: Vec<&str> = bodies::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(programs, targets);
}
