//! What a target has room and names for: mounts below it, names that its disk folds or refuses, little space, closed directories.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::lab::disk::{Kind, Mount, on_each};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::wait_for_durable;
use crate::support::lab::outcome::{Meeting, assert_no_litter};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::Pair;
use crate::support::tree::{assert_same, assert_same_content};

const MIB: usize = 1 << 20;

/// B-F (row 19): other file systems, and the same one by another way, below the target.
#[test]
fn a_mount_below_the_target_gets_its_files() {
    let pair = Pair::new();
    for name in ["tree/plain", "tree/tmpfs/a", "tree/tmpfs/deep/b", "tree/bound/c", "tree/btrfs/d"]
    {
        pair.noise(name, 2 * MIB + 3);
    }
    for name in ["tmpfs", "bound", "btrfs"] {
        fs::create_dir_all(pair.path("target/tree").join(name)).unwrap();
    }
    fs::create_dir(pair.path("elsewhere")).unwrap();
    let tmpfs = or_skip!(Mount::at(&pair.path("target/tree/tmpfs"), Kind::Tmpfs, 20));
    let _bound = or_skip!(Mount::bind(&pair.path("elsewhere"), &pair.path("target/tree/bound")));
    let _btrfs = or_skip!(Mount::at(&pair.path("target/tree/btrfs"), Kind::Btrfs, 120));
    // One more, inside the first.
    fs::create_dir(tmpfs.path().join("deep")).unwrap();
    let _inner = or_skip!(Mount::at(&tmpfs.path().join("deep"), Kind::Ext4, 20));
    let meeting = Meeting::new(&pair, "tree", "target");
    let ends = meeting.run();
    ends.expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    for place in ["", "tree", "tree/tmpfs", "tree/tmpfs/deep", "tree/bound", "tree/btrfs"] {
        assert_no_litter(&pair.path("target").join(place));
    }
    let again = meeting.sending(&["--new"]).run();
    again.expect_all();
    assert_eq!(again.figure("wire_bytes"), 0);
}

/// B-F: killed and continued among mounts; what is staged on a mount is kept and taken away.
#[test]
fn a_killed_receiver_continues_below_a_mount() {
    let pair = Pair::new();
    pair.noise("tree/mount/large", 40 * MIB);
    pair.noise("tree/small", 10);
    fs::create_dir_all(pair.path("target/tree/mount")).unwrap();
    let mount = or_skip!(Mount::at(&pair.path("target/tree/mount"), Kind::Ext4, 100));
    let meeting = Meeting::new(&pair, "tree", "target").sending(&["--bwlimit", "12M"]);
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    wait_for_durable(&receiver);
    receiver.signal(rustix::process::Signal::KILL);
    receiver.wait();
    let again = meeting.receiver().wait().expect_code(0);
    sender.wait().expect_code(0);
    assert!(again.outcome()["kept_bytes"].as_u64().unwrap() > 0, "{}", again.outcome());
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    assert_no_litter(mount.path());
    assert_no_litter(&pair.path("target"));
}

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

/// B-I: where the disk folds names, one of two arrives, and the other is told by both; the second run is the same.
#[test]
fn twins_are_told_where_the_disk_folds_names() {
    on_each(&[Kind::NtfsFolding, Kind::Ext4Casefold, Kind::Exfat], 20, |kind, pair, target| {
        for name in ["Net/a", "net/b", "xt_DSCP.c", "xt_dscp.c", "other"] {
            pair.noise(&format!("tree/{name}"), 1000 + name.len());
        }
        let meeting = Meeting::new(pair, "tree", target);
        let ends = meeting.run();
        let told = ends.expect(6);
        let is_told = |name: &str| told.iter().any(|path| path == name);
        assert_ne!(is_told("tree/xt_DSCP.c"), is_told("tree/xt_dscp.c"), "{kind:?}: {told:?}");
        assert!(!is_told("tree/other"), "{kind:?}: {told:?}");
        let there = target.join("tree");
        assert_same_content_of(pair, "other", &there);
        // The content under the name that both fold to is that of one of them, whole.
        let found = fs::read(there.join("xt_dscp.c")).unwrap();
        let original = |name: &str| fs::read(pair.path("tree").join(name)).unwrap();
        assert!(found == original("xt_DSCP.c") || found == original("xt_dscp.c"), "{kind:?}");
        let again = meeting.sending(&["--new"]).run();
        assert_eq!(again.expect(6), told, "{kind:?}");
        assert_eq!(again.figure("wire_bytes"), 0, "{kind:?}");
        // Asked to, it takes both, one by another name.
        let both = Meeting::new(pair, "tree", target)
            .sending(&["--new"])
            .receiving(&["--on-conflict", "rename"])
            .run();
        both.expect_all();
    });
}

/// B-I: in two directories that the disk takes for one, names that meet are twins, too, as they are spelled or not; every run
/// tells the same ones.
#[test]
fn twins_in_directories_that_are_one_are_told_by_every_run() {
    on_each(&[Kind::Exfat, Kind::NtfsFolding, Kind::Ext4Casefold], 30, |kind, pair, target| {
        let names = [("x", "X"), ("1", "1"), ("Sub/y", "sub/Y"), ("Sub/2", "sub/2")];
        for (one, other) in names {
            pair.noise(&format!("tree/Dir/{one}"), 1000);
            pair.noise(&format!("tree/dir/{other}"), 2000);
        }
        pair.noise("tree/dir/alone", 10);
        let meeting = Meeting::new(pair, "tree", target);
        let told = meeting.run().expect(6);
        assert_eq!(told.len(), names.len(), "{kind:?}: {told:?}");
        for (one, other) in names {
            let is_told = |path: String| told.contains(&path);
            assert_ne!(
                is_told(format!("tree/Dir/{one}")),
                is_told(format!("tree/dir/{other}")),
                "{kind:?}: {told:?}"
            );
        }
        assert!(target.join("tree/dir/alone").exists(), "{kind:?}");
        for words in [vec![], vec!["--new"], vec![]] {
            let again = meeting.clone().sending(&words).run();
            assert_eq!(again.expect(6), told, "{kind:?} {words:?}");
            assert_eq!(again.figure("wire_bytes"), 0, "{kind:?} {words:?}");
        }
    });
}

/// B-I: whichever of two twins comes first, the earlier in the tree or the smaller, every run names the same one, and sends it once.
/// A later version of the one that is there replaces it, never one of the other.
#[test]
fn of_two_twins_every_run_tells_the_same_one() {
    const MIB: usize = 1 << 20;
    on_each(&[Kind::Exfat, Kind::NtfsFolding, Kind::Ext4Casefold], 60, |kind, pair, target| {
        let twins = [("ABC", 5 * MIB, "abc", 10), ("READ", 10, "read", 5 * MIB), ("X", 9, "x", 9)];
        for (one, one_bytes, other, other_bytes) in twins {
            pair.noise(&format!("tree/{one}"), one_bytes);
            pair.noise(&format!("tree/{other}"), other_bytes);
        }
        let meeting = Meeting::new(pair, "tree", target);
        let told = meeting.run().expect(6);
        assert_eq!(told.len(), 3, "{kind:?}: {told:?}");
        let is_told = |name: &str| told.contains(&format!("tree/{name}"));
        for (one, _, other, _) in twins {
            assert_ne!(is_told(one), is_told(other), "{kind:?}: {told:?}");
        }
        for words in [vec![], vec!["--new"], vec![]] {
            let again = meeting.clone().sending(&words).run();
            assert_eq!(again.expect(6), told, "{kind:?} {words:?}");
            assert_eq!(again.figure("wire_bytes"), 0, "{kind:?} {words:?}");
        }
        let (there, missing) = if is_told("x") { ("X", "x") } else { ("x", "X") };
        let is_there =
            |content: &[u8]| fs::read(target.join("tree").join(there)).unwrap() == content;
        fs::write(pair.path("tree").join(missing), "later").unwrap();
        let overwriting = meeting.clone().receiving(&["--on-conflict", "overwrite"]);
        assert_eq!(overwriting.run().expect(6), told, "{kind:?}");
        assert!(is_there(&fs::read(pair.path("tree").join(there)).unwrap()), "{kind:?}");
        fs::write(pair.path("tree").join(there), "newest").unwrap();
        assert_eq!(overwriting.run().expect(6), told, "{kind:?}");
        assert!(is_there(b"newest"), "{kind:?}");
    });
}

#[track_caller]
fn assert_same_content_of(pair: &Pair, name: &str, there: &Path) {
    let here = fs::read(pair.path("tree").join(name)).unwrap();
    assert_eq!(fs::read(there.join(name)).ok(), Some(here), "{name}");
}

/// B-I: names that a disk refuses are told by both; everything else is there.
#[test]
fn names_that_a_disk_refuses_are_told_and_cost_nothing_else() {
    use std::os::unix::ffi::OsStrExt as _;
    on_each(&[Kind::Exfat, Kind::Ntfs], 20, |kind, pair, target| {
        let odd: [&[u8]; 8] =
            [b"a:b", b"dot.", b"space ", b"what?", b"new\nline", b"latin \xe9", b"star*", b"con"];
        pair.noise("tree/plain", 1000);
        for name in odd {
            let path = pair.path("tree").join(std::ffi::OsStr::from_bytes(name));
            fs::write(path, name).unwrap();
        }
        let meeting = Meeting::new(pair, "tree", target);
        let ends = meeting.run();
        let code = ends.receiver.code();
        assert!(code == 0 || code == 6, "{kind:?}: {code}\n{}", ends.receiver.stderr);
        let told = ends.expect(code);
        assert_eq!(code == 0, told.is_empty(), "{kind:?}: {told:?}");
        // Every name is there with its content, or told.
        let missing = odd.into_iter().filter(|name| {
            let there = target.join("tree").join(std::ffi::OsStr::from_bytes(name));
            fs::read(there).ok().as_deref() != Some(name)
        });
        assert_eq!(missing.count(), told.len(), "{kind:?}: {told:?}");
        assert_same_content_of(pair, "plain", &target.join("tree"));
        let again = meeting.sending(&["--new"]).run();
        assert_eq!(again.expect(code), told, "{kind:?}");
        // What the disk refuses at the end is asked for again.
        assert!(again.figure("wire_bytes") < 100, "{kind:?}");
    });
}

/// B-N (row 29): holes need no space.
#[test]
fn holes_need_no_space() {
    on_each(&[Kind::Tmpfs, Kind::Ext4, Kind::Btrfs], 64, |kind, pair, target| {
        pair.noise("tree/other", MIB);
        let sparse = fs::File::create(pair.path("tree/sparse")).unwrap();
        sparse.set_len(500 * MIB as u64).unwrap();
        sparse.write_all_at(&[7; 4096], 300 * MIB as u64).unwrap();
        let ends = Meeting::new(pair, "tree", target).run();
        ends.expect_all();
        let metadata = fs::metadata(target.join("tree/sparse")).unwrap();
        assert_eq!(metadata.len(), 500 * MIB as u64, "{kind:?}");
        assert!(metadata.blocks() * 512 < 8 * MIB as u64, "{kind:?}: {}", metadata.blocks());
        let mut found = [0; 4096];
        let file = fs::File::open(target.join("tree/sparse")).unwrap();
        file.read_exact_at(&mut found, 300 * MIB as u64).unwrap();
        assert_eq!(found, [7; 4096], "{kind:?}");
    });
}

/// B-N (row 30): what cannot fit is told before content flows, what fits is there whole, and the sender knows why it ended.
#[test]
fn a_sum_that_cannot_fit_is_known_at_once() {
    let pair = Pair::new();
    for at in 0..40 {
        pair.noise(&format!("tree/{at}"), MIB);
    }
    let small = or_skip!(Mount::new(Kind::Tmpfs, 20));
    let ends = Meeting::new(&pair, "tree", small.path()).run();
    assert_eq!(ends.receiver.code(), 8, "{}", ends.receiver.stderr);
    let events = ends.receiver.events();
    let warned = events.iter().position(|event| {
        event["event"] == "warning"
            && event["message"].as_str().unwrap().contains("20 MiB are free")
    });
    let received = events.iter().position(|event| event["event"] == "file");
    assert!(warned.is_some() && warned < received, "{}", ends.receiver.stderr);
    let message = ends.receiver.outcome()["message"].to_string();
    assert!(message.contains(small.path().to_str().unwrap()), "{message}");
    assert!(!message.contains(".part"), "{message}");
    let there = std::fs::read_dir(small.path().join("tree")).unwrap().map(|entry| entry.unwrap());
    let whole = there.filter(|entry| {
        fs::read(entry.path()).unwrap()
            == fs::read(pair.path("tree").join(entry.file_name())).unwrap()
    });
    assert!(whole.count() >= 10, "{}", ends.report());
    assert_eq!(ends.sender.code(), 5, "{}", ends.sender.stderr);
    assert!(ends.sender.stderr.contains("no space"), "{}", ends.sender.stderr);
}

/// B-N: a disk that fills up under way keeps every file that is complete, by its name, and goes on when there is room.
#[test]
fn complete_files_are_there_on_a_full_disk() {
    let pair = Pair::new();
    for at in 0..30 {
        pair.noise(&format!("tree/{at:02}"), MIB);
    }
    let small = or_skip!(Mount::new(Kind::Tmpfs, 40));
    let meeting = Meeting::new(&pair, "tree", small.path()).sending(&["--bwlimit", "8M"]);
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    // What is written by then is some files and a piece of another one.
    receiver.event_where("of five files", |event| {
        event["event"] == "progress" && event["bytes"].as_u64() >= Some(5 * MIB as u64)
    });
    // Somebody else takes the room.
    let hog = small.path().join("hog");
    let _ = fs::write(&hog, vec![1; 40 * MIB]);
    let full = receiver.wait().expect_code(8);
    let whole = |name: &str| {
        fs::read(small.path().join("tree").join(name)).ok()
            == Some(fs::read(pair.path("tree").join(name)).unwrap())
    };
    let complete = (0..30).filter(|at| whole(&format!("{at:02}"))).count();
    assert!(complete >= 3, "{complete} files are there\n{}", full.stderr);
    fs::remove_file(hog).unwrap();
    meeting.receiver().wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &small.path().join("tree"));
    assert_no_litter(small.path());
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

/// B-P (row 9): a directory that an earlier run closed, or that was closed before, takes new files and is closed again.
#[test]
fn read_only_directories_are_opened_for_the_time() {
    let pair = Pair::new();
    pair.noise("tree/closed/deep/a", 1000);
    pair.noise("tree/mine/x", 1000);
    let close = |name: &str, mode: u32| {
        fs::set_permissions(pair.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // There before anything was received.
    fs::create_dir_all(pair.path("target/tree/mine")).unwrap();
    close("target/tree/mine", 0o3555);
    close("tree/mine", 0o555);
    close("tree/closed/deep", 0o555);
    close("tree/closed", 0o555);
    give_to_nobody(pair.home.path());
    // A new owner takes setgid away.
    close("target/tree/mine", 0o3555);
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "target").both_through(&nobody);
    meeting.run().expect_all();
    let mode = |name: &str| fs::metadata(pair.path(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("target/tree/mine"), 0o3555);
    for (name, mode) in
        [("tree/closed/deep/b", 0o555), ("tree/closed/c/d", 0o555), ("tree/mine/y", 0o555)]
    {
        let file = pair.home.file(name, "new");
        fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(mode)).unwrap();
    }
    // Changed below a closed directory, too.
    pair.home.file("tree/closed/deep/a", "another content");
    give_to_nobody(pair.home.path());
    close("target/tree/mine", 0o3555);
    let again = meeting.clone().sending(&["--new"]).receiving(&["--overwrite"]).run();
    again.expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    assert_eq!(mode("target/tree/closed/deep"), 0o555);
    assert_eq!(mode("target/tree/mine"), 0o3555);
}
