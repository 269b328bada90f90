//! Relatives of what users ran into: the same kinds of fault in other surroundings than those that were reported.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use crate::support::lab::disk::{Kind, Mount, on_each};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Meeting, assert_no_litter};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody, injecting};
use crate::support::pair::{Pair, wait_for_half};
use crate::support::tree::{assert_same, assert_same_content, set_mtime};

const MIB: usize = 1 << 20;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// B-P: a closed directory that belongs to somebody else costs what goes into it, and nothing else.
#[test]
fn a_closed_directory_of_somebody_else_costs_its_files_only() {
    let pair = Pair::new();
    pair.noise("tree/theirs/a", 1000);
    pair.noise("tree/theirs/deep/b", 1000);
    pair.noise("tree/mine/c", 1000);
    fs::create_dir_all(pair.path("target/tree/theirs")).unwrap();
    give_to_nobody(pair.home.path());
    chown(pair.path("target/tree/theirs"), Some(0), Some(0)).unwrap();
    chmod(&pair.path("target/tree/theirs"), 0o755);
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "target").both_through(&nobody);
    for sending in [vec![], vec!["--new"]] {
        let ends = meeting.clone().sending(&sending).run();
        let told = ends.expect(6);
        let theirs = ["tree/theirs/a", "tree/theirs/deep", "tree/theirs/deep/b"];
        assert_eq!(told, theirs, "{}", ends.report());
        assert!(pair.path("target/tree/mine/c").exists());
        assert_eq!(mode(&pair.path("target/tree/theirs")), 0o755);
    }
}

/// B-P: links, second names and later versions get into closed directories; a killed receiver leaves them closed in the end.
#[test]
fn whatever_goes_into_a_closed_directory_gets_there() {
    let pair = Pair::new();
    pair.noise("tree/closed/large", 24 * MIB);
    pair.noise("tree/closed/a", 1000);
    fs::create_dir_all(pair.path("target/tree/closed")).unwrap();
    pair.home.file("target/tree/closed/a", "another version");
    symlink("a", pair.path("tree/closed/link")).unwrap();
    chmod(&pair.path("tree/closed"), 0o555);
    chmod(&pair.path("target/tree/closed"), 0o555);
    give_to_nobody(pair.home.path());
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "target")
        .receiving(&["--on-conflict", "rename"])
        .both_through(&nobody);
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    wait_for_half(&receiver);
    receiver.kill_after(std::time::Duration::ZERO);
    let receiver = meeting.receiver().wait();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
    let closed = pair.path("target/tree/closed");
    assert_eq!(mode(&closed), 0o555);
    assert_eq!(fs::read_link(closed.join("link")).unwrap(), Path::new("a"));
    assert_eq!(fs::read(closed.join("a")).unwrap(), b"another version");
    let second = fs::read(closed.join("a (1)")).unwrap();
    assert_eq!(second, fs::read(pair.path("tree/closed/a")).unwrap());
    assert_no_litter(&pair.path("target"));
}

/// B-P: a mount below a closed directory.
#[test]
fn a_closed_directory_with_a_mount_below_it_takes_files() {
    let pair = Pair::new();
    pair.noise("tree/closed/mount/a", 2 * MIB);
    pair.noise("tree/closed/b", 10);
    fs::create_dir_all(pair.path("target/tree/closed/mount")).unwrap();
    let mount = or_skip!(Mount::at(&pair.path("target/tree/closed/mount"), Kind::Tmpfs, 10));
    give_to_nobody(pair.home.path());
    chmod(mount.path(), 0o555);
    chmod(&pair.path("target/tree/closed"), 0o555);
    let nobody = or_skip!(as_nobody());
    Meeting::new(&pair, "tree", "target").both_through(&nobody).run().expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    assert_no_litter(mount.path());
}

/// B-S: a directory that may be written and not listed takes files; one of the source that may be searched only is told.
#[test]
fn a_directory_that_cannot_be_listed_takes_files_and_is_told() {
    let pair = Pair::new();
    pair.noise("tree/a", 3 * MIB);
    pair.noise("tree/searched/b", 10);
    fs::create_dir_all(pair.path("drop/tree")).unwrap();
    chmod(&pair.path("drop"), 0o333);
    chmod(&pair.path("drop/tree"), 0o333);
    chmod(&pair.path("tree/searched"), 0o111);
    give_to_nobody(pair.home.path());
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "drop").both_through(&nobody);
    for sending in [vec![], vec!["--new"]] {
        let ends = meeting.clone().sending(&sending).run();
        assert_eq!(ends.expect(6), ["tree/searched"], "{}", ends.report());
        let sent = fs::read(pair.path("tree/a")).unwrap();
        assert_eq!(fs::read(pair.path("drop/tree/a")).unwrap(), sent);
    }
    chmod(&pair.path("drop"), 0o755);
    assert_no_litter(&pair.path("drop"));
}

/// B-S: state and the file of the code below directories that may be searched and not read.
#[test]
fn state_below_a_directory_that_cannot_be_listed_is_used() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    fs::create_dir_all(pair.path("closed/state")).unwrap();
    fs::create_dir_all(pair.path("closed/out")).unwrap();
    give_to_nobody(pair.home.path());
    chmod(&pair.path("closed/state"), 0o700);
    chown(pair.path("closed"), Some(0), Some(0)).unwrap();
    chmod(&pair.path("closed"), 0o711);
    let nobody = or_skip!(as_nobody());
    let sender = pair
        .send(["--json", "--code-out", "closed/out/code", "--state-dir", "closed/state", "tree"])
        .through(nobody.clone())
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair
        .receive(["--json", "-y", "-o", "target", "--code-file", "closed/out/code"])
        .through(nobody)
        .run();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-X: what changed at the target behind its size and time is found by `--checksum`, and never called verified without it.
#[test]
fn what_changed_behind_its_time_after_it_was_received_is_not_called_verified() {
    let pair = Pair::new();
    let large = pair.noise("tree/large", 3 * MIB);
    for name in ["large", "small"] {
        let file = pair.path("tree").join(name);
        if !file.exists() {
            pair.noise("tree/small", 100);
        }
        set_mtime(&file, 1_600_000_000, 5);
    }
    let meeting = Meeting::new(&pair, "tree", "target");
    meeting.run().expect_all();
    let there = pair.path("target/tree/large");
    let mut content = fs::read(&large).unwrap();
    content[2 * MIB] ^= 1;
    fs::write(&there, content).unwrap();
    set_mtime(&there, 1_600_000_000, 5);
    let blind = meeting.clone().sending(&["--new"]).run();
    for end in [&blind.sender, &blind.receiver] {
        assert_eq!(end.outcome()["verified"], false, "{}", blind.report());
        assert_eq!(end.outcome()["unread_files"], 2, "{}", blind.report());
    }
    let seeing = meeting.clone().sending(&["--new"]).receiving(&["--checksum"]).run();
    assert_eq!(seeing.expect(7), ["tree/large"]);
    let mending =
        meeting.clone().sending(&["--new"]).receiving(&["--checksum", "--overwrite"]).run();
    mending.expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-X: a session that continues, with files that were complete before: their content decides, whoever touched them since.
#[test]
fn a_complete_file_that_was_changed_before_the_session_went_on_is_no_success() {
    let pair = Pair::new();
    pair.noise("tree/a", 100);
    pair.noise("tree/large", 24 * MIB);
    let meeting = Meeting::new(&pair, "tree", "target");
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    receiver.event_where("a", |event| event["event"] == "file" && event["path"] == "tree/a");
    wait_for_half(&receiver);
    receiver.kill_after(std::time::Duration::ZERO);
    let there = pair.path("target/tree/a");
    fs::write(&there, vec![7; 100]).unwrap();
    let receiver = meeting.receiver().wait();
    assert_eq!(receiver.code(), 7, "{}", receiver.stdout);
    assert_eq!(sender.wait().code(), 7);
    assert_eq!(fs::read(&there).unwrap(), vec![7; 100]);
}

/// B-F: a file that is mounted over another cannot be replaced: that one is told, the rest arrives.
#[test]
fn a_mounted_file_costs_itself_only() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    pair.noise("tree/hosts", 1000);
    pair.home.file("elsewhere", "mounted");
    pair.home.file("target/tree/hosts", "below");
    let _bound = or_skip!(Mount::bind(&pair.path("elsewhere"), &pair.path("target/tree/hosts")));
    let meeting = Meeting::new(&pair, "tree", "target").receiving(&["--overwrite"]);
    for _ in 0..2 {
        let ends = meeting.run();
        assert_eq!(ends.expect(6), ["tree/hosts"], "{}", ends.report());
        assert_eq!(fs::read(pair.path("elsewhere")).unwrap(), b"mounted");
        assert!(pair.path("target/tree/a").exists());
    }
}

/// B-F, B-N: a mount below the target that is full costs what goes there, and nothing else.
#[test]
fn a_full_mount_below_the_target_costs_its_files_only() {
    let pair = Pair::new();
    pair.noise("tree/small/a", 3 * MIB);
    pair.noise("tree/small/b", 3 * MIB);
    pair.noise("tree/z", 3 * MIB);
    fs::create_dir_all(pair.path("target/tree/small")).unwrap();
    let mount = or_skip!(Mount::at(&pair.path("target/tree/small"), Kind::Tmpfs, 4));
    let meeting = Meeting::new(&pair, "tree", "target");
    let ends = meeting.run();
    let told = ends.expect(6);
    assert_eq!(told.len(), 1, "{}", ends.report());
    assert!(told[0].starts_with("tree/small/"), "{}", ends.report());
    assert_no_litter(mount.path());
    mount.remount("size=8m");
    meeting.run().expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-E: other calls that set what a disk does not keep.
#[test]
fn other_calls_that_a_disk_refuses_cost_no_content() {
    for injection in [
        "fchmod,fchmodat:error=EROFS",
        "utimensat:error=ENOSYS",
        "utimensat:error=EINVAL",
        "fallocate:error=EOPNOTSUPP",
        "statfs,fstatfs:error=ENOSYS",
        "copy_file_range:error=EOPNOTSUPP",
        "fadvise64,readahead:error=EINVAL",
    ] {
        let pair = Pair::new();
        pair.noise("tree/a", 3 * MIB + 7);
        pair.noise("tree/d/b", 10);
        symlink("a", pair.path("tree/link")).unwrap();
        let words = or_skip!(injecting(&[injection]));
        let ends = Meeting::new(&pair, "tree", "target").receiver_through(words).run();
        eprintln!("{injection}");
        ends.expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
        assert_no_litter(&pair.path("target"));
    }
}

/// B-D: state on disks that make modes up: what cannot be private is said, with what to do.
#[test]
fn state_on_a_disk_without_modes_is_refused_with_the_remedy_or_used() {
    on_each(&[Kind::Exfat, Kind::Ntfs], 20, |kind, pair, disk| {
        pair.noise("tree/a", 1000);
        let state = disk.join("state");
        let run = pair
            .send([
                "--json",
                "--state-dir",
                state.to_str().unwrap(),
                "--code",
                "7-crane-velvet-orbit",
            ])
            .run();
        // Nothing to send, and before that nothing else: the state is looked at first or not at all.
        assert_eq!(run.code(), 2, "{kind:?} {}{}", run.stdout, run.stderr);
        let mut words = vec!["--json", "--state-dir", state.to_str().unwrap()];
        words.extend(["--code", "7-crane-velvet-orbit", "tree"]);
        let sender = pair.send(words).deadline(std::time::Duration::from_secs(20)).spawn();
        let said = sender.event_where("an end or a code", |event| {
            event["event"] == "code" || event["event"] == "error"
        });
        if said["event"] == "error" {
            let run = sender.wait();
            assert!(run.stderr.contains("state-dir") || run.stdout.contains("state-dir"), "{said}");
        } else {
            let receiver = pair.receiving().run();
            receiver.expect_code(0);
            sender.wait().expect_code(0);
        }
    });
}

/// B-O: state inside the target, and state that is the argument itself.
#[test]
fn state_is_neither_sent_nor_written_into() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    pair.noise("other/x", 10);
    // The receiver keeps its state in what it receives into.
    let sender = pair.sending("tree");
    let state = pair.path("target/state");
    let receiver = pair
        .receive(["--json", "-y", "-o", "target", "--state-dir", state.to_str().unwrap()])
        .env("REJOIN_CODE", "7-crane-velvet-orbit")
        .run();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
    // Then the target is sent on, with the state in it, by itself and as the argument.
    for source in ["target", "target/state"] {
        let sender = pair
            .send(["--json", "--new", "--code", "8-crane-velvet-orbit", source])
            .deadline(std::time::Duration::from_secs(20))
            .spawn();
        let said = sender.event_where("an end or a code", |event| {
            event["event"] == "code" || event["event"] == "error"
        });
        if said["event"] == "error" {
            assert_eq!(source, "target/state", "{said}");
            assert_ne!(sender.wait().code(), 0);
            continue;
        }
        assert_eq!(source, "target", "state is no content");
        let into = pair.path("onward");
        fs::create_dir_all(&into).unwrap();
        let receiver = pair.receive(["--json", "-y", "-o", "onward", "8-crane-velvet-orbit"]).run();
        receiver.expect_code(0);
        sender.wait().expect_code(0);
        assert!(into.join("target/tree/a").exists());
        assert!(!into.join("target/state").join("sessions").exists());
    }
}

/// B-A: more entries are missing than are named one by one: both count the same.
#[test]
fn more_missing_entries_than_are_named_are_counted_by_both() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    const LINKS: u64 = 70_000;
    for at in 0..LINKS {
        let directory = pair.path(&format!("tree/{}", at / 1000));
        if at % 1000 == 0 {
            fs::create_dir(&directory).unwrap();
        }
        symlink("/etc/hostname", directory.join(at.to_string())).unwrap();
    }
    let ends = Meeting::new(&pair, "tree", "target").run();
    for end in [&ends.sender, &ends.receiver] {
        assert_eq!(end.code(), 6);
        assert_eq!(end.outcome()["failed_files"], LINKS, "{}", end.outcome());
        assert_eq!(end.outcome()["files"], 1, "{}", end.outcome());
    }
}

/// B-B: what is there is the same and cannot be touched: read-only by its mode, its directory or its file system.
#[test]
fn what_is_the_same_and_cannot_be_touched_is_there() {
    let pair = Pair::new();
    for name in ["plain", "closed/a", "mounted/b"] {
        let file = pair.noise(&format!("tree/{name}"), MIB + 5);
        set_mtime(&file, 1_600_000_000, 0);
    }
    fs::create_dir_all(pair.path("target/tree/mounted")).unwrap();
    let mount = or_skip!(Mount::at(&pair.path("target/tree/mounted"), Kind::Tmpfs, 10));
    for name in ["plain", "closed/a", "mounted/b"] {
        let there = pair.path("target/tree").join(name);
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::copy(pair.path("tree").join(name), &there).unwrap();
        chmod(&there, 0o444);
    }
    give_to_nobody(pair.home.path());
    give_to_nobody(mount.path());
    chmod(&pair.path("target/tree/closed"), 0o555);
    mount.remount("ro");
    let nobody = or_skip!(as_nobody());
    let ends = Meeting::new(&pair, "tree", "target").both_through(&nobody).run();
    ends.expect_all();
    assert_eq!(ends.figure("unchanged_files"), 3);
    assert_eq!(ends.figure("wire_bytes"), 0);
}

/// B-B: what cannot be read cannot be the same.
#[test]
fn what_is_there_and_cannot_be_read_is_another_version() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    pair.noise("tree/b", 1000);
    fs::create_dir_all(pair.path("target/tree")).unwrap();
    fs::copy(pair.path("tree/a"), pair.path("target/tree/a")).unwrap();
    give_to_nobody(pair.home.path());
    chmod(&pair.path("target/tree/a"), 0);
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "target").both_through(&nobody);
    let ends = meeting.run();
    assert_eq!(ends.expect(7), ["tree/a"], "{}", ends.report());
    meeting.receiving(&["--overwrite"]).run().expect_all();
    assert_eq!(fs::read(pair.path("target/tree/a")).unwrap().len(), 1000);
}

/// B-J: files that have content and no size, as those of the kernel: their content arrives, or they are refused by name.
#[test]
fn files_without_a_size_are_never_sent_as_empty() {
    for source in
        ["/proc/version", "/proc/self/mountinfo", "/sys/kernel/mm/transparent_hugepage/enabled"]
    {
        if !Path::new(source).exists() {
            continue;
        }
        let pair = Pair::new();
        let sender = pair
            .send(["--json", "--code", "7-crane-velvet-orbit", source])
            .deadline(std::time::Duration::from_secs(30))
            .spawn();
        let said = sender.event_where("an end or a code", |event| {
            event["event"] == "code" || event["event"] == "error"
        });
        if said["event"] == "error" {
            assert_ne!(sender.wait().code(), 0);
            continue;
        }
        let receiver = pair.receiving().run();
        let name = Path::new(source).file_name().unwrap();
        let there = fs::read(pair.path("target").join(name)).unwrap_or_default();
        let is_empty = there.iter().all(|byte| *byte == 0);
        assert!(!is_empty || receiver.code() != 0, "{source}: {}", receiver.stdout);
        assert_eq!(receiver.code(), sender.wait().code(), "{source}");
    }
}

/// B-L: the source's disk fails in the middle: both know which file, and the rest arrives.
#[test]
fn a_source_that_cannot_be_read_any_more_is_told_by_both() {
    let pair = Pair::new();
    pair.noise("tree/a", 8 * MIB);
    pair.noise("tree/b", 8 * MIB);
    let words = or_skip!(injecting(&["pread64,preadv,preadv2:error=EIO:when=12..40"]));
    let ends = Meeting::new(&pair, "tree", "target").sender_through(words).run();
    assert!(ends.sender.code() != 0 && ends.receiver.code() != 0, "{}", ends.report());
    assert_eq!(ends.sender.code(), ends.receiver.code(), "{}", ends.report());
}

/// B-L: the target is taken away in the middle: the sender hears it.
#[test]
fn a_target_that_is_gone_is_told_to_the_sender() {
    let pair = Pair::new();
    pair.noise("tree/large", 64 * MIB);
    let meeting = Meeting::new(&pair, "tree", "target");
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    wait_for_half(&receiver);
    fs::rename(pair.path("target"), pair.path("away")).unwrap();
    fs::remove_dir_all(pair.path("away")).unwrap();
    let receiver = receiver.wait();
    assert_eq!(receiver.code(), 8, "{}{}", receiver.stdout, receiver.stderr);
    let sender = sender.wait();
    assert_eq!(sender.code(), 5, "{}{}", sender.stdout, sender.stderr);
    assert!(sender.stderr.contains("disk"), "{}", sender.stderr);
}

/// D-12: the disk cannot be written any more halfway: that is said, and what is there is kept for when it can.
#[test]
fn a_disk_that_becomes_read_only_halfway_is_told_and_continued() {
    let pair = Pair::new();
    pair.noise("tree/large", 64 * MIB);
    let words = or_skip!(injecting(&["pwrite64,pwritev,pwritev2:error=EROFS:when=60+"]));
    let ends = Meeting::new(&pair, "tree", "target").receiver_through(words).run();
    assert_eq!(ends.receiver.code(), 8, "{}", ends.report());
    assert!(ends.receiver.stderr.to_lowercase().contains("read-only"), "{}", ends.report());
    assert_eq!(ends.sender.code(), 5, "{}", ends.report());
    assert!(!pair.path("target/tree/large").exists());
    let again = Meeting::new(&pair, "tree", "target").run();
    again.expect_all();
    assert!(again.figure("kept_bytes") > 0, "{}", again.report());
    assert_same(&pair.path("tree/large"), &pair.path("target/tree/large"));
}

/// B-N, B-U: the disk of the state is full, not that of the target: the message names the state.
#[test]
fn a_full_disk_of_the_state_is_named() {
    for side in ["send", "receive"] {
        let pair = Pair::new();
        pair.noise("tree/a", 8 * MIB);
        fs::create_dir(pair.path("full")).unwrap();
        let mount = or_skip!(Mount::at(&pair.path("full"), Kind::Tmpfs, 1));
        // A block for a directory or two.
        let filler = fs::File::create(mount.path().join("filler")).unwrap();
        let mut size = 0;
        use std::os::unix::fs::FileExt as _;
        while filler.write_at(&[1; 4096], size).is_ok() {
            size += 4096;
        }
        let state = pair.path("full/state");
        let with = |words: &[&str], is_here: bool| {
            let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
            if is_here {
                words.extend(["--state-dir".into(), state.to_str().unwrap().into()]);
            }
            words
        };
        let deadline = std::time::Duration::from_secs(30);
        let words = with(&["--json", "--code", "7-crane-velvet-orbit", "tree"], side == "send");
        let sender = pair.send(words).deadline(deadline).spawn();
        let said = sender.event_where("an end or a code", |event| {
            event["event"] == "code" || event["event"] == "error"
        });
        if side == "send" {
            let run = sender.wait();
            assert_eq!(run.code(), 8, "{said}");
            assert!(run.stderr.contains("state"), "{}", run.stderr);
            continue;
        }
        let words = with(&["--json", "-y", "-o", "target", "7-crane-velvet-orbit"], true);
        let run = pair.receive(words).deadline(deadline).run();
        assert_eq!(run.code(), 8, "{}", run.stderr);
        assert!(run.stderr.contains("state"), "{}", run.stderr);
    }
}

/// B-R, B-G: calls of the network that are refused now and then, or always, in favour of others.
#[test]
fn refused_network_calls_are_survived() {
    for injection in [
        // A firewall, for some packets.
        "sendmsg,sendmmsg,sendto:error=EPERM:when=40+9",
        "sendmsg,sendmmsg:error=ENOBUFS:when=30+11",
        "sendmsg,sendmmsg:error=ENETUNREACH:when=50+13",
        "sendmmsg:error=ENOSYS",
        "recvmsg,recvmmsg:error=ECONNREFUSED:when=20+17",
    ] {
        let pair = Pair::new();
        pair.noise("tree/a", 6 * MIB + 7);
        let words = or_skip!(injecting(&[injection]));
        let ends = Meeting::new(&pair, "tree", "target").both_through(&words).run();
        eprintln!("{injection}");
        ends.expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-G3: no netlink, as in some containers: what is there is used.
#[test]
fn without_news_of_interfaces_a_transfer_works() {
    for injection in ["bind:error=EPERM:when=1", "inotify_init1:error=EMFILE"] {
        let pair = Pair::new();
        pair.noise("tree/a", MIB);
        let words = or_skip!(injecting(&[injection]));
        eprintln!("{injection}");
        Meeting::new(&pair, "tree", "target").receiver_through(words).run().expect_all();
    }
}

/// B-U: surroundings without this or that.
#[test]
fn odd_surroundings_end_in_a_transfer_or_a_sentence() {
    for (variable, value) in [
        ("TMPDIR", "@no/such/place"),
        ("TMPDIR", ""),
        ("XDG_CONFIG_HOME", "/dev/null"),
        ("XDG_STATE_HOME", "relative"),
        ("LANG", "xx_YY.ISO-8859-1"),
        ("TERM", ""),
        ("RUST_LOG", "trace"),
        ("COLUMNS", "0"),
        ("USER", ""),
        ("HOSTNAME", "\u{202e}"),
    ] {
        let pair = Pair::new();
        pair.noise("tree/a", 1000);
        // Below the home of the test.
        let value = &*value.replace('@', pair.path("").to_str().unwrap());
        let sender = pair
            .send(["--json", "--code", "7-crane-velvet-orbit", "tree"])
            .env(variable, value)
            .spawn();
        let said = sender.event_where("an end or a code", |event| {
            event["event"] == "code" || event["event"] == "error"
        });
        if said["event"] == "error" {
            let run = sender.wait();
            assert!(run.stderr.contains(variable), "{variable}={value}: {}", run.stderr);
            assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
            continue;
        }
        let receiver = pair.receiving().env(variable, value).run();
        let report = format!("{variable}={value}\n{}{}", receiver.stdout, receiver.stderr);
        assert_eq!((receiver.code(), sender.wait().code()), (0, 0), "{report}");
    }
}

/// B-U: no place for the rooms of this machine: the code with an address works, and one without names the cause.
#[test]
fn without_a_place_for_rooms_the_cause_is_named() {
    let pair = Pair::new();
    pair.noise("tree/a", 1000);
    let nowhere = ("REJOIN_RUNTIME_DIR", "/dev/null/rooms");
    let sender = pair
        .send(["--json", "--code", "7-crane-velvet-orbit", "tree"])
        .env(nowhere.0, nowhere.1)
        .spawn();
    let said = sender.event_where("code", |event| event["event"] == "code");
    let run = pair.receiving().env(nowhere.0, nowhere.1).run();
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("REJOIN_RUNTIME_DIR"), "{}", run.stderr);
    let code = said["code"].as_str().unwrap();
    let receiver = pair.receive(["--json", "-y", "-o", "target", code]).env(nowhere.0, nowhere.1);
    receiver.run().expect_code(0);
    sender.wait().expect_code(0);
}

/// B-V: a host by every spelling that a person copies: it works at both ends, or the word says what to write.
#[test]
fn a_host_in_another_spelling_works_or_is_explained() {
    let home = Pair::new();
    let (host, url) = home.home.host("127.0.0.1:0");
    let authority = url.trim_start_matches("ws://").trim_end_matches("/ws").trim_end_matches('/');
    for before_and_after in [
        ("", ""),
        ("ws://", "/"),
        ("WS://", "/ws"),
        ("http://", ""),
        ("http://", "/ws/"),
        ("", "/"),
    ] {
        let given = format!("{}{authority}{}", before_and_after.0, before_and_after.1);
        let pair = Pair::new();
        pair.noise("tree/f", 1000);
        let sender = pair
            .send(["--json", "--code", "7-crane-velvet-orbit", "--host", &given, "tree"])
            .spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let words = ["--json", "-y", "-o", "target", "7-crane-velvet-orbit", "--host", &given];
        pair.receive(words).run().expect_code(0);
        sender.wait().expect_code(0);
    }
    for (before, after, word) in [
        ("https://", "", "does not speak TLS"),
        ("wss://", "/ws", "does not speak TLS"),
        ("", "/ws", "ws://NAME:PORT/PATH"),
        ("ws://", "/elsewhere", "/ws"),
        ("ws://", "?token=1", "no part after ?"),
        ("ftp://", "", "ws://"),
    ] {
        let given = format!("{before}{authority}{after}");
        let run = home
            .send(["--json", "--code", "7-crane-velvet-orbit", "--host", &given, "target"])
            .run();
        assert!([2, 4].contains(&run.code()), "{given}: {}", run.stderr);
        assert!(run.stderr.contains(word), "{given}: {}", run.stderr);
    }
    host.kill_after(std::time::Duration::ZERO);
}

/// B-X: zeros of the right size and time, as programs leave them that reserve room, are not taken for the content.
#[test]
fn reserved_room_is_not_called_verified() {
    let pair = Pair::new();
    let file = pair.noise("tree/a", 2 * MIB);
    let there = pair.home.file("target/tree/a", "");
    fs::File::options().write(true).open(&there).unwrap().set_len(2 * MIB as u64).unwrap();
    for path in [&file, &there] {
        set_mtime(path, 1_600_000_000, 0);
    }
    let meeting = Meeting::new(&pair, "tree", "target").sending(&["--new"]);
    let blind = meeting.run();
    assert_eq!(blind.receiver.outcome()["verified"], false, "{}", blind.report());
    let seeing = meeting.clone().receiving(&["--checksum"]).run();
    assert_eq!(seeing.expect(7), ["tree/a"]);
    meeting.receiving(&["--checksum", "--on-conflict", "overwrite"]).run().expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}
