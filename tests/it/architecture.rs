//! The layers, held by reading the source: who imports whom, who does effects, who reads a clock, how long a file is.

use std::path::{Path, PathBuf};

/// Lines of a file without its tests. Past it a second concept has moved in.
const LINES_MAX: usize = 600;

/// What a module may import besides itself. The longest matching row holds; a module without a row may import nothing.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("wire", &[]),
    // Values that every layer may make and none interprets: they know nothing of the crate.
    ("error", &[]),
    ("event", &[]),
    ("environment", &[]),
    // The file system as the stores see it.
    ("fs", &["transfer"]),
    ("platform", &["fs", "transfer"]),
    ("helper", &["platform"]),
    ("confinement", &["visible"]),
    // What of a text can be shown.
    ("visible", &[]),
    ("transfer", &["wire", "time", "error", "event", "visible"]),
    ("store", &["wire", "time", "transfer", "event", "visible", "fs", "platform"]),
    ("signal", &["wire", "time"]),
    ("signal::local", &["wire", "platform"]),
    ("signal::host", &["wire", "time", "platform"]),
    // Bytes in, datagrams out: it knows neither what it carries nor where to.
    ("carrier", &["time"]),
    ("link", &["wire", "time", "carrier"]),
    ("link::socket", &["wire", "time", "carrier", "platform"]),
    ("link::fault", &["environment"]),
    // The pure part of a session: no edge of it.
    (
        "session::machine",
        &["wire", "time", "transfer", "signal", "link", "error", "event", "options", "session"],
    ),
    (
        "session::meeting",
        &["wire", "time", "signal", "link", "error", "event", "options", "session"],
    ),
    ("session::recovery", &["time", "wire", "signal", "link", "options", "session"]),
    ("session::entropy", &["signal"]),
    ("options", &["wire", "transfer", "signal", "link", "helper"]),
    ("question", &["error", "event", "options"]),
    ("ui", &["error", "event", "question"]),
    (
        "session",
        &[
            "environment",
            "time",
            "wire",
            "transfer",
            "store",
            "signal",
            "link",
            "error",
            "event",
            "options",
            "question",
            "ui",
            "visible",
            "helper",
            "confinement",
            "fs",
            "platform",
        ],
    ),
    // Another crate: it sees the library by its name only, and the library cannot see it.
    ("cli", &[]),
    ("main", &[]),
    ("lib", &[]),
];

/// Modules of the library that do I/O: sockets, tasks, timers, commands. These and no others are left out where there is no
/// operating system, as their parents say (`cfg(not(target_family = "wasm"))`): whatever else there is is built without one.
const DOES_IO: &[&str] = &[
    "confinement",
    "environment",
    // Runs commands of the user.
    "helper",
    // Holds content back; cut by tests and the demo only.
    "link::cable",
    "link::driver",
    "link::fault",
    "link::interfaces",
    "link::socket",
    // Queues only.
    "question",
    "session::host",
    "session::news",
    "session::places",
    "session::receive",
    // Waits between two runs of the command that gives TURN credentials.
    "session::relay::source",
    "session::run",
    "session::send",
    "session::shell",
    "session::stored",
    "session::surroundings",
    "session::worker",
    "signal::client",
    "signal::host",
    "signal::interfaces",
    // Files of this machine's rooms, and their locks.
    "signal::local",
    // Queues only.
    "ui",
    // The binary, which is not built there at all.
    "cli",
];

/// Words that only the named modules may write.
const CONFINED: &[(&[&str], &[&str])] = &[
    (
        &["Instant::now", "SystemTime::now"],
        &[
            "time",
            "link::driver",
            "link::cable",
            "link::socket",
            "signal::client",
            "signal::host",
            "session::run",
            "session::send",
            "session::receive",
            "session::surroundings",
            "helper",
            "cli",
        ],
    ),
    (&["tokio::", "tokio_tungstenite", "axum::"], DOES_IO),
    (
        &["std::thread::sleep"],
        &["store::state", "session::run", "signal::local", "link::fault", "cli"],
    ),
    // What differs from system to system is in one place, but for sockets, and for what the command line asks of a terminal.
    (
        &["rustix::", "nix::", "std::os::unix", "std::os::fd"],
        &["platform", "link::socket", "signal::interfaces", "confinement", "cli"],
    ),
    (
        &["std::fs"],
        &["platform", "store", "cli", "signal::local", "signal::interfaces", "link::fault"],
    ),
    (
        &["UdpSocket", "TcpStream", "TcpListener", "ToSocketAddrs"],
        &[
            "link::driver",
            "link::socket",
            "signal::client",
            "signal::host",
            "signal::cluster",
            // Asks for the route, sends nothing.
            "signal::interfaces",
        ],
    ),
    (&["webrtc::", "rtc::"], &["link"]),
    (&["clap::", "clap_complete", "indicatif::"], &["cli"]),
    (
        &["println!", "eprintln!", "print!(", "eprint!(", "std::io::stdout", "std::io::stderr"],
        &["cli"],
    ),
    (&["process::exit"], &[]),
    // An empty variable is an unset one, whoever asks.
    (&["env::var", "env::vars", "env::temp_dir", "env::home_dir"], &["environment"]),
];

struct File {
    path: PathBuf,
    /// `cli::output::json`.
    module: String,
    /// Lines up to the tests, without comments: number and text.
    code: Vec<(usize, String)>,
    length: usize,
}

fn files() -> Vec<File> {
    let mut files = Vec::new();
    collect(&crate::root().join("src"), &mut files);
    assert!(files.len() > 10, "the source is somewhere else");
    files
}

fn collect(directory: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            files.push(read(path));
        }
    }
}

/// Files whose code has this text, from the repository's root.
pub(crate) fn files_that_say(text: &str) -> Vec<String> {
    let has_text = |file: &File| std::fs::read_to_string(&file.path).unwrap().contains(text);
    let root = crate::root();
    let shown = |file: File| file.path.strip_prefix(root).unwrap().display().to_string();
    files().into_iter().filter(has_text).map(shown).collect()
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let is_below_tests = path.parent().is_some_and(|parent| parent.ends_with("tests"));
    stem == "tests" || stem.ends_with("_tests") || is_below_tests
}

fn read(path: PathBuf) -> File {
    let text = std::fs::read_to_string(&path).unwrap();
    let before_tests: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"))
        .collect();
    let code = before_tests
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, (*line).to_owned()))
        .collect();
    let below = path.strip_prefix(crate::root().join("src")).unwrap();
    let parts: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
    let module = parts.join("::");
    let module = module.trim_end_matches(".rs").trim_end_matches("::mod").to_owned();
    File { length: before_tests.len(), path, module, code }
}

fn is_within(module: &str, root: &str) -> bool {
    module == root || module.strip_prefix(root).is_some_and(|rest| rest.starts_with("::"))
}

/// Modules of this crate that a line names: `crate::a`, `crate::{a, b::c}`.
fn imports(line: &str) -> Vec<String> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = Vec::new();
    for (start, _) in line.match_indices("crate::") {
        // `$crate::` and `other_crate::` are not ours.
        if line[..start].ends_with(is_name) {
            continue;
        }
        let rest = &line[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push(rest.chars().take_while(|c| is_name(*c)).collect()),
            Some(list) => {
                let mut depth = 0;
                let list: String = list
                    .chars()
                    .take_while(|character| {
                        depth += i32::from(*character == '{') - i32::from(*character == '}');
                        depth >= 0
                    })
                    .collect();
                let firsts = list.split(',').map(|item| {
                    item.trim().chars().take_while(|c| is_name(*c)).collect::<String>()
                });
                found.extend(firsts.filter(|first| !first.is_empty()));
            }
        }
    }
    found
}

#[test]
fn nothing_imports_upwards() {
    let mut wrong = Vec::new();
    for file in files() {
        let row = MAY_IMPORT
            .iter()
            .filter(|(module, _)| is_within(&file.module, module))
            .max_by_key(|(module, _)| module.len());
        let Some((owner, allowed)) = row else {
            wrong.push(format!("{} has no row in MAY_IMPORT", file.path.display()));
            continue;
        };
        let owner = owner.split("::").next().unwrap();
        for (number, line) in &file.code {
            for import in imports(line) {
                if import != owner && !allowed.contains(&import.as_str()) {
                    let path = file.path.display();
                    wrong.push(format!("{path}:{number}: {} imports {import}", file.module));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table and the source cannot part: what is marked as needing an operating system is what does I/O.
#[test]
fn whatever_does_no_io_needs_no_operating_system() {
    let mut marked = Vec::new();
    for file in files() {
        let mut is_marked = false;
        for (_, line) in &file.code {
            let declared = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
            if let Some((_, name)) = declared.filter(|(before, _)| !before.contains("//")) {
                let above =
                    if file.module == "lib" { String::new() } else { format!("{}::", file.module) };
                marked.extend(is_marked.then(|| format!("{above}{name}")));
            }
            let is_attribute = line.starts_with("#[");
            let is_said = line.contains("not(target_family = \"wasm\")");
            is_marked = is_attribute && (is_marked || is_said);
        }
    }
    marked.extend(["cli".to_owned()]);
    let mut listed = DOES_IO.to_vec();
    listed.sort_unstable();
    marked.sort();
    assert_eq!(marked, listed, "left out without an operating system, and in the table");
}

#[test]
fn imports_are_found_in_every_spelling() {
    assert_eq!(imports("use crate::wire::ids;"), ["wire"]);
    assert_eq!(imports("use crate::{error::Error, event};"), ["error", "event"]);
    assert_eq!(imports("let x = crate::store::open(crate::time::now());"), ["store", "time"]);
    assert_eq!(imports("pub(crate) use some_crate::thing;"), Vec::<String>::new());
}

#[test]
fn effects_stay_where_the_tree_shows_them() {
    let mut wrong = Vec::new();
    for file in files() {
        for (words, owners) in CONFINED {
            if owners.iter().any(|owner| is_within(&file.module, owner)) {
                continue;
            }
            for (number, line) in &file.code {
                for word in words.iter().filter(|word| has_word(line, word)) {
                    wrong.push(format!("{}:{number}: {word}", file.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `word` stands in `line`, not as the end of a longer one (`webrtc::` has no `rtc::`).
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

#[test]
fn within_cli_only_the_output_prints() {
    let mut wrong = Vec::new();
    // The completion script is the output of its command, not a message.
    let may = ["cli::output", "cli::completions"];
    for file in files() {
        if !is_within(&file.module, "cli") || may.iter().any(|may| is_within(&file.module, may)) {
            continue;
        }
        for (number, line) in &file.code {
            let words =
                ["println!", "print!", "eprint!", "eprintln!", "stdout()", "stderr().write"];
            if words.iter().any(|word| has_word(line, word)) {
                wrong.push(format!("{}:{number}: {line}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = files()
        .into_iter()
        .filter(|file| file.length > LINES_MAX)
        .map(|file| format!("{}: {} lines", file.path.display(), file.length))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = files()
        .into_iter()
        .filter(|file| !std::fs::read_to_string(&file.path).unwrap().starts_with("//!"))
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// K-26: who reads logs asks for a subject, wherever in the source it is spoken of.
#[test]
fn every_subject_has_its_log_target() {
    let files = files();
    let code: Vec<&str> =
        files.iter().flat_map(|file| &file.code).map(|(_, line)| line.as_str()).collect();
    for subject in
        ["keepalive", "ice", "ice_restart", "recovery", "activity", "lifecycle", "resource"]
    {
        let target = format!("target: \"rejoin::{subject}\"");
        assert!(code.iter().any(|line| line.contains(&target)), "nobody logs to {target}");
    }
}
