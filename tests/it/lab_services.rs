//! Scripts, services and people who come back: codes used again, sessions found again, odd surroundings, figures.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode};
use rustix::process::Signal;

use crate::support::env::{Finished, From, Home, Running};
use crate::support::lab::disk::{Kind, Mount};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::wait_for_durable;
use crate::support::lab::outcome::{Ends, Meeting, figure};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::{assert_same, assert_same_content};

const MIB: usize = 1 << 20;

fn code_shown(sender: &Running) -> String {
    let event = sender.event_where("code", |event| event["event"] == "code");
    event["code"].as_str().unwrap().to_owned()
}

/// B-C (row 87): a fixed code used a second time waits for the second sender and brings what is new.
#[test]
fn a_code_that_was_used_waits_for_its_next_sender() {
    let pair = Pair::new();
    pair.home.file("tree/f", "one");
    let first = pair.sending("tree");
    pair.receiving().run().expect_code(0);
    first.wait().expect_code(0);
    pair.home.file("tree/f", "two, longer");
    pair.home.file("tree/g", "new");
    let receiver = pair
        .receive(["--json", "-y", "--overwrite", "--wait", "30s", "-o", "target", CODE])
        .spawn();
    receiver.event_where("session", |_| true);
    let sender = pair.sending("tree");
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-C (row 86): nobody there is never a success, whatever an earlier run did.
#[test]
fn a_memory_of_an_earlier_run_is_no_success() {
    let pair = Pair::new();
    pair.home.file("tree/f", "one");
    let first = pair.sending("tree");
    pair.receiving().run().expect_code(0);
    first.wait().expect_code(0);
    // Nobody sends: with the file there, with it gone, with another one in its place.
    for change in ["nothing", "edited", "gone"] {
        match change {
            "edited" => drop(pair.home.file("target/tree/f", "another")),
            "gone" => fs::remove_dir_all(pair.path("target/tree")).unwrap(),
            _ => {}
        }
        for wait in [&[][..], &["--wait", "1s"]] {
            let words = ["--json", "-y", "-o", "target", CODE].iter().chain(wait);
            let again = pair.receive(words).run();
            assert!([3, 4].contains(&again.code()), "{change} {wait:?}: {again:?}");
        }
    }
}

/// B-C (row 86): each night the same code through a standing host; the second night's file arrives.
#[test]
fn a_fixed_code_through_a_standing_host_brings_the_second_night() {
    let pair = Pair::new();
    let (_host, url) = pair.home.host("127.0.0.1:0");
    for (night, content) in ["one", "two, longer", "three"].into_iter().enumerate() {
        pair.home.file("tree/f", content);
        let sender = pair.send(["--json", "--host", &url, "--code", CODE, "tree"]).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let words = ["--json", "-y", "--overwrite", "--host", &url, "-o", "target", CODE];
        let receiver = pair.receive(words).run();
        let ends = Ends { sender: sender.wait(), receiver };
        assert_eq!(ends.receiver.code(), 0, "night {night}: {}", ends.receiver.stderr);
        ends.expect_all();
        assert_eq!(fs::read_to_string(pair.path("target/tree/f")).unwrap(), content);
    }
}

/// Half of `tree` is received, both are killed.
fn interrupted(pair: &Pair) {
    pair.noise("tree/f", 40 * MIB);
    let sender = pair.send(["--json", "--bwlimit", "12M", "--code", CODE, "tree"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().spawn();
    wait_for_durable(&receiver);
    for run in [&sender, &receiver] {
        run.signal(Signal::KILL);
    }
    drop((sender.wait(), receiver.wait()));
}

/// B-K (row 76): a send that continues writes a code that a new receiver can use.
#[test]
fn a_send_that_continues_gives_a_new_receiver_a_code() {
    let pair = Pair::new();
    interrupted(&pair);
    // That machine is gone for good.
    for name in ["target", "state-receive"] {
        fs::remove_dir_all(pair.path(name)).unwrap();
    }
    let sender = pair.send(["--json", "--code-out", "code", "tree"]).spawn();
    code_shown(&sender);
    let words = ["--json", "-y", "--code-file", "code", "-o", "elsewhere"];
    let receiver = pair.receive(words).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("elsewhere/tree"));
    assert_eq!(figure(&receiver, "kept_bytes"), 0);
}

/// B-K: the old receiver goes on although a new code was given.
#[test]
fn the_old_receiver_goes_on_beside_a_new_code() {
    let pair = Pair::new();
    interrupted(&pair);
    let sender = pair.send(["--json", "--code-out", "code", "tree"]).spawn();
    code_shown(&sender);
    assert!(pair.path("code").exists());
    let receiver = pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    assert!(figure(&receiver, "kept_bytes") > 0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-K2 (row 77): the same tree by another spelling is the same session.
#[test]
fn another_spelling_is_the_same_session() {
    for spelling in ["tree/", "./tree", "tree/.", "sub/../tree", "link/tree", "ABSOLUTE", "INSIDE"]
    {
        let pair = Pair::new();
        fs::create_dir(pair.path("sub")).unwrap();
        symlink(".", pair.path("link")).unwrap();
        interrupted(&pair);
        let absolute = pair.path("tree").display().to_string();
        let (path, within) = match spelling {
            "ABSOLUTE" => (&*absolute, pair.path("sub")),
            "INSIDE" => (".", pair.path("tree")),
            _ => (spelling, pair.path("")),
        };
        let sender = pair.send(["--json", path]).within(&within).spawn();
        let session = sender.event_where("session", |event| event["event"] == "session");
        assert_eq!(session["resumed"], true, "{spelling}");
        let receiver = pair.receiving().run().expect_code(0);
        sender.wait().expect_code(0);
        assert!(figure(&receiver, "kept_bytes") > 0, "{spelling}");
    }
}

/// B-K: a command that is printed to continue never starts afresh.
#[test]
fn a_printed_command_never_starts_afresh() {
    let pair = Pair::new();
    pair.noise("tree/f", 40 * MIB);
    let sender = pair.send(["--json", "--bwlimit", "12M", "--new", "--code", CODE, "tree"]).spawn();
    code_shown(&sender);
    let receiver = pair.receiving().spawn();
    wait_for_durable(&receiver);
    sender.signal(Signal::INT);
    let stopped = sender.wait().expect_code(130);
    drop(receiver);
    let command = stopped.outcome()["resume_command"].as_str().unwrap().to_owned();
    assert!(!command.contains("--new"), "{command}");
    let sender = pair.shell("send", &command).spawn();
    let receiver = pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    assert!(figure(&receiver, "kept_bytes") > 0);
}

/// B-L: what one end means by its end is 5 at the other, in words.
#[test]
fn what_ends_one_side_is_five_at_the_other() {
    for (signal, is_sender) in
        [(Signal::INT, true), (Signal::TERM, false), (Signal::INT, false), (Signal::TERM, true)]
    {
        let pair = Pair::new();
        pair.noise("tree/f", 60 * MIB);
        let meeting = Meeting::new(&pair, "tree", "target");
        let (sender, receiver) = (meeting.sender(), meeting.receiver());
        wait_for_half(&receiver);
        let (stopped, other) = if is_sender { (sender, receiver) } else { (receiver, sender) };
        stopped.signal(signal);
        let code = if signal == Signal::INT { 130 } else { 143 };
        stopped.wait().expect_code(code);
        let other = other.wait().expect_code(5);
        let error = other.outcome();
        assert!(error["resume_command"].is_string(), "{error}");
        let words = format!("{}{}", other.stdout, other.stderr).to_lowercase();
        assert!(words.contains("stopped"), "{words}");
    }
}

/// A person who waits reads what the sender's screen says.
fn says(run: &Running, text: &str) -> String {
    run.line_with(From::Stderr, text)
}

/// B-L (row 31): a sender reads of a receiver whose disk is full, within seconds, with the name of the target.
#[test]
fn a_sender_reads_why_the_receiver_ended() {
    let pair = Pair::new();
    for at in 0..30 {
        pair.noise(&format!("tree/{at}"), MIB);
    }
    let small = or_skip!(Mount::new(Kind::Tmpfs, 40));
    let sender = pair.send(["--bwlimit", "8M", "--code", CODE, "tree"]).spawn();
    says(&sender, "rejoin receive");
    let receiver = pair
        .receive(
            ["--json", "-y", CODE, "-o"]
                .map(OsString::from)
                .into_iter()
                .chain([small.path().into()]),
        )
        .spawn();
    wait_for_half(&receiver);
    let _ = fs::write(small.path().join("hog"), vec![1; 40 * MIB]);
    receiver.wait().expect_code(8);
    let ended = Instant::now();
    let line = says(&sender, "space");
    assert!(line.contains(small.path().file_name().unwrap().to_str().unwrap()), "{line}");
    assert!(ended.elapsed() < Duration::from_secs(3), "{:?}", ended.elapsed());
}

/// B-T (row 93): figures of a killed receiver count what went over the wire.
#[test]
fn figures_after_a_kill_are_those_of_the_wire() {
    let pair = Pair::new();
    pair.noise("tree/f", 12 * MIB);
    let sender = pair.send(["--json", "--bwlimit", "4M", "--code", CODE, "tree"]).spawn();
    code_shown(&sender);
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    let killed = receiver.kill_after(Duration::ZERO);
    let again = pair.receiving().run().expect_code(0);
    let sent = sender.wait().expect_code(0);
    let reports = killed.events().into_iter().filter(|event| event["event"] == "progress");
    let arrived = reports.map(|event| event["bytes"].as_u64().unwrap()).max().unwrap();
    let (wire, resent) = (figure(&sent, "wire_bytes"), figure(&sent, "resent_bytes"));
    let came = arrived + figure(&again, "wire_bytes");
    let shown = format!("{arrived} arrived first\n{}\n{}", sent.outcome(), again.outcome());
    // A unit that was sent in part is sent again whole. A fifth of a second between two reports, and a window of what was sent to nobody.
    assert!(came <= wire + 64 && wire < came + 5 * MIB as u64, "{shown}");
    assert!(resent <= wire + MIB as u64 - 12 * MIB as u64, "{shown}");
}

/// B-T (rows 82, 94): totals add up where entries are skipped, refused and replaced.
#[test]
fn totals_add_up_whatever_became_of_the_files() {
    let pair = Pair::new();
    for name in ["a", "b", "c", "d/e", "f"] {
        pair.noise(&format!("tree/{name}"), 1000);
    }
    symlink("/etc/hostname", pair.path("tree/absolute")).unwrap();
    rustix::fs::mkfifoat(CWD, pair.path("tree/fifo"), Mode::RUSR).unwrap();
    // In the place of a file: a directory, a FIFO, another file; of a directory: a file.
    pair.noise("target/tree/a/x", 10);
    rustix::fs::mkfifoat(CWD, pair.path("target/tree/b"), Mode::RUSR).unwrap();
    pair.noise("target/tree/c", 7);
    pair.noise("target/tree/d", 7);
    for choice in ["fail", "skip", "overwrite", "rename"] {
        let ends = Meeting::new(&pair, "tree", "target")
            .sending(&["--new"])
            .receiving(&["--on-conflict", choice])
            .run();
        let told = ends.expect(ends.receiver.code());
        for end in [&ends.sender, &ends.receiver] {
            let done = end.outcome();
            let figure = |name| figure(end, name);
            assert!(figure("files") <= 6, "{choice}: {done}");
            let events = end.events();
            let count = |wanted: &[&str]| {
                let files = events.iter().filter(|event| event["event"] == "file");
                files.filter(|event| wanted.contains(&event["status"].as_str().unwrap())).count()
                    as u64
            };
            assert_eq!(
                count(&["received", "sent"]) + figure("unchanged_files"),
                figure("files"),
                "{choice}: {done}"
            );
            let missing = figure("skipped_files") + figure("failed_files");
            assert_eq!(missing, told.len() as u64, "{choice}: {done} {told:?}");
        }
    }
}

/// Every variable that an option has.
const VARIABLES: &[&str] = &[
    "REJOIN_CODE",
    "REJOIN_CODE_FILE",
    "REJOIN_CODE_OUT",
    "REJOIN_WORDS",
    "REJOIN_OUT",
    "REJOIN_YES",
    "REJOIN_ON_CONFLICT",
    "REJOIN_EXCLUDE",
    "REJOIN_EXCLUDE_FROM",
    "REJOIN_MAX_SIZE",
    "REJOIN_MAX_FILES",
    "REJOIN_HOST",
    "REJOIN_STUN",
    "REJOIN_TURN",
    "REJOIN_DIRECT_ONLY",
    "REJOIN_RELAY_ONLY",
    "REJOIN_BWLIMIT",
    "REJOIN_WAIT",
    "REJOIN_RETRY_FOR",
    "REJOIN_TIMEOUT",
    "REJOIN_STALL_TIMEOUT",
    "REJOIN_PROFILE",
    "REJOIN_STATE_DIR",
    "REJOIN_RUNTIME_DIR",
    "REJOIN_VERIFY",
    "REJOIN_QUIET",
    "REJOIN_VERBOSE",
    "REJOIN_JSON",
    "REJOIN_PROGRESS",
    "REJOIN_COLOR",
    "REJOIN_PLAIN",
    "REJOIN_DATAGRAM_BYTES",
    "REJOIN_CHECKSUM",
    "REJOIN_FOLLOW_TARGET",
    "REJOIN_NEW",
    "REJOIN_OVERWRITE",
    "REJOIN_TURN_SECRET",
    "REJOIN_TURN_USERNAME",
    "REJOIN_TURN_PASSWORD",
    "REJOIN_LISTEN",
    "NO_COLOR",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// B-U (row 35): a variable that is empty is one that is not set, for every command.
#[test]
fn an_empty_variable_is_an_unset_one() {
    let home = Home::new();
    for variable in VARIABLES {
        let run = home.rejoin(["sessions", "list"]).env(variable, "").run();
        assert_eq!(run.code(), 0, "{variable}: {}", run.stderr);
    }
    let pair = Pair::new();
    pair.noise("tree/f", 1000);
    let all = |mut invocation: crate::support::env::Invocation| {
        for variable in VARIABLES.iter().filter(|name| !name.ends_with("STATE_DIR")) {
            invocation = invocation.env(variable, "");
        }
        invocation
    };
    let sender = all(pair.send(["--json", "--code", CODE, "tree"])).spawn();
    code_shown(&sender);
    all(pair.receiving()).run().expect_code(0);
    sender.wait().expect_code(0);
}

/// B-U: a variable with nonsense in it is named.
#[test]
fn a_variable_that_cannot_be_understood_is_named() {
    let home = Home::new();
    home.file("f", "x");
    for (variable, value) in [
        ("REJOIN_TIMEOUT", "soon"),
        ("REJOIN_BWLIMIT", "fast"),
        ("REJOIN_RETRY_FOR", "-1"),
        ("REJOIN_WORDS", "many"),
        ("REJOIN_PROGRESS", "loud"),
        ("REJOIN_STALL_TIMEOUT", "x"),
    ] {
        let run = home.rejoin(["send", "f"]).env(variable, value).run().expect_code(2);
        assert!(run.stderr.contains(variable), "{variable}: {}", run.stderr);
    }
}

fn lists(home: &Home, variables: &[(&str, &str)]) -> Finished {
    let mut run = home.rejoin(["sessions", "list"]);
    for (name, value) in variables {
        run = run.env(name, value);
    }
    run.run()
}

/// B-U (row 36): an odd home costs no command that does not need it, and is named where one does.
#[test]
fn an_odd_home_is_named_with_the_remedy() {
    for value in ["", "/", "/nonexistent", "/dev/null", "relative"] {
        let home = Home::new();
        home.file("f", "x");
        // The state directory is given: nothing of the home is needed.
        let given = [("HOME", value), ("XDG_CONFIG_HOME", "")];
        let run = lists(&home, &given);
        assert_eq!(run.code(), 0, "{value:?}: {}", run.stderr);
        let nobody = or_skip!(as_nobody());
        give_to_nobody(home.path());
        let run = home
            .rejoin(["send", "--code-out", "code", "f"])
            .env("HOME", value)
            .env("XDG_CONFIG_HOME", "")
            .env("REJOIN_STATE_DIR", "")
            .through(nobody)
            .spawn();
        let run = run.kill_after(Duration::from_secs(3));
        let code = run.status.code();
        assert!(
            code.is_none()
                || run.stderr.contains("--state-dir")
                || run.stderr.contains("REJOIN_STATE_DIR"),
            "{value:?}: {run:?}"
        );
    }
}

/// B-U (row 97): a `config.toml` that cannot be read is named, and never waited for.
#[test]
fn an_odd_config_file_is_named_and_never_waited_for() {
    let home = Home::new();
    let config = home.path().join("config/rejoin/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    for what in ["fifo", "directory", "socket", "device"] {
        let _listener;
        match what {
            "fifo" => rustix::fs::mkfifoat(CWD, &config, Mode::RUSR).unwrap(),
            "directory" => fs::create_dir(&config).unwrap(),
            "socket" => _listener = std::os::unix::net::UnixListener::bind(&config).unwrap(),
            _ => symlink("/dev/zero", &config).unwrap(),
        }
        let run = home.rejoin(["sessions", "list"]).deadline(Duration::from_secs(15)).run();
        assert!(run.code() == 0 || run.stderr.contains("config.toml"), "{what}: {run:?}");
        let _ = fs::remove_file(&config);
        let _ = fs::remove_dir(&config);
    }
    // Unreadable: a service of another user.
    fs::write(&config, "bwlimit = \"1M\"\n").unwrap();
    let nobody = or_skip!(as_nobody());
    give_to_nobody(home.path());
    std::os::unix::fs::chown(&config, Some(0), Some(0)).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let run = home.rejoin(["sessions", "list"]).through(nobody).run();
    assert!(run.code() == 0 || run.stderr.contains("config.toml"), "{run:?}");
    assert_ne!(run.code(), 2, "{run:?}");
}

/// B-W (row 95): a run that fails early ends in its sentence; nothing panics.
#[test]
fn a_run_that_fails_early_does_not_panic() {
    let home = Home::new();
    home.file("tree/f", "x");
    home.file("file", "x");
    fs::create_dir(home.path().join("closed")).unwrap();
    for (at, out) in [".", "/proc/code", "file/code", "/dev/full", "nowhere/code"]
        .iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        let run = home.rejoin(["send", "--new", "--code-out", out, "tree"]).run();
        assert!(![0, 101, 134].contains(&run.code()), "{at} {out}: {run:?}");
        assert!(!run.stderr.contains("panicked"), "{at} {out}: {}", run.stderr);
        assert!(run.stderr.contains(out), "{at} {out}: {}", run.stderr);
    }
}

/// B-U: closed descriptors and a full stdout end in a word or in the transfer, never in a panic.
#[test]
fn closed_descriptors_do_not_panic() {
    let pair = Pair::new();
    pair.noise("tree/f", 1000);
    for redirection in ["<&- >&- 2>&-", ">/dev/full 2>/dev/full", "<&-", "2>&-"] {
        let line = format!("rejoin send --new --code {CODE} tree {redirection}");
        let sender = pair.shell("send", &line).spawn();
        let words = ["--json", "-y", "--wait", "20s", "--overwrite", "-o", "target", CODE];
        let receiver = pair.receive(words).run().expect_code(0);
        sender.wait().expect_code(0);
        assert!(!receiver.stderr.contains("panicked"));
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-W: a read-only state directory and a missing one are named with the remedy.
#[test]
fn state_that_cannot_be_written_is_named() {
    let pair = Pair::new();
    pair.noise("tree/f", 1000);
    for state in ["/proc/state", "/dev/null/state", "tree/f/state"] {
        let run = pair.send(["tree"]).env("REJOIN_STATE_DIR", state).run().expect_code(8);
        assert!(run.stderr.contains(state) && run.stderr.contains("state"), "{}", run.stderr);
    }
}

/// B-K: a script that waits for `--code-out` always gets a usable code or an error.
#[test]
fn a_script_that_waits_for_a_code_never_waits_in_vain() {
    let pair = Pair::new();
    interrupted(&pair);
    // Again and again, each with a code file of its own.
    for at in 0..2 {
        let file = format!("code-{at}");
        let sender = pair.send(["--json", "--code-out", &file, "tree"]).spawn();
        let shown = code_shown(&sender);
        let written = fs::read_to_string(pair.path(&file)).unwrap();
        assert_eq!(written.trim().split('@').next(), shown.split('@').next());
        sender.signal(Signal::KILL);
        sender.wait();
    }
}
