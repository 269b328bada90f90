//! A tree with everything in it, sent to every disk, both ends killed at random: in the end both know the same, and a second run
//! moves nothing.
//!
//! `REJOIN_TEST_SEED` repeats a run; the seed is part of every report.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode};

use crate::support::lab::disk::{Kind, Mount};
use crate::support::lab::outcome::{Ends, Meeting};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::lab::{Here, or_skip};
use crate::support::pair::Pair;
use crate::support::random::Random;
use crate::support::tree::set_mtime;

const MIB: usize = 1 << 20;

/// What is left out whatever the disk is.
const MISSING: [&str; 7] = [
    "tree/links/absolute",
    "tree/links/escaping",
    "tree/special/device",
    "tree/special/fifo",
    "tree/special/socket",
    "tree/unreadable/directory",
    "tree/unreadable/file",
];

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes the tree; everything of it belongs to `nobody`. What it returns is to live as long as the tree.
fn make_everything(pair: &Pair, random: &mut Random) -> Here<(Mount, UnixListener)> {
    let tree = pair.path("tree");
    let mut write = |path: &[u8], size: usize| {
        let path = tree.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, random.bytes(size)).unwrap();
        path
    };
    let names: [&[u8]; 16] = [
        b"latin \xe9\xff",
        b"new\nline",
        b"escape \x1b[31m",
        b"a:b",
        b"dot.",
        b"space ",
        b" space",
        b"-rf",
        b"back\\slash",
        b"quote'\"",
        b"$(reboot)",
        b"con",
        b"question?",
        "crab 🦀".as_bytes(),
        "right-to-left \u{202e}txt".as_bytes(),
        b"tab\t|<>*",
    ];
    for name in names {
        write(&[b"names/", name].concat(), 100);
    }
    write(&[&b"names/"[..], &[b'n'; 255]].concat(), 10);
    for twin in ["Case/x", "case/y", "README", "readme", "caf\u{e9}", "cafe\u{301}"] {
        write(format!("twins/{twin}").as_bytes(), 50);
    }
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 3] {
        write(format!("sizes/{size}").as_bytes(), size);
    }
    for at in 0..120 {
        write(format!("many/{}/{at}", at % 7).as_bytes(), at * 13);
    }
    for (at, seconds) in
        [-12_000_000_000, -5, 0, 2_200_000_000, 4_400_000_000].into_iter().enumerate()
    {
        set_mtime(&write(format!("times/{at}").as_bytes(), 20), seconds, 123_456_789);
    }
    write(b"unreadable/file", 10);
    write(b"unreadable/directory/inner", 10);
    write(b"read only/deep/er/file", 10);
    write(b"modes/setuid", 10);
    write(b"modes/none of others", 10);
    write(b"links/to/file", 10);
    write(b"below/file", 3000);
    write(b"log", 70_000);
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(64 * MIB as u64).unwrap();
    sparse.write_all_at(b"in the middle", 27 * MIB as u64 + 5).unwrap();
    fs::create_dir_all(tree.join("empty/er")).unwrap();
    let links = [
        ("inner", "to/file"),
        ("dangling", "nothing"),
        ("absolute", "/etc/hostname"),
        ("escaping", "../../../outside"),
        ("itself", "itself"),
        ("one", "two"),
        ("two", "one"),
        ("to/up", ".."),
    ];
    for (name, to) in links {
        symlink(to, tree.join("links").join(name)).unwrap();
    }
    fs::hard_link(tree.join("sizes/1"), tree.join("links/hard")).unwrap();
    fs::create_dir(tree.join("special")).unwrap();
    rustix::fs::mkfifoat(CWD, tree.join("special/fifo"), Mode::RUSR).unwrap();
    let listener = UnixListener::bind(tree.join("special/socket")).unwrap();
    fs::create_dir(tree.join("mounted")).unwrap();
    let mount = Mount::at(&tree.join("mounted"), Kind::Tmpfs, 4)?;
    fs::write(tree.join("mounted/file"), random.bytes(5000)).unwrap();
    rustix::fs::mknodat(
        CWD,
        tree.join("special/device"),
        FileType::CharacterDevice,
        Mode::RUSR,
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    give_to_nobody(pair.home.path());
    chmod(&tree.join("modes/setuid"), 0o4755);
    chmod(&tree.join("modes/none of others"), 0o600);
    chmod(&tree.join("unreadable/file"), 0);
    chmod(&tree.join("unreadable/directory"), 0);
    for directory in ["read only/deep/er", "read only/deep", "read only"] {
        chmod(&tree.join(directory), 0o555);
    }
    Ok((mount, listener))
}

/// A path as NDJSON has it.
fn shown(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return text.to_owned();
    }
    let mut shown = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        shown.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Regular files and symlinks below a directory, as paths from its parent.
fn contents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() || kind.is_symlink() {
                found.push(
                    entry.path().strip_prefix(directory.parent().unwrap()).unwrap().to_owned(),
                );
            }
        }
    }
    found
}

/// Every file of the source is at the target with its content, or it, or a directory above it, is listed.
#[track_caller]
fn assert_there_or_told(pair: &Pair, target: &Path, told: &[String], report: &str) {
    let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
    for path in contents(&pair.path("tree")) {
        if path.ancestors().any(|above| told.contains(&*shown(above))) {
            continue;
        }
        let (here, there) = (pair.path("").join(&path), target.join(&path));
        let is_same = if here.is_symlink() {
            fs::read_link(&here).unwrap() == fs::read_link(&there).unwrap_or_default()
        } else {
            fs::read(&there).is_ok_and(|found| found == fs::read(&here).unwrap())
        };
        assert!(is_same, "{} is neither there nor told\n{report}", path.display());
    }
}

fn seed() -> u64 {
    let given = std::env::var("REJOIN_TEST_SEED").ok();
    given.map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000_007,
        |text| text.parse().unwrap(),
    )
}

/// Sends the tree to a disk, with kills, then twice more; `is_exact` where the disk holds whatever is sent.
fn everything_to(kind: Kind, mebibytes: u64, is_exact: bool) -> Here<()> {
    let nobody = as_nobody()?;
    let seed = seed();
    eprintln!("REJOIN_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let pair = Pair::new();
    let target = Mount::new(kind, mebibytes)?;
    let _source = make_everything(&pair, &mut random)?;
    if is_exact {
        give_to_nobody(target.path());
    }
    // A mount below the target, where the tree has a directory.
    fs::create_dir_all(target.path().join("tree/below")).unwrap();
    let below = Mount::at(&target.path().join("tree/below"), Kind::Tmpfs, 4)?;
    if is_exact {
        give_to_nobody(&target.path().join("tree"));
    }
    give_to_nobody(below.path());
    let meeting = Meeting::new(&pair, "tree", target.path())
        .receiving(&["--wait", "20s"])
        .both_through(&nobody);
    // The log grows for as long as there are kills.
    let log = pair.path("tree/log");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::options().append(true).open(log).unwrap();
        while stopped.recv_timeout(Duration::from_millis(20)).is_err() {
            file.write_all(b"one more line\n").unwrap();
        }
    });
    let slow = meeting.clone().sending(&["--bwlimit", "4M"]);
    for _ in 0..3 {
        let sender = slow.sender_starting();
        let receiver = meeting.receiver();
        // Before anything is agreed, or with content under way.
        let is_early = random.chance(30);
        if !is_early {
            receiver.event_where("connected", |event| event["event"] == "connected");
        }
        let (first, second) = (random.below(1500), random.below(500));
        std::thread::sleep(Duration::from_millis(first));
        let (one, other) = if random.chance(50) { (sender, receiver) } else { (receiver, sender) };
        one.kill_after(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(second));
        other.kill_after(Duration::ZERO);
    }
    stop.send(()).unwrap();
    writer.join().unwrap();
    let ends = meeting.run();
    let report = format!("REJOIN_TEST_SEED={seed} {kind:?}\n{}", ends.report());
    let code = ends.receiver.code();
    assert!([0, 6, 7, 9].contains(&code), "{report}");
    let told = expect(&ends, code, &report);
    assert_there_or_told(&pair, target.path(), &told, &report);
    if is_exact {
        assert_eq!(told, MISSING, "{report}");
        assert_eq!(code, 6, "{report}");
    } else {
        assert!(
            MISSING.iter().all(|path| told.iter().any(|told| told == path)),
            "{told:?}\n{report}"
        );
    }
    let again = meeting.run();
    let report = format!("second run\n{report}\n{}", again.report());
    assert_eq!(expect(&again, code, &report), told, "{report}");
    // What a disk refuses to name at the end is asked for again: of some names of 100 bytes.
    let wire = if is_exact { 0 } else { 2_000 };
    assert!(again.figure("wire_bytes") <= wire, "{report}");
    assert_there_or_told(&pair, target.path(), &told, &report);
    for place in [target.path(), below.path(), &target.path().join("tree")] {
        assert!(!place.join(".rejoin").exists(), "{} has .rejoin\n{report}", place.display());
    }
    // Who clears up may look into everything.
    chmod(&pair.path("tree/unreadable/directory"), 0o700);
    Ok(())
}

#[track_caller]
fn expect(ends: &Ends, code: i32, report: &str) -> Vec<String> {
    eprintln!("{report}");
    ends.expect(code)
}

/// B: everything, to ext4.
#[test]
fn everything_to_ext4() {
    or_skip!(everything_to(Kind::Ext4, 60, true));
}

/// B: everything, where times are whole seconds.
#[test]
fn everything_to_a_disk_of_whole_seconds() {
    or_skip!(everything_to(Kind::Ext4WholeSeconds, 60, true));
}

/// B: everything, to memory.
#[test]
fn everything_to_tmpfs() {
    or_skip!(everything_to(Kind::Tmpfs, 40, true));
}

/// B: everything, to btrfs.
#[test]
fn everything_to_btrfs() {
    or_skip!(everything_to(Kind::Btrfs, 160, true));
}

/// B: everything, to XFS.
#[test]
fn everything_to_xfs() {
    or_skip!(everything_to(Kind::Xfs, 320, true));
}

/// B: everything, to NTFS: modes are made up, some names are refused.
#[test]
fn everything_to_ntfs() {
    or_skip!(everything_to(Kind::Ntfs, 120, false));
}

/// B: everything, to exFAT: no links, names are folded, some refused, holes filled.
#[test]
fn everything_to_exfat() {
    or_skip!(everything_to(Kind::Exfat, 160, false));
}
