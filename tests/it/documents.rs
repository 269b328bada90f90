//! What the documents claim: every test that they name exists, and every option is there or said not to be.

use std::collections::BTreeSet;

use crate::support::env::Home;

/// Options in the readme that other programs have.
const OF_OTHERS: [&str; 14] = [
    "--bench",
    "--bin",
    "--features",
    "--locked",
    "--no-default-features",
    "--nocapture",
    "--path",
    "--profile",
    "--release",
    "--test",
    "--exact",
    "--all-targets",
    "--version",
    "--help",
];

#[test]
fn every_test_that_a_document_names_exists() {
    let mut named = 0;
    let mut missing = BTreeSet::new();
    let in_directory = |name: &str| std::fs::read_dir(crate::root().join(name)).unwrap();
    for entry in in_directory("docs").chain(in_directory("docs/upstream")) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let Some((file, test)) = quoted.split_once(".rs::") else { continue };
            named += 1;
            let source = crate::root().join(format!("{file}.rs"));
            let source = std::fs::read_to_string(source).unwrap_or_default();
            let name = test.rsplit("::").next().unwrap_or(test);
            if !source.contains(&format!("fn {name}(")) {
                missing.insert(format!("{}: {quoted}", path.display()));
            }
        }
    }
    assert!(named > 300, "the documents name {named} tests: they are read wrongly");
    assert!(missing.is_empty(), "{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The last two cells of a row of the requirements: its tests, and what is open.
fn cells(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("| ").filter(|line| !line.starts_with(['-', 'i']))?;
    let mut cells = line.trim_end().trim_end_matches('|').rsplit(" | ").map(str::trim);
    let open = cells.next()?;
    Some((cells.next()?, open))
}

#[test]
fn the_requirements_are_counted_and_every_kind_has_its_tests() {
    let text = std::fs::read_to_string(crate::root().join("docs/requirements.md")).unwrap();
    let (rows, kinds) = text.split_once("## B by kind").unwrap();
    let (mut shown, mut in_part, mut without) = (0, 0, 0);
    for (tests, open) in rows.lines().filter_map(cells) {
        match (tests.contains(".rs::"), open.is_empty()) {
            (true, true) => shown += 1,
            (true, false) => in_part += 1,
            (false, _) => without += 1,
        }
    }
    let counts = format!(
        "{} rows: {shown} shown, {in_part} shown in part, {without} without a test.",
        shown + in_part + without
    );
    assert!(rows.contains(&counts), "{counts}");
    for kind in 'A'..='X' {
        let row = kinds.lines().find_map(|line| line.strip_prefix(&format!("| {kind} | ")));
        // One that was reported, and three relatives.
        let tests = row.map_or(0, |row| row.matches(".rs::").count());
        assert!(tests >= 4, "kind {kind} has {tests} tests");
    }
}

/// What stands between quotes or after a space as `--name`.
fn options(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("--").map(|(start, _)| start);
    let word = |start: usize| {
        let is_begun =
            !text[..start].ends_with(|before: char| before == '-' || before.is_alphanumeric());
        let rest = &text[start + 2..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        let word = text[start..start + 2 + end].trim_end_matches('-');
        (is_begun && word.len() > 3).then_some(word)
    };
    starts.filter_map(word).collect()
}

/// Row 105: an option that the readme names is known to the program, or listed as not yet there; none is both.
#[test]
fn every_option_of_the_readme_is_there_or_said_not_to_be() {
    let home = Home::new();
    let mut help = String::new();
    for command in [
        &["send"][..],
        &["receive"],
        &["resume"],
        &["stats"],
        &["host"],
        &["demo"],
        &["sessions", "list"],
        &["sessions", "show"],
        &["sessions", "invite"],
    ] {
        let words = command.iter().chain(&["--help"]);
        help.push_str(&home.rejoin(words).run().expect_code(0).stdout);
    }
    let known = options(&help);
    let readme = std::fs::read_to_string(crate::root().join("README.md")).unwrap();
    let (before, rest) = readme.split_once("### Not yet").unwrap();
    let (absent, after) = rest.split_once("\n## ").unwrap();
    let absent = options(absent);
    assert!(known.len() > 40 && absent.len() > 30, "{known:?} {absent:?}");
    let both: Vec<_> = absent.intersection(&known).collect();
    assert!(both.is_empty(), "there, and said not to be: {both:?}");
    let named = options(before).into_iter().chain(options(after));
    let unknown: BTreeSet<_> = named
        .filter(|option| !known.contains(option) && !absent.contains(option))
        .filter(|option| !OF_OTHERS.contains(option))
        .collect();
    assert!(unknown.is_empty(), "named as if they were there: {unknown:?}");
}

/// The walks lead somewhere: each `src/….rs`, and each function named behind one, exists.
#[test]
fn every_file_that_a_guide_names_exists() {
    let mut named = 0;
    for guide in ["docs/architecture.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(crate::root().join(guide)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let (path, function) = quoted.split_once("::").unwrap_or((quoted, ""));
            let is_path = ["src/", "tests/", "docs/"].iter().any(|root| path.starts_with(root));
            if !is_path || path.contains(' ') {
                continue;
            }
            named += 1;
            let at = crate::root().join(path);
            assert!(at.exists(), "{guide}: {path}");
            if !function.is_empty() {
                let source = std::fs::read_to_string(&at).unwrap();
                let is_there = [format!("fn {function}("), format!("fn {function}<")]
                    .iter()
                    .any(|start| source.contains(start));
                assert!(is_there, "{guide}: {quoted}");
            }
        }
    }
    assert!(named > 50, "{named}");
}
