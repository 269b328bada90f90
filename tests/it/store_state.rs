//! Session records, locks and the state directory (I-06, I-07, P-08, P-13).

use rejoin::event::Role;
use rejoin::store::memory::{Fault, Kept, MemoryDisk};
use rejoin::store::record::{CodeHash, RecordError, SessionRecord, Side};
use rejoin::store::{StateDirectory, StateError};
use rejoin::wire::{MemberId, SessionId};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn record(id: u8, target: &str) -> SessionRecord {
    let side = Side::Receiver { target: target.as_bytes().to_vec() };
    let mut record =
        SessionRecord::new(SessionId([id; 16]), MemberId([2; 16]), side, u64::from(id));
    record.code = Some(CodeHash::new(&format!("{id}-a-b-c"), [id; 32]));
    record
}

#[test]
fn sessions_are_found_again() {
    let base = tempfile::tempdir().expect("temporary");
    let state =
        StateDirectory::open(Some(&base.path().join("deep/state")), Role::Receiver).expect("made");
    for (id, target) in [(1, "/one"), (2, "/one"), (3, "/two")] {
        let mut session = state.create(record(id, target)).expect("new");
        assert_eq!(session.begin_connection(u64::from(id)), Ok(1));
        assert_eq!(session.begin_connection(u64::from(id)), Ok(2));
    }
    let sender = Side::Sender { paths: vec![b"/a".to_vec()], options: "exclude=x".to_owned() };
    drop(
        state
            .create(SessionRecord::new(SessionId([4; 16]), MemberId([2; 16]), sender, 4))
            .expect("new"),
    );
    let id = |found: Result<Option<SessionRecord>, StateError>| {
        found.expect("readable").map(|record| record.session.0[0])
    };
    let by_source =
        |options: &str| state.find(|record| record.is_of_source(&[b"/a".to_vec()], options));
    let by_code = |code: &str, target: &[u8]| {
        state.find(|record| {
            record.target() == Some(target) && record.code.is_some_and(|hash| hash.matches(code))
        })
    };
    assert_eq!(id(by_code("1-a-b-c", b"/one")), Some(1));
    assert_eq!(id(by_code("1-a-b-c", b"/two")), None);
    assert_eq!(id(by_code("9-a-b-c", b"/one")), None);
    assert_eq!(id(by_source("exclude=x")), Some(4));
    assert_eq!(id(by_source("")), None);
    let ids: Vec<u8> =
        state.list().expect("readable").iter().map(|listed| listed.session.0[0]).collect();
    assert_eq!(ids, [4, 3, 2, 1]);
    let session = state.open_session(SessionId([3; 16])).expect("there");
    assert_eq!(session.record.epoch, 2);
    state.remove_own(session).expect("removed");
    assert_eq!(
        state.open_session(SessionId([3; 16])).err(),
        Some(StateError::NoSession(SessionId([3; 16])))
    );
    let mut session = state.open_session(SessionId([1; 16])).expect("there");
    session.record.is_complete = true;
    session.save(9).expect("saved");
    assert_eq!(id(by_code("1-a-b-c", b"/one")), None, "complete");
    let member = state.member(MemberId([5; 16])).expect("stored");
    assert_eq!(state.member(MemberId([6; 16])), Ok(member));
}

#[test]
fn a_live_process_keeps_others_out_and_a_dead_one_does_not() {
    let base = tempfile::tempdir().expect("temporary");
    let state =
        StateDirectory::open(Some(&base.path().join("state")), Role::Receiver).expect("made");
    let session = state.create(record(1, "/one")).expect("new");
    let own = std::process::id().to_string();
    let locked = StateError::Locked { session: SessionId([1; 16]), process: Some(own.clone()) };
    assert_eq!(state.open_session(SessionId([1; 16])).err(), Some(locked.clone()));
    assert_eq!(state.remove(SessionId([1; 16])), Err(locked.clone()));
    assert!(locked.to_string().contains(&own));
    assert!(state.list().expect("readable")[0].is_running);
    drop(session);
    // What a killed process leaves: the file, with a number in it, and no lock.
    let lock = base.path().join("state/receiving").join("01".repeat(16)).join("lock");
    fs::write(&lock, "999999").expect("written");
    assert!(!state.list().expect("readable")[0].is_running);
    drop(state.open_session(SessionId([1; 16])).expect("taken over"));
    assert_eq!(fs::read_to_string(&lock).expect("there"), own);
}

#[test]
fn state_that_others_can_reach_is_refused() {
    let base = tempfile::tempdir().expect("temporary");
    let path = base.path().join("state");
    drop(StateDirectory::open(Some(&path), Role::Receiver).expect("made"));
    for mode in [0o777, 0o750, 0o704] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let refused = StateDirectory::open(Some(&path), Role::Receiver).err();
        assert!(matches!(refused, Some(StateError::NotPrivate { .. })), "{mode:o}: {refused:?}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("set");
    symlink(&path, base.path().join("link")).expect("made");
    let refused = StateDirectory::open(Some(&base.path().join("link")), Role::Receiver).err();
    assert!(matches!(refused, Some(StateError::NotPrivate { .. })), "{refused:?}");
    fs::remove_dir(path.join("receiving")).expect("empty");
    symlink("/tmp", path.join("receiving")).expect("made");
    assert!(StateDirectory::open(Some(&path), Role::Receiver).is_err());
}

#[test]
fn a_newer_record_is_refused_and_left_as_it_is() {
    let base = tempfile::tempdir().expect("temporary");
    let state =
        StateDirectory::open(Some(&base.path().join("state")), Role::Receiver).expect("made");
    drop(state.create(record(1, "/one")).expect("new"));
    let path = base.path().join("state/receiving").join("01".repeat(16)).join("record");
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let mut bytes = fs::read(&path).expect("there");
    bytes[8] = 7;
    fs::write(&path, &bytes).expect("written");
    let refused = state.open_session(SessionId([1; 16])).err();
    let error = RecordError::Newer { found: 7 };
    assert_eq!(refused, Some(StateError::Record { session: SessionId([1; 16]), error }));
    assert_eq!(fs::read(&path).expect("there"), bytes);
}

/// The record is the old or the new one after any crash, and an epoch that was handed out is never handed out again.
#[test]
fn a_record_is_replaced_at_once() {
    for operation in 0.. {
        for kept in 0..8_u32 {
            let disk = MemoryDisk::new();
            let state = StateDirectory::new(disk.root(), Role::Receiver).expect("made");
            let mut session = state.create(record(1, "/one")).expect("new");
            let first = session.begin_connection(5).expect("saved");
            disk.fail_at(disk.operations() + operation, Fault::Crash);
            let second = session.begin_connection(6);
            drop((session, state));
            let mut changes = 0;
            disk.lose_power(|_| {
                changes += 1;
                if kept >> (changes % 3) & 1 == 1 { Kept::Whole } else { Kept::Lost }
            });
            let state = StateDirectory::new(disk.root(), Role::Receiver).expect("there");
            let mut session = state.open_session(SessionId([1; 16])).expect("whole");
            let third = session.begin_connection(7).expect("saved");
            assert!(third > second.clone().unwrap_or(first), "crash at {operation}, kept {kept}");
            if second.is_ok() && kept == 7 {
                return;
            }
        }
    }
}

/// A listing takes each lock for a moment: a run that begins just then is not turned away by it.
#[test]
fn a_listing_never_makes_a_session_look_taken() {
    let base = tempfile::tempdir().expect("temporary");
    let state =
        StateDirectory::open(Some(&base.path().join("state")), Role::Receiver).expect("made");
    drop(state.create(record(1, "/one")).expect("new"));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    state.list().expect("readable");
                }
            });
        }
        let opened = (0..2_000).filter(|_| state.open_session(SessionId([1; 16])).is_err()).count();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(opened, 0, "runs were turned away");
    });
}
