//! What arrives is what was sent: bytes, modes, times, links, names, holes, and the shapes of a command line.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::pair::{CODE, Pair};
use crate::support::tree::{assert_same, set_mtime};

const MIB: usize = 1 << 20;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A bit of everything; metadata is set last, inner entries first.
fn make_tree(pair: &Pair) {
    let sizes = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 17];
    for (at, size) in sizes.into_iter().enumerate() {
        pair.noise(&format!("tree/sizes/{at}"), size);
    }
    for mode in [0o644, 0o600, 0o755, 0o400] {
        let file = pair.noise(&format!("tree/modes/{mode:o}"), 100);
        chmod(&file, mode);
    }
    let names: [&[u8]; 8] = [
        b"with spaces ",
        b"quotes '\" `$x`",
        "crab 🦀".as_bytes(),
        b"new\nline",
        b"not \xff\xfe UTF-8",
        b"-rf",
        b"back\\slash",
        b"...",
    ];
    let tree = pair.path("tree");
    for name in names {
        let directory = tree.join("names").join(OsStr::from_bytes(name));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir_all(tree.join("empty/inner")).unwrap();
    fs::create_dir(tree.join("read only")).unwrap();
    fs::write(tree.join("read only/file"), "x").unwrap();
    fs::create_dir(tree.join("links")).unwrap();
    symlink("../sizes/1", tree.join("links/to a file")).unwrap();
    symlink("../empty", tree.join("links/to a directory")).unwrap();
    symlink("nothing", tree.join("links/dangling")).unwrap();
    set_mtime(&tree.join("links/dangling"), 1_234_567_890, 42);
    let times = [
        ("old", -86_400 * 365 * 5, 1),
        ("exact", 1_600_000_000, 123_456_789),
        ("late", 4_000_000_000, 999_999_999),
    ];
    for (name, seconds, nanoseconds) in times {
        set_mtime(&pair.home.file(&format!("tree/times/{name}"), name), seconds, nanoseconds);
    }
    chmod(&tree.join("read only"), 0o555);
    chmod(&tree.join("empty/inner"), 0o700);
    for (at, name) in
        ["empty/inner", "empty", "read only", "times", "names", ""].into_iter().enumerate()
    {
        set_mtime(&tree.join(name), 1_500_000_000 + at as i64, 5);
    }
}

/// B-I: names that differ by case or composition are two names; the disk that receives them can hold both.
#[test]
fn names_that_differ_by_case_or_composition_arrive() {
    let pair = Pair::new();
    let names = ["xt_DSCP.c", "xt_dscp.c", "caf\u{e9}", "cafe\u{301}", "\u{df}", "ss", "SS"];
    for directory in ["", "Deep/", "deep/"] {
        for name in names {
            pair.home.file(&format!("tree/{directory}{name}"), format!("{directory}{name}"));
        }
    }
    // Its other name came with an earlier run.
    pair.transfer("tree", &["-y"], (0, 0));
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
    pair.home.file("tree/DEEP/SS", "new");
    let again = pair.transfer("tree", &["-y"], (0, 0)).1;
    assert_eq!(fs::read(pair.path("target/tree/DEEP/SS")).unwrap(), b"new");
    assert_eq!(again.outcome()["unchanged_files"], 21);
}

#[test]
fn a_tree_with_everything_arrives_exactly() {
    let pair = Pair::new();
    make_tree(&pair);
    let (sender, receiver) = pair.transfer("tree", &["-y"], (0, 0));
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
    let (sent, received) = (sender.outcome(), receiver.outcome());
    assert_eq!(received["files"], 6 + 4 + 8 + 3 + 1 + 3, "files and symlinks");
    for figure in ["files", "bytes", "verified"] {
        assert_eq!(sent[figure], received[figure], "{figure}");
    }
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn holes_stay_holes() {
    let pair = Pair::new();
    let sparse = fs::File::create(pair.path("sparse")).unwrap();
    let length = 24 * MIB as u64 + 5;
    sparse.set_len(length).unwrap();
    sparse.write_all_at(b"in the middle", 9 * MIB as u64 + 77).unwrap();
    pair.transfer("sparse", &["-y"], (0, 0));
    assert_same(&pair.path("sparse"), &pair.path("target/sparse"));
    let metadata = fs::metadata(pair.path("target/sparse")).unwrap();
    let stored = metadata.blocks() * 512;
    assert!(stored <= 4 * MIB as u64, "{stored} of {length} bytes are stored");
}

#[test]
fn several_paths_are_sent_at_once() {
    let pair = Pair::new();
    pair.noise("one", 1000);
    pair.noise("two/deep/file", MIB + 1);
    pair.noise("three/file", 10);
    let sender = pair.send(["--json", "--code", CODE, "one", "two/deep", "three/"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    for (source, target) in [("one", "one"), ("two/deep", "deep"), ("three", "three")] {
        assert_same(&pair.path(source), &pair.path("target").join(target));
    }
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 3);
}

#[test]
fn a_dot_is_the_directory_by_its_name() {
    let pair = Pair::new();
    pair.noise("photos/2024/a", 5000);
    let sender = pair.send(["--json", "--code", CODE, "."]).within(&pair.path("photos")).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    let names: Vec<_> = fs::read_dir(pair.path("target"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["photos"]);
    assert_same(&pair.path("photos"), &pair.path("target/photos"));
}

#[test]
fn an_empty_file_and_an_empty_directory_are_whole_transfers() {
    for name in ["file", "directory"] {
        let pair = Pair::new();
        match name {
            "file" => drop(pair.home.file(name, "")),
            _ => fs::create_dir(pair.path(name)).unwrap(),
        }
        let (_, receiver) = pair.transfer(name, &["-y"], (0, 0));
        assert_same(&pair.path(name), &pair.path("target").join(name));
        assert_eq!(receiver.outcome()["wire_bytes"], 0);
    }
}

#[test]
fn many_small_files_arrive() {
    let pair = Pair::new();
    for at in 0..3000 {
        pair.noise(&format!("many/{}/{at}", at % 7), at % 97);
    }
    let (_, receiver) = pair.transfer("many", &["-y"], (0, 0));
    assert_same(&pair.path("many"), &pair.path("target/many"));
    assert_eq!(receiver.files("received").len(), 3000);
}
