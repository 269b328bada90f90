//! What we depend on: licences, duplicates and ignored advisories against deny.toml, reasons in Cargo.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use toml::Table;

fn deny() -> Table {
    let text = std::fs::read_to_string(crate::root().join("deny.toml")).unwrap();
    text.parse().unwrap()
}

/// An array of deny.toml: its texts, or the crates that its entries name.
fn list(section: &str, array: &str) -> Vec<String> {
    let deny = deny();
    let entries = deny[section][array].as_array().unwrap();
    let name =
        |entry: &toml::Value| entry.get("crate").unwrap_or(entry).as_str().map(str::to_owned);
    entries.iter().map(|entry| name(entry).unwrap()).collect()
}

/// Packages of this platform's build, from the lock file and what is downloaded already.
fn packages() -> Vec<Value> {
    let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = cargo()
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(crate::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Whether an SPDX expression can be satisfied with `allowed`; `/` is its old spelling of OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "+WITH+");
    let tokens: Vec<&str> = expression.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let result = any(&mut rest, allowed);
    result && rest.is_empty()
}

fn any(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut result = all(tokens, allowed);
    while let Some((&"OR", rest)) = tokens.split_first() {
        *tokens = rest;
        result |= all(tokens, allowed);
    }
    result
}

fn all(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut result = one(tokens, allowed);
    while let Some((&"AND", rest)) = tokens.split_first() {
        *tokens = rest;
        result &= one(tokens, allowed);
    }
    result
}

fn one(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = tokens.split_first() else {
        return false;
    };
    *tokens = rest;
    if *first != "(" {
        return allowed.contains(&first.replace("+WITH+", " WITH "));
    }
    let result = any(tokens, allowed);
    match tokens.split_first() {
        Some((&")", rest)) => {
            *tokens = rest;
            result
        }
        _ => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    let table = [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC OR GPL-3.0", true),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
        ("(MIT", false),
    ];
    for (expression, expected) in table {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_licence_is_on_the_list() {
    let allowed: BTreeSet<String> = list("licenses", "allow").into_iter().collect();
    let exceptions = list("licenses", "exceptions");
    let wrong: Vec<_> = packages()
        .iter()
        .filter(|package| !exceptions.iter().any(|name| name == text(package, "name")))
        .filter(|package| !is_allowed(text(package, "license"), &allowed))
        .map(|package| format!("{} {}", text(package, "name"), package["license"]))
        .collect();
    assert!(wrong.is_empty(), "not in deny.toml, [licenses]:\n{}", wrong.join("\n"));
}

#[test]
fn everything_comes_from_the_registry() {
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let wrong: Vec<_> = packages()
        .into_iter()
        .filter(|package| text(package, "name") != "rejoin" && text(package, "source") != registry)
        .map(|package| format!("{} {}", text(&package, "name"), package["source"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_crate_is_built_twice_without_a_reason() {
    let known = list("bans", "skip");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        versions.entry(text(&package, "name").to_owned()).or_default().push(version);
    }
    let surprises: Vec<_> = versions
        .iter()
        .filter(|(name, versions)| versions.len() > 1 && !known.contains(name))
        .map(|(name, versions)| format!("{name}: {}", versions.join(", ")))
        .collect();
    assert!(surprises.is_empty(), "not in deny.toml, [bans] skip:\n{}", surprises.join("\n"));
    let stale: Vec<_> = known
        .iter()
        .filter(|name| versions.get(*name).is_none_or(|versions| versions.len() < 2))
        .collect();
    assert!(stale.is_empty(), "no longer built twice: {stale:?}");
}

#[test]
fn ignored_advisories_have_reasons_and_concern_what_we_use() {
    let deny = deny();
    for ignored in deny["advisories"]["ignore"].as_array().unwrap() {
        let (id, reason) = (ignored["id"].as_str().unwrap(), ignored["reason"].as_str().unwrap());
        assert!(id.starts_with("RUSTSEC-"), "{id}");
        let name = reason.split_whitespace().next().unwrap();
        let is_used = packages().iter().any(|package| text(package, "name") == name);
        assert!(is_used, "{id}: its reason begins with the crate's name, and {name} is not used");
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = std::fs::read_to_string(crate::root().join("Cargo.toml")).unwrap();
    let mut is_dependency = false;
    let mut has_reason = false;
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        match line.chars().next() {
            Some('[') => {
                is_dependency = line.contains("dependencies]");
                has_reason = false;
            }
            Some('#') => has_reason = true,
            None => has_reason = false,
            Some(_) if is_dependency && !has_reason => wrong.push(line),
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "no comment above:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_shipped_cannot_be_cut_by_tests() {
    let read = |path: &str| std::fs::read_to_string(crate::root().join(path)).unwrap();
    let features = read("Cargo.toml").parse::<Table>().unwrap()["features"].clone();
    let features = features.as_table().unwrap();
    // Off unless named, and brought in by no other feature.
    assert_eq!(features.keys().collect::<Vec<_>>(), ["fault-injection"]);
    // The module is not there without the feature, and nobody else follows its variables.
    let declared = "#[cfg(feature = \"fault-injection\")]\npub mod fault;";
    assert!(read("src/link/mod.rs").contains(declared));
    let named = crate::architecture::files_that_say("REJOIN_FAULT_");
    assert_eq!(named, ["src/link/fault.rs"]);
    for path in crate::architecture::files_that_say("fault::") {
        let text = read(&path);
        let uses: Vec<usize> = text.match_indices("fault::").map(|(at, _)| at).collect();
        for at in uses {
            let before: Vec<&str> = text[..at].lines().rev().skip(1).take(1).collect();
            let is_word = !text[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
            let is_guarded =
                before.iter().any(|line| line.trim() == "#[cfg(feature = \"fault-injection\")]");
            assert!(!is_word || is_guarded, "{path} names it without the feature");
        }
    }
}

/// The core has nothing of an operating system below it: no runtime, no socket, no file, no terminal, no source of randomness.
#[test]
fn the_core_stands_on_no_operating_system() {
    const NEVER: &[&str] = &[
        "async-trait",
        "axum",
        "clap",
        "console",
        "directories",
        "futures-util",
        "getrandom",
        "hyper",
        "indicatif",
        "landlock",
        "libc",
        "mio",
        "nix",
        "quinn-udp",
        "ring",
        "rtc",
        "rustix",
        "socket2",
        "tokio",
        "tokio-tungstenite",
        "toml",
        "tracing-subscriber",
        "webrtc",
        "wasm-bindgen",
    ];
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none"])
        .arg("--target=wasm32-unknown-unknown")
        .current_dir(crate::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let found: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    // It was the tree of this crate.
    assert!(found.contains("rejoin") && found.contains("blake3"), "{found:?}");
    let wrong: Vec<_> = NEVER.iter().filter(|name| found.contains(**name)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
