//! `rejoin sessions` and `rejoin resume`: what is kept is shown, continued and swept.
#![cfg(unix)]

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rejoin::event::Role;
use rejoin::store::StateDirectory;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::env::Finished;
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::assert_same;

const LARGE: usize = 48 << 20;

/// Both sides die half-way.
fn interrupted() -> Pair {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let (sender, receiver) = (pair.sending("large"), pair.receiving().spawn());
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
    pair
}

fn sessions(pair: &Pair, side: &str, arguments: &[&str]) -> Finished {
    let state = pair.path(&format!("state-{side}"));
    let state = ["--state-dir", state.to_str().unwrap()];
    pair.home.rejoin(["sessions"].iter().chain(arguments).chain(&state)).run()
}

fn listed(pair: &Pair, side: &str) -> Vec<Value> {
    let listed = sessions(pair, side, &["list", "--json"]).expect_code(0);
    listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lets the stored sessions of a side be unused for `age`.
fn grow_old(pair: &Pair, side: &str, role: Role, age: Duration) {
    let state = StateDirectory::open(Some(&pair.path(&format!("state-{side}"))), role).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for listed in state.list().unwrap() {
        let mut session = state.open_session(listed.session).unwrap();
        session.save((now - age).as_secs()).unwrap();
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn both_sides_are_listed_shown_and_resumed_by_their_ids() {
    let pair = interrupted();
    let (sent, received) = (listed(&pair, "send"), listed(&pair, "receive"));
    assert_eq!((sent.len(), received.len()), (1, 1));
    assert_eq!(sent[0]["id"], received[0]["id"]);
    assert_eq!((&sent[0]["role"], &received[0]["role"]), (&"sender".into(), &"receiver".into()));
    assert!(sent[0]["is_paired"] == true && sent[0]["is_running"] == false, "{}", sent[0]);
    let id = sent[0]["id"].as_str().unwrap();
    let shown = sessions(&pair, "send", &["show", &id[..6]]).expect_code(0);
    assert!(shown.stdout.contains(&id[..6]) && shown.stdout.contains("large"), "{}", shown.stdout);
    sessions(&pair, "send", &["show", "zz"]).expect_code(2);
    let resume = |side: &str, arguments: &[&str]| {
        let state = pair.path(&format!("state-{side}"));
        let state = ["--json", "--state-dir", state.to_str().unwrap()];
        pair.home.rejoin(["resume"].iter().chain(arguments).chain(&state)).spawn()
    };
    // The only one needs no id.
    let (sender, receiver) = (resume("send", &[&id[..6]]), resume("receive", &["-y"]));
    let done = receiver.wait().expect_code(0).outcome();
    sender.wait().expect_code(0);
    assert!(done["kept_bytes"].as_u64().unwrap() >= 1 << 20, "{done}");
    assert_same(&pair.path("large"), &pair.path("target/large"));
    assert_eq!(listed(&pair, "send").len(), 0);
    resume("receive", &["-y"]).wait().expect_code(2);
}

#[test]
fn a_discarded_session_leaves_nothing() {
    let pair = interrupted();
    let id = listed(&pair, "receive")[0]["id"].as_str().unwrap().to_owned();
    assert!(pair.path("target/.rejoin").exists());
    sessions(&pair, "receive", &["discard", &id]).expect_code(0);
    assert_eq!(listed(&pair, "receive").len(), 0);
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 0);
}

#[test]
fn sessions_that_nobody_used_for_a_week_are_pruned_with_their_partial_files() {
    let pair = interrupted();
    grow_old(&pair, "receive", Role::Receiver, 6 * DAY);
    sessions(&pair, "receive", &["prune"]).expect_code(0);
    assert_eq!(listed(&pair, "receive").len(), 1, "six days are not seven");
    grow_old(&pair, "receive", Role::Receiver, 8 * DAY);
    sessions(&pair, "receive", &["prune"]).expect_code(0);
    assert_eq!(listed(&pair, "receive").len(), 0);
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 0);
}

#[test]
fn any_run_sweeps_what_expired_and_continues_what_did_not() {
    let pair = interrupted();
    grow_old(&pair, "send", Role::Sender, 8 * DAY);
    // The session that is continued is in use, however old.
    let sender = pair.send(["--json", "large"]).spawn();
    let receiver = pair.receiving().run().expect_code(0);
    assert!(receiver.outcome()["kept_bytes"].as_u64().unwrap() >= 1 << 20);
    sender.wait().expect_code(0);

    let old = interrupted();
    grow_old(&old, "receive", Role::Receiver, 8 * DAY);
    fs::create_dir(old.path("elsewhere")).unwrap();
    old.noise("small", 1000);
    let sender = old.send(["--json", "--code", "8-crane-velvet-orbit", "small"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let arguments = ["--json", "-y", "-o", "elsewhere", "8-crane-velvet-orbit"];
    old.receive(arguments).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(fs::read_dir(old.path("target")).unwrap().count(), 0);
    assert_eq!(listed(&old, "receive").len(), 1, "what was just received");
}

/// D-14: without a place for its state, nothing begins; the error says which, and nothing is left in the target.
#[test]
fn without_a_place_for_state_nothing_begins() {
    let pair = Pair::new();
    pair.noise("small", 1_000);
    let place = pair.path("place");
    fs::write(&place, "a file").unwrap();
    for state in [place.clone(), place.join("below"), "/proc/rejoin".into()] {
        for arguments in [vec!["send", "small"], vec!["receive", "-y", "-o", "target", CODE]] {
            let run = pair.home.rejoin(&arguments).env("REJOIN_STATE_DIR", &state).run();
            assert!(![0, 2, 101].contains(&run.code()), "{run:?}");
            let name = state.file_name().unwrap().to_str().unwrap();
            assert!(run.stderr.contains(name), "{run:?}");
            assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 0);
        }
    }
    assert_eq!(fs::read_to_string(&place).unwrap(), "a file");
}

/// D-14: state that is lost under way costs being able to continue, not the transfer.
#[test]
fn state_that_is_lost_under_way_does_not_end_the_transfer() {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let (sender, receiver) = (pair.sending("large"), pair.receiving().spawn());
    wait_for_half(&receiver);
    for side in ["send", "receive"] {
        fs::remove_dir_all(pair.path(&format!("state-{side}"))).unwrap();
    }
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
}
