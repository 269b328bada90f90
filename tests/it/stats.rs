//! What recovery has done is counted on this machine, across processes, and shown to people and programs.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::pair::{CODE, Pair};

const MIB: usize = 1 << 20;

fn stats(pair: &Pair, side: &str) -> Value {
    let directory = pair.path(&format!("state-{side}"));
    let run = pair.home.rejoin(["stats", "--json"]).env("REJOIN_STATE_DIR", directory).run();
    let run = run.expect_code(0);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_killed_run_and_the_one_that_continued_it_are_counted() {
    let pair = Pair::new();
    assert_eq!(stats(&pair, "receive")["runs"], 0);
    pair.noise("large", 64 * MIB);
    let sender = pair.sending("large");
    let first = pair.receiving().spawn();
    first.event_where("of progress", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 4 * MIB as u64
    });
    first.signal(Signal::KILL);
    first.wait();
    let done = pair.receiving().run().expect_code(0).outcome();
    let sent = sender.wait().expect_code(0).outcome();

    let found = stats(&pair, "receive");
    assert_eq!((&found["runs"], &found["completed"]), (&1.into(), &1.into()), "{found}");
    let restart = &found["layers"]["restart"];
    assert_eq!((&restart["attempts"], &restart["successes"]), (&1.into(), &1.into()), "{found}");
    assert!(restart["recovery_ms"]["max"].is_u64(), "{found}");
    for name in ["wire_bytes", "kept_bytes", "resent_bytes"] {
        assert_eq!(found[name], done[name], "{name}");
    }
    assert!(found["kept_bytes"].as_u64().unwrap() > MIB as u64);

    let found = stats(&pair, "send");
    let connection = &found["layers"]["connection"];
    assert!(connection["successes"].as_u64().unwrap() >= 1, "{found}");
    assert!(sent["reconnections"].as_u64().unwrap() >= 1);
    assert!(!found["causes"].as_object().unwrap().is_empty(), "{found}");

    let file = pair.path("state-send/statistics");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = pair.home.rejoin(["stats"]).env("REJOIN_STATE_DIR", pair.path("state-send")).run();
    let shown = shown.expect_code(0);
    assert!(
        shown.stdout.contains("1 run in") && shown.stdout.contains("new connection"),
        "{}",
        shown.stdout
    );
}

#[test]
fn statistics_that_cannot_be_used_fail_no_transfer() {
    let pair = Pair::new();
    std::fs::create_dir_all(pair.path("state-send/statistics/in-the-way")).unwrap();
    std::fs::set_permissions(pair.path("state-send"), std::fs::Permissions::from_mode(0o700))
        .unwrap();
    pair.noise("small", 1000);
    pair.transfer("small", &["-y"], (0, 0));
    let directory = pair.path("state-send");
    let shown = pair.home.rejoin(["stats", "--json"]).env("REJOIN_STATE_DIR", directory).run();
    assert_eq!(shown.expect_code(8).outcome()["event"], "error");
}

#[test]
fn processes_that_end_at_once_lose_no_share() {
    let pair = Pair::new();
    pair.noise("small", 1000);
    let directory = pair.path("state-receive");
    // Nobody is there: each run ends by itself, at about the same moment.
    let runs: Vec<_> = (0..6)
        .map(|n| {
            let target = format!("target-{n}");
            let arguments = ["--json", "-y", "-o", &target, "--host", "ws://127.0.0.1:9", CODE];
            pair.receive(arguments).spawn()
        })
        .collect();
    let ends: Vec<_> = runs.into_iter().map(|run| thread::spawn(|| run.wait().code())).collect();
    for end in ends {
        assert_eq!(end.join().unwrap(), 4);
    }
    let found = stats(&pair, "receive");
    assert_eq!((&found["runs"], &found["completed"]), (&6.into(), &0.into()), "{found}");
    assert_eq!(found["causes"]["ended, unreachable"], 6, "{found}");
    assert!(directory.join("statistics").exists());
}
