//! Receiving on the disks that there are: coarse times, made-up modes and owners, metadata and calls that are refused.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use crate::support::lab::disk::{Kind, Mount, on_each};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::wait_for_durable;
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

/// B-B, B-D (rows 61, 62, 65, 66): whatever a disk makes of times and modes, the second run finds all of it there.
#[test]
fn what_a_disk_keeps_of_times_and_modes_does_not_make_another_version() {
    on_each(&Kind::ALL, 40, |kind, pair, target| {
        let files = make_tree(pair);
        let meeting = Meeting::new(pair, "tree", target);
        meeting.run().expect_all();
        assert_same_content(&pair.path("tree"), &target.join("tree"));
        assert_no_litter(target);
        let again = meeting.sending(&["--new"]).run();
        again.expect_all();
        assert_eq!(again.figure("wire_bytes"), 0, "{kind:?}");
        assert_eq!(again.figure("unchanged_files"), files, "{kind:?}");
        assert_no_litter(target);
    });
}

/// B-B (row 66): a receiver that is killed half-way continues with 0 where times are coarser than they were asked for.
#[test]
fn a_killed_receiver_continues_where_times_are_coarse() {
    let kinds = [Kind::Ext4WholeSeconds, Kind::Ntfs, Kind::Exfat];
    on_each(&kinds, 80, |_, pair, target| {
        for at in 0..5 {
            let file = pair.noise(&format!("tree/{at}"), 6 * MIB);
            set_mtime(&file, 1_600_000_000, 987_654_321);
        }
        let meeting = Meeting::new(pair, "tree", target);
        let sender = meeting.sender();
        let receiver = meeting.receiver();
        receiver.event_where("of a file", |event| event["event"] == "file");
        wait_for_half(&receiver);
        receiver.signal(rustix::process::Signal::KILL);
        receiver.wait();
        let again = meeting.receiver().wait().expect_code(0);
        sender.wait().expect_code(0);
        assert_eq!(left_out(&again).len(), 0);
        assert_same_content(&pair.path("tree"), &target.join("tree"));
        assert_no_litter(target);
    });
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

/// B-B: times that the disk cannot say: before 1970, 1980 and 1601, and after 2038 and 2106.
#[test]
fn times_beyond_what_a_disk_can_say_do_not_make_another_version() {
    let kinds = [Kind::Ext4WholeSeconds, Kind::Exfat, Kind::Ntfs, Kind::Xfs];
    on_each(&kinds, 20, |kind, pair, target| {
        let years = [-12_000_000_000, -1, 0, 2_200_000_000, 4_400_000_000, 15_000_000_000];
        for (at, seconds) in years.into_iter().enumerate() {
            set_mtime(&pair.noise(&format!("tree/{at}"), 1000), seconds, 5);
        }
        let meeting = Meeting::new(pair, "tree", target);
        meeting.run().expect_all();
        let again = meeting.sending(&["--new"]).run();
        again.expect_all();
        assert_eq!(again.figure("wire_bytes"), 0, "{kind:?}");
        assert_same_content(&pair.path("tree"), &target.join("tree"));
    });
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

/// B-B: the source is touched between two runs: nothing is sent, the time arrives.
#[test]
fn a_touched_source_moves_nothing_but_its_time() {
    on_each(&[Kind::Ext4, Kind::Exfat, Kind::Btrfs], 40, |kind, pair, target| {
        make_tree(pair);
        let meeting = Meeting::new(pair, "tree", target);
        meeting.run().expect_all();
        set_mtime(&pair.path("tree/0/4"), 1_650_000_000, 0);
        let again = meeting.sending(&["--new"]).run();
        again.expect_all();
        assert_eq!(again.figure("wire_bytes"), 0, "{kind:?}");
        let metadata = fs::metadata(target.join("tree/0/4")).unwrap();
        assert_eq!(metadata.mtime(), 1_650_000_000, "{kind:?}");
    });
}

/// B-D: a directory of somebody else, and modes that are the same whatever is asked for.
#[test]
fn a_target_with_made_up_owners_and_modes_is_received_on() {
    let options: [&[&str]; 3] =
        [&["--force-user=nobody"], &["--perms=0777"], &["--force-user=nobody", "--perms=a=rwx"]];
    for options in options {
        let pair = Pair::new();
        make_tree(&pair);
        fs::create_dir(pair.path("below")).unwrap();
        let mount = or_skip!(Mount::bindfs(&pair.path("below"), options));
        let ends = Meeting::new(&pair, "tree", mount.path()).run();
        ends.expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("below/tree"));
        assert_no_litter(mount.path());
    }
}

/// B-D: a killed receiver continues on a disk that cannot close directories.
#[test]
fn a_killed_receiver_continues_where_modes_are_made_up() {
    on_each(&[Kind::Ntfs, Kind::NtfsUmask022], 80, |_, pair, target| {
        pair.noise("tree/large", 32 * MIB);
        let meeting = Meeting::new(pair, "tree", target).sending(&["--bwlimit", "12M"]);
        let sender = meeting.sender();
        let receiver = meeting.receiver();
        wait_for_durable(&receiver);
        receiver.signal(rustix::process::Signal::KILL);
        receiver.wait();
        let again = meeting.receiver().wait().expect_code(0);
        sender.wait().expect_code(0);
        assert!(again.outcome()["kept_bytes"].as_u64().unwrap() > 0, "{}", again.outcome());
        assert_same_content(&pair.path("tree"), &target.join("tree"));
        assert_no_litter(target);
    });
}

/// B-E (rows 59, 60, 67): metadata that a disk refuses costs no content; it is told once.
#[test]
fn metadata_that_is_refused_is_one_warning_and_no_loss() {
    let calls = ["chmod,fchmod,fchmodat", "utimensat"];
    let errors = ["EPERM", "EOPNOTSUPP", "ENOSYS", "EACCES", "EINVAL"];
    for (call, error) in calls.iter().flat_map(|call| errors.map(|error| (*call, error))) {
        let pair = Pair::new();
        make_tree(&pair);
        for at in 0..4 {
            let file = pair.noise(&format!("tree/modes/{at}"), 100);
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let refused = or_skip!(injecting(&[&format!("{call}:error={error}")]));
        let meeting = Meeting::new(&pair, "tree", "target").receiver_through(refused);
        let ends = meeting.run();
        ends.expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
        let told = warnings(&ends.receiver);
        assert!((1..=2).contains(&told.len()), "{call} {error}: {told:?}");
        let again = meeting.sending(&["--new"]).run();
        again.expect_all();
        assert_eq!(again.figure("wire_bytes"), 0, "{call} {error}");
    }
}

/// B-E (row 59): the same by a file system instead of a tracer.
#[test]
fn a_file_system_that_denies_chmod_or_keeps_no_times_takes_the_content() {
    for option in ["--chmod-deny", "--chmod-ignore", "--chmod-filter=a-w"] {
        let pair = Pair::new();
        make_tree(&pair);
        fs::create_dir(pair.path("below")).unwrap();
        let file = pair.noise("tree/closed", MIB);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        let mount = or_skip!(Mount::bindfs(&pair.path("below"), &[option]));
        Meeting::new(&pair, "tree", mount.path()).run().expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("below/tree"));
    }
}

/// B-E (row 67): calls that a network disk does not know: locks, syncs, reservations, exclusive renames.
#[test]
fn calls_that_a_disk_does_not_know_do_not_end_the_session() {
    let injections = [
        "flock:error=ENOLCK",
        "flock:error=EOPNOTSUPP",
        "flock:error=ENOSYS",
        "fsync,fdatasync:error=EINVAL",
        "fsync,fdatasync:error=EOPNOTSUPP",
        "fsync,fdatasync,syncfs:error=ENOSYS",
        "syncfs:error=EINVAL",
        "renameat2:error=EINVAL",
        "renameat2:error=ENOSYS",
        "fallocate:error=EOPNOTSUPP",
        "linkat:error=EPERM",
        "statfs,fstatfs:error=ENOSYS",
    ];
    for injection in injections {
        let pair = Pair::new();
        make_tree(&pair);
        let refused = or_skip!(injecting(&[injection]));
        let ends = Meeting::new(&pair, "tree", "target").receiver_through(refused).run();
        assert_eq!(ends.receiver.code(), 0, "{injection}: {}", ends.receiver.stderr);
        ends.expect_all();
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-E: links cannot be made there: they are listed, by both, and everything else is there.
#[test]
fn a_disk_without_links_gets_everything_else() {
    on_each(&[Kind::Exfat], 40, |_, pair, target| {
        make_tree(pair);
        symlink("4", pair.path("tree/0/link")).unwrap();
        let meeting = Meeting::new(pair, "tree", target);
        assert_eq!(meeting.run().expect(6), ["tree/0/link"]);
        fs::remove_file(pair.path("tree/0/link")).unwrap();
        assert_same_content(&pair.path("tree"), &target.join("tree"));
        symlink("4", pair.path("tree/0/link")).unwrap();
        let again = meeting.sending(&["--new"]).run();
        assert_eq!(again.expect(6), ["tree/0/link"]);
        assert_eq!(again.figure("wire_bytes"), 0);
    });
}
