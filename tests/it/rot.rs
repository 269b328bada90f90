//! What happens to files between two runs: bits that rot, partial files that are meddled with, and the user's own
//! changes to what is complete.
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::env::Finished;
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Large enough to be under way for a while, small enough for a test.
const LARGE: usize = 96 * MIB;

const FIRST: usize = 40_000;

/// A transfer of `docs`, both sides killed when `docs/first` has its name and some of `docs/second` is there.
fn interrupted() -> Pair {
    let pair = Pair::new();
    pair.noise("docs/first", FIRST);
    pair.noise("docs/second", LARGE);
    let sender = pair.sending("docs");
    let receiver = pair.receiving().spawn();
    receiver.event_where("the first file", |event| {
        event["event"] == "file" && event["status"] == "received"
    });
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
    assert!(pair.path("target/docs/first").exists());
    assert!(!pair.path("target/docs/second").exists(), "too fast for this test");
    pair
}

/// The partial files, in order of their entries.
fn partials(pair: &Pair) -> Vec<PathBuf> {
    let session = fs::read_dir(pair.path("target/.rejoin")).unwrap().next().unwrap().unwrap();
    let mut names: Vec<PathBuf> = fs::read_dir(session.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "part"))
        .collect();
    names.sort();
    names
}

/// Runs both sides again, with more arguments for the receiver, to the same code.
#[track_caller]
fn again(pair: &Pair, arguments: &[&str], code: i32) -> (Finished, Finished) {
    let sender = pair.send(["--json", "docs"]).spawn();
    let arguments = ["--json", "-y", "-o", "target"].iter().chain(arguments);
    let receiver = pair.receive(arguments).run().expect_code(code);
    (sender.wait().expect_code(code), receiver)
}

fn figure(event: &Value, name: &str) -> usize {
    event[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event}")) as usize
}

/// What came, and that nothing else is left.
#[track_caller]
fn assert_whole(pair: &Pair) {
    for name in ["first", "second"] {
        assert_same(&pair.path("docs").join(name), &pair.path("target/docs").join(name));
    }
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

/// Bytes that the second run fetched, and those it was spared.
fn fetched(done: &Value) -> (usize, usize) {
    (figure(done, "wire_bytes"), figure(done, "kept_bytes"))
}

/// D-09.
#[test]
fn a_bit_that_rots_between_runs_costs_its_unit() {
    let pair = interrupted();
    let [partial] = &partials(&pair)[..] else { panic!("one file is under way") };
    let file = OpenOptions::new().read(true).write(true).open(partial).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 5_000).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 5_000).unwrap();
    drop(file);
    let (_, receiver) = again(&pair, &[], 0);
    assert_whole(&pair);
    let (wire, kept) = fetched(&receiver.outcome());
    assert!(kept >= MIB, "{kept} bytes kept");
    // Everything came once or was kept; what had rotted is not told as kept.
    assert_eq!(wire + kept, FIRST + LARGE);
}

/// D-08: whatever is wrong with a partial file, nothing of it is believed that is not what the journal says.
#[test]
fn partial_files_that_were_meddled_with_are_not_trusted() {
    type Meddle = fn(&Pair, &PathBuf);
    let cases: [(&str, Meddle); 5] = [
        ("shorter", |_, partial| {
            let file = OpenOptions::new().write(true).open(partial).unwrap();
            file.set_len(LARGE as u64 - 1).unwrap();
        }),
        ("longer", |_, partial| {
            let file = OpenOptions::new().write(true).open(partial).unwrap();
            file.set_len(LARGE as u64 + 1).unwrap();
        }),
        ("missing", |_, partial| fs::remove_file(partial).unwrap()),
        ("another of that size", |pair, partial| {
            let other = pair.noise("other", LARGE);
            fs::rename(other, partial).unwrap();
        }),
        ("a symlink to the source", |pair, partial| {
            fs::remove_file(partial).unwrap();
            std::os::unix::fs::symlink(pair.path("docs/second"), partial).unwrap();
        }),
    ];
    for (what, meddle) in cases {
        let pair = interrupted();
        let [partial] = &partials(&pair)[..] else { panic!("one file is under way") };
        meddle(&pair, partial);
        let (_, receiver) = again(&pair, &[], 0);
        assert_whole(&pair);
        assert_eq!(figure(&receiver.outcome(), "wire_bytes"), LARGE, "{what}");
        let second = fs::symlink_metadata(pair.path("target/docs/second")).unwrap();
        assert!(second.is_file(), "{what}");
    }
}

/// D-10: a complete file that the user edited stays as it is, unless told otherwise.
#[test]
fn a_complete_file_that_was_edited_between_runs_is_a_conflict() {
    let pair = interrupted();
    let first = pair.path("target/docs/first");
    fs::write(&first, "mine now").unwrap();
    let (_, receiver) = again(&pair, &[], 7);
    assert_eq!(fs::read(&first).unwrap(), b"mine now");
    assert_same(&pair.path("docs/second"), &pair.path("target/docs/second"));
    assert_eq!(receiver.files("failed"), ["docs/first"]);
}

#[test]
fn a_complete_file_that_was_edited_is_replaced_where_the_user_says_so() {
    let pair = interrupted();
    fs::write(pair.path("target/docs/first"), "mine now").unwrap();
    let (_, receiver) = again(&pair, &["--on-conflict", "overwrite"], 0);
    assert_whole(&pair);
    let (wire, kept) = fetched(&receiver.outcome());
    assert_eq!(wire + kept, FIRST + LARGE);
}

#[test]
fn a_complete_file_that_was_edited_is_kept_beside_the_new_one_where_the_user_says_so() {
    let pair = interrupted();
    fs::write(pair.path("target/docs/first"), "mine now").unwrap();
    again(&pair, &["--on-conflict", "rename"], 0);
    assert_eq!(fs::read(pair.path("target/docs/first")).unwrap(), b"mine now");
    assert_same(&pair.path("docs/first"), &pair.path("target/docs/first (1)"));
}

#[test]
fn a_complete_file_that_was_deleted_between_runs_is_fetched_again() {
    let pair = interrupted();
    fs::remove_file(pair.path("target/docs/first")).unwrap();
    let (_, receiver) = again(&pair, &[], 0);
    assert_whole(&pair);
    let (wire, kept) = fetched(&receiver.outcome());
    assert_eq!(wire + kept, FIRST + LARGE);
}

#[test]
fn what_took_a_complete_files_place_between_runs_stays() {
    let pair = interrupted();
    let first = pair.path("target/docs/first");
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    fs::write(first.join("mine"), "mine").unwrap();
    let (_, receiver) = again(&pair, &["--on-conflict", "overwrite"], 6);
    assert_eq!(fs::read(first.join("mine")).unwrap(), b"mine");
    assert_eq!(receiver.files("failed"), ["docs/first"]);
}

/// Directories that an earlier run made are taken for the user's own then: they must be right already.
#[test]
fn a_lost_home_costs_no_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    let pair = interrupted();
    fs::remove_dir_all(pair.path("target/.rejoin")).unwrap();
    let (_, _) = again(&pair, &[CODE], 0);
    assert_whole(&pair);
    assert_eq!(mode(pair.path("target/docs")), mode(pair.path("docs")));
}
