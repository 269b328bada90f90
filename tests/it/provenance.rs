//! What is ours is what the journal says we made or published, as far as the state directory vouches for it. What was there
//! before stays as it was, whatever a sender says and however often a receiver is killed.
#![cfg(unix)]

use crate::support::victim::{Content, Victim, directory, entry, file, link};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::manifest::{Entry, EntryKind, ModifiedTime};
use rejoin::transfer::message::Message;
use rejoin::transfer::receiver::Ask;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// When the user's own things were last changed.
const THEN: i64 = 1_234_567_890;

fn superseding(entry: Entry, old: u64) -> Entry {
    Entry { supersedes: Some(old), ..entry }
}

fn at(entry: Entry, seconds: i64) -> Entry {
    Entry { modified: ModifiedTime { seconds, nanoseconds: 0 }, ..entry }
}

fn set_time(path: &Path, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn mode_and_time(path: &Path) -> (u32, i64) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.mode() & 0o7777, found.mtime())
}

/// A directory of the user's own.
fn private(victim: &Victim) -> std::path::PathBuf {
    let path = victim.out().join("d");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    set_time(&path, THEN);
    path
}

/// S-02: a page that promises what is there, and another that supersedes it, both before anything is decided.
#[test]
fn a_page_that_promises_what_is_there_makes_it_nobodys_version() {
    for is_link in [false, true] {
        let mut victim = Victim::asking();
        let path = victim.out().join("f");
        if is_link {
            symlink("x", &path).unwrap();
        } else {
            fs::write(&path, b"# the user's own\n").unwrap();
            set_time(&path, THEN);
        }
        let before = victim.found();
        victim.recover();
        let first = if is_link { link(b"f", b"x") } else { at(file(b"f", 17), THEN) };
        let second = if is_link { link(b"f", b"y") } else { file(b"f", 8) };
        victim.page(0, 0, vec![first]);
        victim.page(1, 1, vec![superseding(second, 0)]);
        victim.end(2);
        victim.tick();
        victim.accept();
        if !is_link {
            victim.say(Victim::pack(1, &[(1, b"evil; 1\n")]));
            victim.body(b"evil; 1\n");
        }
        victim.tick();
        victim.tick();
        assert_eq!(victim.found(), before, "{is_link}");
    }
}

/// S-02: the same over a restart: a page that was kept says nothing of what is there.
#[test]
fn a_kept_page_makes_nothing_that_is_there_ours() {
    let mut victim = Victim::accepting();
    let path = victim.out().join("f");
    fs::write(&path, b"# the user's own\n").unwrap();
    set_time(&path, THEN);
    victim.recover();
    victim.page(0, 0, vec![at(file(b"f", 17), THEN)]);
    let mut victim = victim.restart();
    victim.say(Message::RecoveryAnswer { pages: 1 });
    victim.page(1, 1, vec![superseding(file(b"f", 8), 0)]);
    victim.say(Victim::pack(1, &[(1, b"evil; 1\n")]));
    victim.body(b"evil; 1\n");
    victim.end(2);
    victim.tick();
    victim.tick();
    assert_eq!(fs::read(&path).unwrap(), b"# the user's own\n");
}

/// S-06 (a): a directory that is there, twice on one page.
#[test]
fn a_directory_that_is_there_keeps_mode_and_time_however_often_it_is_promised() {
    let mut victim = Victim::accepting();
    let path = private(&victim);
    let twice =
        vec![(directory(b"d"), Content::None), (superseding(directory(b"d"), 0), Content::None)];
    victim.serve(twice);
    assert!(victim.is_finished());
    assert_eq!(mode_and_time(&path), (0o700, THEN));
}

/// S-06 (a), over pages: the second one comes before the first one is decided.
#[test]
fn a_directory_that_is_there_keeps_mode_and_time_over_pages() {
    let mut victim = Victim::asking();
    let path = private(&victim);
    victim.recover();
    victim.page(0, 0, vec![directory(b"d")]);
    victim.page(1, 1, vec![superseding(directory(b"d"), 0)]);
    victim.end(2);
    victim.tick();
    victim.accept();
    victim.tick();
    assert!(victim.is_finished());
    assert_eq!(mode_and_time(&path), (0o700, THEN));
}

/// S-06 (b): the receiver is killed while its user is asked, and started again.
#[test]
fn a_directory_that_is_there_keeps_mode_and_time_over_a_kill_at_the_question() {
    let mut victim = Victim::asking();
    let path = private(&victim);
    victim.recover();
    victim.page(0, 0, vec![directory(b"d")]);
    victim.estimate();
    victim.tick();
    assert_eq!(victim.asked.len(), 1);
    let mut victim = victim.restart();
    victim.say(Message::RecoveryAnswer { pages: 1 });
    victim.end(1);
    victim.tick();
    assert!(victim.is_finished());
    assert_eq!(mode_and_time(&path), (0o700, THEN));
}

/// A large file of which one unit came.
fn half(mut victim: Victim) -> Victim {
    let content = vec![7; 2 * UNIT_BYTES as usize + 5];
    fs::create_dir(victim.out().join("own")).unwrap();
    victim.recover();
    victim.page(
        0,
        0,
        vec![directory(b"made"), directory(b"own"), file(b"large", content.len() as u64)],
    );
    victim.part(2, 0, 0, &content);
    victim.tick();
    victim
}

/// S-05: what lies in the target is no consent, and nothing that is there is ours, if the state directory does not know it.
#[test]
fn a_planted_session_is_no_consent_and_owns_nothing() {
    let victim = half(Victim::accepting());
    let mut victim = victim.planted();
    assert!(victim.has_damage);
    victim.say(Message::RecoveryAnswer { pages: victim.request().pages });
    victim.end(1);
    victim.tick();
    assert!(
        matches!(victim.asked[..], [Ask::Accept { is_again: false, .. }]),
        "{:?}",
        victim.asked
    );
    assert!(victim.wants().is_empty());
    assert_eq!(victim.receiver.progress().outcome.files, 0);
}

/// S-05: consent is what the session's record says, not what is kept.
#[test]
fn what_is_kept_is_no_consent() {
    let victim = half(Victim::accepting());
    let mut victim = victim.restart_asking();
    victim.say(Message::RecoveryAnswer { pages: 1 });
    victim.estimate();
    victim.tick();
    assert!(matches!(victim.asked[..], [Ask::Accept { .. }]), "{:?}", victim.asked);
    assert!(victim.consented.is_none());
}

/// S-05: a file that a planted journal calls published is the user's, and stays.
#[test]
fn what_a_planted_journal_calls_published_is_the_users() {
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(
        0,
        0,
        vec![
            file(b"f", 4),
            directory(b"d"),
            entry(b"l", EntryKind::Symlink { target: b"f".to_vec() }),
        ],
    );
    victim.say(Victim::pack(0, &[(0, b"mine")]));
    victim.body(b"mine");
    victim.tick();
    victim.tick();
    assert_eq!(victim.found().len(), 2);
    let mut victim = victim.planted();
    victim.say(Message::RecoveryAnswer { pages: victim.request().pages });
    victim.page(
        1,
        3,
        vec![
            superseding(file(b"f", 8), 0),
            superseding(entry(b"d", EntryKind::Gone), 1),
            superseding(link(b"l", b"elsewhere"), 2),
        ],
    );
    victim.end(2);
    victim.tick();
    victim.accept();
    victim.say(Victim::pack(1, &[(3, b"evil; 1\n")]));
    victim.body(b"evil; 1\n");
    victim.tick();
    victim.tick();
    assert_eq!(fs::read(victim.out().join("f")).unwrap(), b"mine");
    assert_eq!(fs::read_link(victim.out().join("l")).unwrap(), Path::new("f"));
    assert!(victim.out().join("d").is_dir());
}

/// What came of a directory that a first run made and that its user did something to before the second one ended.
fn touched_between_runs(touch: impl FnOnce(&Path)) -> (u32, i64) {
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![directory(b"d"), file(b"f", 4)]);
    victim.tick();
    let path = victim.out().join("d");
    assert!(path.is_dir());
    let mut victim = victim.killed_at(|_| touch(&path));
    victim.say(Message::RecoveryAnswer { pages: 1 });
    victim.say(Victim::pack(0, &[(1, b"mine")]));
    victim.body(b"mine");
    victim.end(1);
    victim.tick();
    victim.tick();
    assert!(victim.is_finished());
    mode_and_time(&path)
}

fn own_in_its_place(path: &Path, mode: u32) {
    // Both are there at once: the new one has another inode.
    let aside = path.with_file_name("own");
    fs::create_dir(&aside).unwrap();
    fs::remove_dir(path).unwrap();
    fs::rename(&aside, path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set_time(path, THEN);
}

/// B-2: a directory is ours as the one that we made, and as long as nobody changed its mode.
#[test]
fn a_directory_that_the_user_touched_between_two_runs_is_theirs() {
    assert_eq!(touched_between_runs(|_| ()), (0o755, 1_000_000_000));
    for mode in [0o711, 0o755] {
        let found = touched_between_runs(|path| own_in_its_place(path, mode));
        assert_eq!(found, (mode, THEN));
    }
    let found = touched_between_runs(|path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
        set_time(path, THEN);
    });
    assert_eq!(found, (0o711, THEN));
}

/// B-2: one that somebody put in the place of ours makes no room, empty as it is; ours does.
#[test]
fn a_directory_of_the_users_makes_no_room() {
    for is_replaced in [true, false] {
        let mut victim = Victim::accepting();
        victim.recover();
        victim.page(0, 0, vec![directory(b"d"), directory(b"e"), file(b"f", 4)]);
        victim.tick();
        if is_replaced {
            own_in_its_place(&victim.out().join("d"), 0o755);
            own_in_its_place(&victim.out().join("e"), 0o755);
        }
        victim.page(
            1,
            3,
            vec![
                superseding(entry(b"d", EntryKind::Gone), 0),
                superseding(entry(b"e", EntryKind::Gone), 1),
                superseding(link(b"e", b"f"), 4),
            ],
        );
        victim.say(Victim::pack(0, &[(2, b"mine")]));
        victim.body(b"mine");
        victim.end(2);
        victim.tick();
        victim.tick();
        assert_eq!(victim.failure(), None);
        for name in ["d", "e"] {
            assert_eq!(victim.out().join(name).is_dir(), is_replaced, "{name}");
        }
    }
}
