//! What a target has room and names for: mounts below it, names that its disk folds or refuses, little space, closed directories.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::lab::disk::{Kind, Mount, on_each};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Meeting, assert_no_litter};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::{Pair, wait_for_half};
use crate::support::tree::{assert_same, assert_same_content};

const MIB: usize = 1 << 20;

/// B-F: a mount that cannot be written costs its own files only.
#[test]
fn a_read_only_mount_below_the_target_costs_its_files_only() {
    let pair = Pair::new();
    pair.noise("tree/a", MIB);
    pair.noise("tree/closed/b", MIB);
    pair.noise("tree/z", MIB);
    fs::create_dir_all(pair.path("target/tree/closed")).unwrap();
    let mount = or_skip!(Mount::at(&pair.path("target/tree/closed"), Kind::Tmpfs, 20));
    mount.remount("ro");
    let paths = Meeting::new(&pair, "tree", "target").run().expect(6);
    assert_eq!(paths, ["tree/closed/b"]);
    for name in ["a", "z"] {
        assert_same(&pair.path("tree").join(name), &pair.path("target/tree").join(name));
    }
}

/// A read-only target is told before the code is used, by its path.
#[test]
fn a_read_only_target_is_named() {
    let pair = Pair::new();
    pair.noise("tree/a", MIB);
    let mount = or_skip!(Mount::new(Kind::Tmpfs, 20));
    mount.remount("ro");
    let meeting = Meeting::new(&pair, "tree", mount.path());
    let sender = meeting.sender();
    let refused = meeting.receiver().wait().expect_code(8);
    let message = refused.outcome()["message"].to_string();
    assert!(message.contains(mount.path().to_str().unwrap()), "{message}");
    // The code is still good.
    Meeting::new(&pair, "tree", "target").receiver().wait().expect_code(0);
    sender.wait().expect_code(0);
}

/// B-I (row 16): names that differ by case or composition are two where the disk says so.
#[test]
fn twins_arrive_where_the_disk_holds_both() {
    let kinds = [Kind::Ext4, Kind::Btrfs, Kind::Xfs, Kind::Tmpfs];
    on_each(&kinds, 20, |_, pair, target| {
        make_twins(pair);
        Meeting::new(pair, "tree", target).run().expect_all();
        assert_same(&pair.path("tree"), &target.join("tree"));
    });
}

fn make_twins(pair: &Pair) {
    for name in ["Net/a", "net/a", "xt_DSCP.c", "xt_dscp.c", "caf\u{e9}", "cafe\u{301}", "ß", "SS"]
    {
        pair.noise(&format!("tree/{name}"), 1000 + name.len());
    }
    fs::create_dir(pair.path("tree/Empty")).unwrap();
    symlink("xt_dscp.c", pair.path("tree/EMPTY")).unwrap();
}

#[track_caller]
fn assert_same_content_of(pair: &Pair, name: &str, there: &Path) {
    let here = fs::read(pair.path("tree").join(name)).unwrap();
    assert_eq!(fs::read(there.join(name)).ok(), Some(here), "{name}");
}

/// B-N: no inodes left is a full disk, too; what is complete is there.
#[test]
fn a_disk_without_inodes_is_full() {
    let pair = Pair::new();
    for at in 0..200 {
        pair.noise(&format!("tree/{at:03}"), 3000);
    }
    let small = or_skip!(Mount::with(Kind::Tmpfs, 20, &["nr_inodes=60"]));
    let ends = Meeting::new(&pair, "tree", small.path()).run();
    assert_eq!(ends.receiver.code(), 8, "{}", ends.receiver.stderr);
    assert_eq!(ends.sender.code(), 5, "{}", ends.sender.stderr);
    let message = ends.receiver.outcome()["message"].to_string();
    assert!(message.contains(small.path().to_str().unwrap()), "{message}");
}

/// B-N (row 32): a limit on the size of files is a full disk, not a signal.
#[test]
fn a_limit_on_the_size_of_files_is_told() {
    let pair = Pair::new();
    pair.noise("tree/large", 8 * MIB);
    pair.noise("tree/small", 10);
    let limited = ["/bin/sh", "-c", "ulimit -f 2048; exec \"$@\"", "sh"];
    let limited = limited.map(std::ffi::OsString::from).to_vec();
    let ends = Meeting::new(&pair, "tree", "target").receiver_through(limited).run();
    assert_eq!(ends.receiver.status.code(), Some(8), "{:?}", ends.receiver);
    assert_eq!(ends.sender.code(), 5, "{}", ends.sender.stderr);
}
