//! Receiving on the disks that there are: coarse times, made-up modes and owners, metadata and calls that are refused.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use crate::support::lab::disk::{Kind, Mount, on_each};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Meeting, assert_no_litter, left_out, warnings};
use crate::support::lab::wrapped::injecting;
use crate::support::pair::{Pair, wait_for_half};
use crate::support::tree::{assert_same_content, set_mtime};

const MIB: usize = 1 << 20;

/// Files of several sizes with times that few file systems keep exactly; returns how many.
fn make_tree(pair: &Pair) -> u64 {
    let sizes = [0, 1, MIB, MIB + 1, 3 * MIB + 17, 5, 70_000];
    for (at, size) in sizes.into_iter().enumerate() {
        let file = pair.noise(&format!("tree/{}/{at}", at % 2), size);
        set_mtime(&file, 1_600_000_001 + at as i64, 123_456_789);
    }
    sizes.len() as u64
}

/// B-B: a disk that takes times without keeping them at all.
#[test]
fn times_that_are_not_kept_at_all_do_not_make_another_version() {
    let pair = Pair::new();
    make_tree(&pair);
    let silent = or_skip!(injecting(&["utimensat:retval=0"]));
    let meeting = Meeting::new(&pair, "tree", "target").receiver_through(silent);
    meeting.run().expect_all();
    let again = meeting.sending(&["--new"]).run();
    again.expect_all();
    assert_eq!(again.figure("wire_bytes"), 0);
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-B (row 21): what is there with the same content and another time is not another version; it gets the time.
#[test]
fn the_same_content_gets_the_time_and_is_not_sent() {
    let pair = Pair::new();
    make_tree(&pair);
    for directory in ["0", "1"] {
        fs::create_dir_all(pair.path("target/tree").join(directory)).unwrap();
        for entry in fs::read_dir(pair.path("tree").join(directory)).unwrap() {
            let name = entry.unwrap().file_name();
            let copy = pair.path("target/tree").join(directory).join(&name);
            fs::copy(pair.path("tree").join(directory).join(&name), &copy).unwrap();
            set_mtime(&copy, 1_700_000_000, 0);
        }
    }
    // Another mode does not make it another content.
    fs::set_permissions(pair.path("target/tree/0/2"), fs::Permissions::from_mode(0o400)).unwrap();
    let ends = Meeting::new(&pair, "tree", "target").run();
    ends.expect_all();
    assert_eq!(ends.figure("wire_bytes"), 0);
    let time = |path: &str| fs::metadata(pair.path(path)).unwrap().mtime_nsec();
    assert_eq!(time("target/tree/0/2"), 123_456_789);
    // One byte of difference is another version, for both ends.
    let file = fs::File::options().write(true).open(pair.path("target/tree/0/4")).unwrap();
    file.write_all_at(b"#!#!", 2 * MIB as u64).unwrap();
    drop(file);
    let paths = Meeting::new(&pair, "tree", "target").sending(&["--new"]).run().expect(7);
    assert_eq!(paths, ["tree/0/4"]);
}
