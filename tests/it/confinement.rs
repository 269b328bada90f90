//! What a run can reach once it has begun, and who runs commands for it (docs/confinement.md); S-14.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::support::env::{From, Running};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::lab::{self, or_skip};
use crate::support::pair::{CODE, Pair};
use crate::support::process::status;
use crate::support::tree::assert_same;

/// Whether a run confines itself here; it has begun by now.
fn is_confined(run: &Running) -> bool {
    status(run.pid(), "NoNewPrivs").unwrap() == "1"
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Waits for what no process tells.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A target that is exchanged for a link after the run has begun leads nowhere: the directory that the link names was no place
/// of the run. Without the confinement it is written into, as any user of `cd` would expect.
#[test]
fn a_receiver_reaches_its_target_only() {
    or_skip!(lab::landlock());
    for (flags, is_reached) in [(&[][..], false), (&["--no-confinement"][..], true)] {
        let pair = Pair::new();
        pair.noise("tree/f", 1000);
        fs::create_dir(pair.path("outside")).unwrap();
        let words = ["--json", "-y", "--wait", "60s", "-o", "target", CODE];
        let receiver = pair.receive(flags.iter().chain(&words)).spawn();
        receiver.event_where("session", |event| event["event"] == "session");
        assert_eq!(is_confined(&receiver), !is_reached);
        fs::rename(pair.path("target"), pair.path("moved")).unwrap();
        symlink(pair.path("outside"), pair.path("target")).unwrap();
        let sender = pair.send(["--code", CODE, "--timeout", "20s", "tree"]).spawn();
        let run = receiver.wait();
        let reached = fs::read_dir(pair.path("outside")).unwrap().count() > 0;
        assert_eq!(reached, is_reached, "{}", run.stderr);
        assert_eq!(run.code(), if is_reached { 0 } else { 8 }, "{}", run.stderr);
        drop(sender);
    }
}

/// Sources that are links to elsewhere, files that are replaced by others of their name, and a target that is a link.
#[test]
fn links_and_replaced_files_are_no_obstacle() {
    let pair = Pair::new();
    pair.noise("elsewhere/tree/f", 5000);
    pair.noise("elsewhere/single", 5000);
    symlink("elsewhere/tree", pair.path("tree")).unwrap();
    symlink("elsewhere/single", pair.path("single")).unwrap();
    fs::create_dir(pair.path("real")).unwrap();
    symlink("real", pair.path("link")).unwrap();
    let sender = pair.send(["-v", "--json", "--code", CODE, "tree", "single"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    // As an editor saves it.
    let newer = pair.home.file("elsewhere/.single.new", vec![7; 6000]);
    fs::rename(newer, pair.path("elsewhere/single")).unwrap();
    let receiver = pair.receive(["-v", "--json", "-y", "-o", "link", CODE]).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_same(&pair.path("elsewhere/tree"), &pair.path("real/tree"));
    assert_eq!(fs::read(pair.path("real/single")).unwrap(), vec![7; 6000]);
    let is_here = lab::landlock().is_ok();
    for run in [&sender, &receiver] {
        assert_eq!(run.stderr.contains("Not confined"), !is_here, "{}", run.stderr);
    }
}

/// With `-v` a run that is not confined says so and why; without, it does not.
#[test]
fn a_run_that_is_not_confined_says_so_on_request() {
    let pair = Pair::new();
    pair.noise("f", 10);
    for (flags, is_said) in [(&["-v"][..], true), (&[][..], false)] {
        let words = flags.iter().chain(&["--no-confinement", "--timeout", "1s", "f"]);
        let run = pair.send(words).run().expect_code(124);
        assert_eq!(run.stderr.contains("Not confined, as --no-confinement says."), is_said);
    }
}

/// S-14: the command for TURN credentials has none of our secrets, and all else; it is not confined, so that it may use
/// `sudo`.
#[test]
fn a_command_gets_no_secrets_and_keeps_its_rights() {
    let pair = Pair::new();
    pair.noise("f", 10);
    let seen = pair.path("seen");
    let script = pair.home.file(
        "give",
        format!(
            "{{ env; grep NoNewPrivs /proc/self/status; }} >'{0}.new'; mv '{0}.new' '{0}'; printf 'ann\\npass\\n'",
            seen.display()
        ),
    );
    let sender = pair
        .send(["--json", "--turn", "turn:127.0.0.1:9", "f"])
        .env("REJOIN_TURN_CREDENTIALS_COMMAND", format!("/bin/sh {}", script.display()))
        .env("REJOIN_CODE", CODE)
        .env("REJOIN_TURN_SECRET", "hunter2-secret")
        .env("REJOIN_TURN_USERNAME", "ann")
        .env("REJOIN_TURN_PASSWORD", "hunter2-password")
        .env("PATH", "/usr/bin:/bin")
        .env("MINE", "kept")
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    until("the command has run", || seen.exists());
    let seen = fs::read_to_string(seen).unwrap();
    assert!(!seen.contains("hunter2") && !seen.contains("crane"), "{seen}");
    assert!(seen.contains("MINE=kept") && seen.contains("REJOIN_TURN_USERNAME=ann"), "{seen}");
    assert!(seen.contains("NoNewPrivs:\t0"), "{seen}");
    let helpers = children(sender.pid());
    assert_eq!(helpers.len(), 1);
    // The words are nowhere on its command line.
    let words = fs::read_to_string(format!("/proc/{}/cmdline", helpers[0])).unwrap();
    assert!(!words.contains("give"), "{words}");
    let helper = pidfd_open(number(helpers[0]), PidfdFlags::empty()).unwrap();
    sender.signal(Signal::KILL);
    sender.wait();
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&helper, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(ended, 1, "the helper ends with its process");
}

fn number(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}

/// Note e of the attacks: the group of a command is killed before its leader is reaped: later the number may be another's.
#[test]
fn a_group_is_killed_while_its_number_is_its_own() {
    let strace = or_skip!(lab::program("strace"));
    let pair = Pair::new();
    pair.noise("f", 10);
    let log = pair.path("log");
    let traced = ["-f", "-qqq", "-e", "trace=kill,wait4,waitid", "-e", "signal=none", "-o"];
    let words = std::iter::once(strace.into_os_string())
        .chain(traced.map(Into::into))
        .chain([log.clone().into(), "--".into()]);
    let sender = pair
        .send(["--json", "--turn", "turn:127.0.0.1:9", "--timeout", "5s", "f"])
        .env("REJOIN_TURN_CREDENTIALS_COMMAND", "/bin/echo ann")
        .through(words)
        .run();
    sender.expect_code(124);
    let log = fs::read_to_string(log).unwrap();
    let place = |call: &str| log.lines().position(|line| line.contains(call));
    let (_, killed) = log.split_once("kill(-").expect("a group is killed");
    let leader = killed.split(',').next().unwrap();
    let kill = place(&format!("kill(-{leader}, SIGKILL)"));
    let reap = place(&format!("wait4({leader},"));
    assert!(kill.is_some() && reap.is_some() && kill < reap, "{log}");
}

/// A helper that is killed is told in words, and the run goes on without a relay.
#[test]
fn a_helper_that_dies_is_told() {
    let pair = Pair::new();
    pair.noise("f", 1000);
    let asked = pair.path("asked");
    let script = pair.home.file("give", format!("touch '{}'; sleep 1000", asked.display()));
    let sender = pair
        .send(["--json", "--turn", "turn:127.0.0.1:9", "--code", CODE, "f"])
        .env("REJOIN_TURN_CREDENTIALS_COMMAND", format!("/bin/sh {}", script.display()))
        .env("PATH", "/usr/bin:/bin")
        .spawn();
    until("the command runs", || asked.exists());
    let helper = children(sender.pid())[0];
    kill_process(number(helper), Signal::KILL).unwrap();
    let warning = sender.event_where("warning", |event| event["code"] == "turn_credentials");
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("has ended; start rejoin again"), "{message}");
    pair.receive(["-y", "-o", "target", CODE]).run().expect_code(0);
    sender.wait().expect_code(0);
}

/// Codes and keys are in no core dump, and no other process of the user can read them from memory.
#[test]
fn memory_is_nobodys_else() {
    let nobody = or_skip!(as_nobody());
    let pair = Pair::new();
    pair.noise("f", 10);
    give_to_nobody(pair.home.path());
    let sender = pair.send(["--json", "f"]).through(nobody).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let user = status(sender.pid(), "Uid").unwrap();
    assert_eq!(user.split_whitespace().next(), Some("65534"));
    // What cannot be dumped belongs to root in /proc (proc(5)).
    for file in ["mem", "environ", "maps"] {
        let metadata = fs::metadata(format!("/proc/{}/{file}", sender.pid())).unwrap();
        assert_eq!(metadata.uid(), 0, "{file}");
    }
    sender.signal(Signal::TERM);
    sender.wait().expect_code(143);
}

/// The code that was typed is not on the command line of a receiver that waits; the process is the same, and so are its
/// streams.
#[test]
fn a_typed_code_does_not_stay_on_the_command_line() {
    let pair = Pair::new();
    pair.noise("f", 1000);
    let words = ["--json", "--wait", "60s", "-y", "-o", "target", CODE];
    let receiver = pair.receive(words).spawn();
    receiver.event_where("session", |event| event["event"] == "session");
    let words = |run: &Running| fs::read_to_string(format!("/proc/{}/cmdline", run.pid())).unwrap();
    assert!(!words(&receiver).contains("crane"), "{}", words(&receiver));
    assert!(words(&receiver).contains("-o\0target"), "{}", words(&receiver));
    // A fixed one is good for more than one use: whoever saw it for a moment is warned of.
    let sender = pair.send(["--code", CODE, "f"]).spawn();
    sender.line_with(From::Stderr, "other users of this machine can see a code");
    sender.line_with(From::Stderr, "Sending f");
    assert!(!words(&sender).contains("crane"), "{}", words(&sender));
    let receiver = receiver.wait().expect_code(0);
    assert!(!receiver.stderr.contains("other users"), "{}", receiver.stderr);
    sender.wait().expect_code(0);
}

/// What the environment says of codes is beaten by the one that was typed, as before.
#[test]
fn a_typed_code_beats_the_others() {
    let pair = Pair::new();
    pair.noise("f", 1000);
    let sender = pair.send(["--code", CODE, "f"]).env("REJOIN_CODE", "9-other-word-here").spawn();
    let receiver = pair
        .receive(["-y", "--wait", "60s", "-o", "target", CODE])
        .env("REJOIN_CODE_FILE", "/nowhere/at/all")
        .run();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
}
