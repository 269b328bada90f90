//! Sources that change: metadata that moves, files that grow, shrink and are exchanged, entries that go.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use crate::support::env::Running;
use crate::support::lab::outcome::{Ends, Meeting, figure, left_out, wait_for_durable};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::random::Random;
use crate::support::tree::{assert_same, set_mtime};

const MIB: usize = 1 << 20;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits until content flows, so that the source can be touched under way.
fn under_way(meeting: &Meeting) -> (Running, Running) {
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    wait_for_half(&receiver);
    (sender, receiver)
}

/// B-H (row 27): metadata that changes while a file is sent does not make it another file.
#[test]
fn metadata_that_moves_while_it_is_sent_costs_nothing() {
    type Touch = fn(&Path);
    let touches: [(&str, Touch); 5] = [
        ("a hard link", |file| fs::hard_link(file, file.with_extension("link")).unwrap()),
        ("a mode", |file| chmod(file, 0o640)),
        ("an attribute", |file| {
            let flags = rustix::fs::XattrFlags::empty();
            // Where the disk has none, nothing was touched.
            let _ = rustix::fs::setxattr(file, "user.seen", b"1", flags);
        }),
        ("a copy put in its place", |file| {
            let metadata = fs::metadata(file).unwrap();
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            set_mtime(&copy, metadata.mtime(), metadata.mtime_nsec());
            fs::rename(copy, file).unwrap();
        }),
        ("a time", |file| set_mtime(file, 1_500_000_000, 0)),
    ];
    for (what, touch) in touches {
        let pair = Pair::new();
        pair.noise("tree/file", 40 * MIB);
        let meeting = Meeting::new(&pair, "tree/file", "target");
        let (sender, receiver) = under_way(&meeting);
        touch(&pair.path("tree/file"));
        let ends = Ends { receiver: receiver.wait(), sender: sender.wait() };
        assert_eq!(ends.receiver.code(), 0, "{what}: {}", ends.receiver.stderr);
        ends.expect_all();
        assert!(
            fs::read(pair.path("tree/file")).unwrap()
                == fs::read(pair.path("target/file")).unwrap(),
            "{what}"
        );
    }
}

/// B-H: metadata that moved between two runs keeps what is there of an unfinished file.
#[test]
fn metadata_that_moves_between_two_runs_keeps_what_is_there() {
    type Touch = fn(&Path);
    let touches: [(&str, Touch); 4] = [
        ("a hard link", |file| fs::hard_link(file, file.with_extension("link")).unwrap()),
        ("a mode", |file| chmod(file, 0o640)),
        ("a time", |file| set_mtime(file, 1_500_000_000, 0)),
        ("a copy put in its place", |file| {
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            fs::rename(copy, file).unwrap();
        }),
    ];
    for (what, touch) in touches {
        let pair = Pair::new();
        pair.noise("tree/file", 40 * MIB);
        let meeting = Meeting::new(&pair, "tree/file", "target").sending(&["--bwlimit", "12M"]);
        let (sender, receiver) = (meeting.sender(), meeting.receiver());
        wait_for_durable(&receiver);
        for run in [&sender, &receiver] {
            run.signal(rustix::process::Signal::KILL);
        }
        drop((sender.wait(), receiver.wait()));
        touch(&pair.path("tree/file"));
        let sender = pair.send(["--json", "--code", CODE, "tree/file"]).spawn();
        let again = meeting.receiver().wait().expect_code(0);
        sender.wait().expect_code(0);
        assert!(figure(&again, "kept_bytes") > 0, "{what}: {}", again.outcome());
        assert!(
            fs::read(pair.path("tree/file")).unwrap()
                == fs::read(pair.path("target/file")).unwrap(),
            "{what}"
        );
    }
}

/// B-Q (row 26): a log that grows all the time arrives as one of its beginnings.
#[test]
fn a_file_that_grows_arrives_as_one_of_its_beginnings() {
    let pair = Pair::new();
    let log = pair.noise("tree/log", 3 * MIB);
    pair.noise("tree/other", 8 * MIB);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::options().append(true).open(log).unwrap();
        let mut number = 0_u64;
        while stopped.recv_timeout(Duration::from_millis(10)).is_err() {
            writeln!(file, "line {number}").unwrap();
            number += 1;
        }
    });
    let ends = Meeting::new(&pair, "tree", "target").run();
    stop.send(()).unwrap();
    writer.join().unwrap();
    ends.expect_all();
    let (whole, part) =
        (fs::read(pair.path("tree/log")).unwrap(), fs::read(pair.path("target/tree/log")).unwrap());
    assert!(part.len() >= 3 * MIB && whole.starts_with(&part), "{} of {}", part.len(), whole.len());
    assert_same(&pair.path("tree/other"), &pair.path("target/tree/other"));
}

/// B-Q: a large file that is cut short, or written anew once, while it is sent arrives as it then is.
#[test]
fn a_file_that_is_changed_once_arrives_as_it_is_now() {
    for is_cut in [true, false] {
        let pair = Pair::new();
        let file = pair.noise("tree/file", 24 * MIB);
        let meeting = Meeting::new(&pair, "tree", "target").sending(&["--bwlimit", "8M"]);
        let (sender, receiver) = under_way(&meeting);
        if is_cut {
            fs::File::options().write(true).open(&file).unwrap().set_len(20 * MIB as u64).unwrap();
        } else {
            fs::write(&file, Random::new(5).bytes(24 * MIB)).unwrap();
        }
        let ends = Ends { receiver: receiver.wait(), sender: sender.wait() };
        ends.expect_all();
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-Q: a file whose content is exchanged again and again is listed by both, and never mixed.
#[test]
fn a_file_that_never_stands_still_is_listed_or_whole() {
    let pair = Pair::new();
    let file = pair.home.file("tree/file", vec![0; 16 * MIB]);
    let next = pair.path("next");
    pair.noise("tree/other", MIB);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut round = 1_u8;
        while stopped.recv_timeout(Duration::from_millis(200)).is_err() {
            fs::write(&next, vec![round; 16 * MIB]).unwrap();
            fs::rename(&next, &file).unwrap();
            round = round.wrapping_add(1);
        }
    });
    let ends = Meeting::new(&pair, "tree", "target").run();
    stop.send(()).unwrap();
    writer.join().unwrap();
    let code = ends.receiver.code();
    assert!(code == 0 || code == 6, "{}", ends.receiver.stderr);
    let told = ends.expect(code);
    match fs::read(pair.path("target/tree/file")) {
        Ok(found) => assert!(found.iter().all(|byte| *byte == found[0]), "mixed"),
        Err(_) => assert_eq!(told, ["tree/file"]),
    }
    assert_same(&pair.path("tree/other"), &pair.path("target/tree/other"));
}

/// B-79: what was removed or replaced since the last run is not in the manifest of now.
#[test]
fn an_entry_that_went_between_two_runs_is_no_failure() {
    let pair = Pair::new();
    pair.noise("tree/large", 40 * MIB);
    for name in ["gone", "renamed", "directory", "kept"] {
        pair.noise(&format!("tree/z {name}"), 1000);
    }
    let meeting = Meeting::new(&pair, "tree", "target");
    let (sender, receiver) = under_way(&meeting);
    for run in [&sender, &receiver] {
        run.signal(rustix::process::Signal::KILL);
    }
    drop((sender.wait(), receiver.wait()));
    let at = |name: &str| pair.path("tree").join(name);
    fs::remove_file(at("z gone")).unwrap();
    fs::rename(at("z renamed"), at("z new name")).unwrap();
    fs::remove_file(at("z directory")).unwrap();
    pair.noise("tree/z directory/inner", 10);
    let sender = pair.send(["--json", "--code", CODE, "tree"]).spawn();
    let receiver = meeting.receiver().wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(left_out(&receiver).len(), 0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
