//! What the targets run. The bodies are compiled by `tests/it/fuzz_corpora.rs`, too, which replays every committed input.

mod bodies;
mod support;

/// Runs the body of that name.
///
/// # Panics
/// Where rejoin breaks a promise, and if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let found = bodies::TARGETS.iter().find(|(target, _)| *target == name);
    let (_, body) = found.expect("a target of that name");
    body(data);
}

