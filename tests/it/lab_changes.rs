//! Sources that change: metadata that moves, files that grow, shrink and are exchanged, entries that go.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use crate::support::env::Running;
use crate::support::lab::outcome::{Ends, Meeting, figure, left_out};
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
