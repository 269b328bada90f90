//! What a code, a stored session and a command to continue mean the next time.
#![cfg(unix)]

use crate::support::env::{From, Running};
use crate::support::lab::{or_skip, wrapped};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::assert_same;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const LARGE: usize = 48 << 20;

/// What a night's job sends.
fn night(pair: &Pair, number: u8) {
    fs::create_dir_all(pair.path("t")).unwrap();
    fs::write(pair.path("t/f"), vec![number; 1000 + usize::from(number)]).unwrap();
}

fn send(pair: &Pair, host: Option<&str>) -> Running {
    let mut arguments = vec!["--json", "--code-file", "code", "t"];
    arguments.extend(host.iter().flat_map(|host| ["--host", host]));
    pair.send(arguments).spawn()
}

fn receive(pair: &Pair, host: Option<&str>, more: &[&str]) -> Running {
    let mut arguments = vec!["--json", "-y", "--overwrite", "--code-file", "code", "-o", "target"];
    arguments.extend(host.iter().flat_map(|host| ["--host", host]));
    arguments.extend(more);
    pair.receive(arguments).spawn()
}

/// B-C (86, 87): a job with a fixed code brings what is new each time, whoever comes first.
#[test]
fn a_fixed_code_brings_new_data_each_night() {
    for is_standing in [false, true] {
        let pair = Pair::new();
        fs::write(pair.path("code"), CODE).unwrap();
        let (host, url) = pair.home.host("127.0.0.1:0");
        let url = is_standing.then_some(url.as_str());
        for number in 1..=4 {
            night(&pair, number);
            let is_first = number % 2 == 0;
            let (sender, receiver) = if is_first {
                let receiver = receive(&pair, url, &["--wait", "50s"]);
                receiver.event_where("session", |event| event["event"] == "session");
                (send(&pair, url), receiver)
            } else {
                let sender = send(&pair, url);
                sender.event_where("code", |event| event["event"] == "code");
                (sender, receive(&pair, url, &[]))
            };
            receiver.wait().expect_code(0);
            sender.wait().expect_code(0);
            let same = |side: &str| fs::read(pair.path(side)).unwrap();
            assert!(same("t/f") == same("target/t/f"), "night {number}");
        }
        host.signal(Signal::TERM);
        host.wait();
    }
}

/// B-C: a code that was used, or a memory of an earlier run, is no success.
#[test]
fn a_code_that_nobody_offers_is_an_error_that_says_what_was_before() {
    let pair = Pair::new();
    fs::write(pair.path("code"), CODE).unwrap();
    let (host, url) = pair.home.host("127.0.0.1:0");
    for (url, code) in [(None, 4), (Some(url.as_str()), 3)] {
        night(&pair, 1);
        let sender = send(&pair, url);
        sender.event_where("code", |event| event["event"] == "code");
        receive(&pair, url, &[]).wait().expect_code(0);
        sender.wait().expect_code(0);
        let again = receive(&pair, url, &[]).wait().expect_code(code).outcome();
        let hint = again["hint"].as_str().unwrap();
        assert!(hint.contains("was completed here"), "{again}");
        // `--wait` holds, and ends with nobody.
        let waiting = receive(&pair, url, &["--wait", "2s"]).wait().expect_code(4).outcome();
        assert!(waiting["t"].as_u64().unwrap() >= 1_900, "{waiting}");
    }
    host.signal(Signal::TERM);
    host.wait();
}

/// B-C: a job that was killed before anybody came has its code again at once, by what it stored; nobody else has it, neither
/// while it runs nor after it was killed, and is told so at once.
#[test]
fn a_fixed_code_comes_back_to_a_killed_sender_and_to_nobody_else() {
    let pair = Pair::new();
    fs::write(pair.path("code"), CODE).unwrap();
    let (host, url) = pair.home.host("127.0.0.1:0");
    let url = url.as_str();
    night(&pair, 1);
    let refused = |run: Running, what: &str| {
        let error = run.wait().expect_code(7).outcome();
        assert!(error["message"].as_str().unwrap().contains("taken"), "{what}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("30 minutes"), "{what}: {error}");
        assert!(error["t"].as_u64().unwrap() < 5_000, "{what}: {error}");
    };
    let stranger = || {
        let arguments = ["--json", "--code-file", "code", "--state-dir", "stranger", "t"];
        pair.send(arguments.into_iter().chain(["--host", url])).spawn()
    };
    for more in [&[][..], &["--new"], &[]] {
        let arguments = ["--json", "--code-file", "code", "--host", url, "t"];
        let sender = pair.send(arguments.iter().chain(more)).spawn();
        let code = sender.event_where("code", |event| event["event"] == "code");
        assert!(code["t"].as_u64().unwrap() < 5_000, "{code}");
        refused(send(&pair, Some(url)), "the same sender beside itself");
        refused(stranger(), "a stranger beside it");
        sender.signal(Signal::KILL);
        sender.wait();
        refused(stranger(), "a stranger after it");
    }
    // A receiver that waits meanwhile is the next sender's.
    let receiver = receive(&pair, Some(url), &["--wait", "50s"]);
    receiver.event_where("session", |event| event["event"] == "session");
    night(&pair, 2);
    let sender = send(&pair, Some(url));
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("t"), &pair.path("target/t"));
    let left = pair.shell("send", "rejoin sessions list").run().expect_code(0);
    assert_eq!(left.stdout, "", "nothing of the killed ones is left");
    host.signal(Signal::TERM);
    host.wait();
}

/// B-C, B-L: a sender that ends before anybody came gives its code back: the next one has it at once, whoever that is; who
/// stood in its room is told, or waits on where `--wait` says so.
#[test]
fn a_sender_that_ends_alone_gives_its_code_back() {
    let pair = Pair::new();
    fs::write(pair.path("code"), CODE).unwrap();
    let (host, url) = pair.home.host("127.0.0.1:0");
    let url = url.as_str();
    night(&pair, 1);
    for (signal, ends) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let sender = send(&pair, Some(url));
        sender.event_where("code", |event| event["event"] == "code");
        sender.signal(signal);
        sender.wait().expect_code(ends);
        let told = receive(&pair, Some(url), &[]).wait().expect_code(3).outcome();
        assert!(told["message"].as_str().unwrap().contains("expired"), "{told}");
    }
    let waiting = receive(&pair, Some(url), &["--wait", "50s"]);
    waiting.event_where("session", |event| event["event"] == "session");
    let arguments = ["--json", "--code-file", "code", "--state-dir", "stranger", "t"];
    let stranger = pair.send(arguments.into_iter().chain(["--host", url])).spawn();
    waiting.wait().expect_code(0);
    stranger.wait().expect_code(0);
    host.signal(Signal::TERM);
    host.wait();
}

/// Both sides die half-way.
fn interrupted(pair: &Pair) {
    pair.noise("large", LARGE);
    let sender = pair.send(["--json", "--code", CODE, "large"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
}

/// B-K (76): the receiver is gone for good; `--code-out` lets a new one in.
#[test]
fn a_send_that_continues_lets_a_new_receiver_in() {
    for fixed in [None, Some(CODE)] {
        let pair = Pair::new();
        interrupted(&pair);
        fs::remove_dir_all(pair.path("state-receive")).unwrap();
        fs::remove_dir_all(pair.path("target")).unwrap();
        let mut arguments = vec!["--code-out", "code", "large"];
        arguments.extend(fixed.iter().flat_map(|code| ["--code", code]));
        let sender = pair.send(arguments).spawn();
        sender.line_with(From::Stderr, "Waiting for ");
        sender.line_with(From::Stderr, "A new receiver gets in with:");
        let shown = sender.line_with(From::Stderr, "    rejoin receive ");
        let code = fs::read_to_string(pair.path("code")).unwrap();
        assert_eq!(shown.trim(), format!("rejoin receive {}", code.trim()));
        assert_eq!(fixed.is_some(), code.starts_with(CODE), "{code}");
        let receiver = pair.receive(["--json", "-y", "-o", "target", "--code-file", "code"]);
        receiver.run().expect_code(0);
        sender.wait().expect_code(0);
        assert_same(&pair.path("large"), &pair.path("target/large"));
    }
}

/// B-K: the receiver that is known comes back without being disturbed, and then nobody else gets in.
#[test]
fn the_known_receiver_comes_back_and_closes_the_invitation() {
    let pair = Pair::new();
    interrupted(&pair);
    let sender = pair.send(["--json", "--code-out", "code", "large"]).spawn();
    let said = sender.event_where("code", |event| event["event"] == "code");
    assert_eq!(said["invitation"], true, "{said}");
    let receiver = pair.receive(["--json", "-y", "-o", "target"]).spawn();
    sender.event_where("connected", |event| event["event"] == "connected");
    let stranger = pair.receive(["--json", "-y", "-o", "elsewhere", "--code-file", "code"]);
    let stranger = stranger.run();
    assert!([3, 4].contains(&stranger.code()), "{stranger:?}");
    let done = receiver.wait().expect_code(0).outcome();
    sender.wait().expect_code(0);
    assert!(done["kept_bytes"].as_u64().unwrap() >= 1 << 20, "{done}");
    assert_same(&pair.path("large"), &pair.path("target/large"));
}

/// B-K: through a host that stays, the user's own code is opened again.
#[test]
fn a_fixed_code_lets_a_new_receiver_in_at_a_host_that_stays() {
    let pair = Pair::new();
    let (host, url) = pair.home.host("127.0.0.1:0");
    fs::write(pair.path("code"), CODE).unwrap();
    pair.noise("t", LARGE);
    let sender = send(&pair, Some(&url));
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = receive(&pair, Some(&url), &[]);
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
    fs::remove_dir_all(pair.path("state-receive")).unwrap();
    fs::remove_dir_all(pair.path("target")).unwrap();
    let sender = send(&pair, Some(&url));
    sender.event_where("code", |event| event["event"] == "code");
    receive(&pair, Some(&url), &[]).wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("t"), &pair.path("target/t"));
    host.signal(Signal::TERM);
    host.wait();
}

/// B-K: a run that continues by a host that is not there says so, tries on, and ends with the reason; a sender gives its code
/// as soon as the host is there, and nobody gets one that is of no use.
#[test]
fn a_run_that_continues_says_which_host_it_cannot_reach() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let url = format!("ws://{listen}");
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let (host, _) = pair.home.host(&listen);
    let by = ["--json", "--host", url.as_str()];
    let send = |more: &[&str]| pair.send(by.iter().chain(more).chain(&["large"])).spawn();
    let receive =
        |more: &[&str]| pair.receive(by.iter().chain(&["-y", "-o", "target"]).chain(more)).spawn();
    let sender = send(&["--code", CODE]);
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = receive(&[CODE]);
    wait_for_half(&receiver);
    for run in [sender, receiver, host] {
        run.signal(Signal::KILL);
        run.wait();
    }
    let is_told = |event: &Value| {
        event["code"] == "host_unreachable" && event["message"].as_str().unwrap().contains(&url)
    };
    let budget = ["--retry-for", "2s"];
    for run in [send(&[&budget[..], &["--code-out", "code"]].concat()), receive(&budget)] {
        run.event_where("of a host that is not there", is_told);
        let ended = run.wait().expect_code(5);
        assert_eq!(ended.events().into_iter().filter(is_told).count(), 1, "{}", ended.stdout);
        let error = ended.outcome();
        assert!(error["message"].as_str().unwrap().contains(&url), "{error}");
        assert!(error["t"].as_u64().unwrap() < 20_000, "{error}");
        assert!(fs::read(pair.path("code")).unwrap_or_default().is_empty(), "a code of no use");
    }
    let (sender, receiver) = (send(&["--code-out", "code"]), receive(&[]));
    sender.event_where("of a host that is not there", is_told);
    receiver.event_where("of a host that is not there", is_told);
    let (host, _) = pair.home.host(&listen);
    sender.event_where("code", |event| event["event"] == "code");
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert!(!fs::read_to_string(pair.path("code")).unwrap().trim().is_empty());
    assert_same(&pair.path("large"), &pair.path("target/large"));
    host.signal(Signal::TERM);
    host.wait();
}

/// Runs of a receiver that is to settle conflicts in a way of its own, and of the command that continues it, by a shell from
/// elsewhere: `command` takes it from the first one's end.
fn a_policy_is_continued(command: impl Fn(Running, Running, &Pair) -> String) {
    let pair = Pair::new();
    pair.noise("t/large", LARGE);
    pair.noise("t/z", 1_000);
    fs::create_dir_all(pair.path("target/t")).unwrap();
    fs::write(pair.path("target/t/z"), "the user's own").unwrap();
    let sender = pair.sending("t");
    let policy = ["--json", "-y", "-o", "target", "--on-conflict", "rename", "--checksum"];
    let more = ["--follow-target", "--reconnect-tries", "1", "--reconnect-delay", "500ms", CODE];
    let receiver = pair.receive(policy.iter().chain(&more)).spawn();
    wait_for_half(&receiver);
    let command = command(sender, receiver, &pair);
    for word in ["--on-conflict rename", "--checksum", "--follow-target"] {
        assert!(command.contains(word), "{command}");
    }
    let elsewhere = pair.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let sender = pair.send(["--json", "--code", CODE, "t"]).spawn();
    let receiver = pair.shell("receive", &command).within(&elsewhere).env("REJOIN_YES", "1");
    receiver.run().expect_code(0);
    sender.wait().expect_code(0);
    let names = fs::read_dir(pair.path("target/t")).unwrap();
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(fs::read_to_string(pair.path("target/t/z")).unwrap(), "the user's own");
    let new = pair.path("target/t").join(&names[2]);
    assert_same(&pair.path("t/z"), &new);
    assert_same(&pair.path("t/large"), &pair.path("target/t/large"));
}

/// B-K: the command at the end of a run that was stopped settles conflicts as that run would have.
#[test]
fn the_last_command_keeps_the_policy() {
    a_policy_is_continued(|sender, receiver, _| {
        receiver.signal(Signal::INT);
        let error = receiver.wait().expect_code(130).outcome();
        sender.signal(Signal::KILL);
        sender.wait();
        error["resume_command"].as_str().unwrap().to_owned()
    });
}

/// B-K: so does the one that is shown when the planned tries are used up.
#[test]
fn the_command_to_continue_by_hand_keeps_the_policy() {
    a_policy_is_continued(|sender, receiver, _| {
        sender.signal(Signal::KILL);
        sender.wait();
        let manual = receiver.event_where("by hand", |event| event["event"] == "manual");
        receiver.signal(Signal::KILL);
        receiver.wait();
        manual["command"].as_str().unwrap().to_owned()
    });
}

/// The command after "To continue, run:".
fn command_of(stderr: &str) -> String {
    let (_, rest) = stderr.split_once("To continue, run:").unwrap_or_else(|| panic!("{stderr}"));
    rest.trim().to_owned()
}

/// B-K: what is printed to continue does so, from another directory, without `--new` and without the code.
#[test]
fn the_commands_that_are_printed_continue() {
    let pair = Pair::new();
    let odd = "it's $(odd)\tname";
    pair.noise(odd, LARGE);
    pair.noise("second", 1000);
    fs::write(pair.path("code"), CODE).unwrap();
    let arguments = ["--new", "--code-file", "code", odd, "./second"];
    let sender = pair.send(arguments).spawn();
    sender.line_with(From::Stdout, "Code: ");
    let receiver = pair.receive(["-y", "-o", "target", CODE]).spawn();
    sender.line_with(From::Stderr, "Connected to ");
    receiver.line_with(From::Stderr, "Receiving ");
    receiver.signal(Signal::INT);
    let receiver = receiver.wait().expect_code(130);
    sender.signal(Signal::TERM);
    let sender = sender.wait().expect_code(143);
    let (sent, received) = (command_of(&sender.stderr), command_of(&receiver.stderr));
    for command in [&sent, &received] {
        assert!(!command.contains("--new") && !command.contains("crane"), "{command}");
    }
    let elsewhere = pair.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let sender = pair.shell("send", &sent).within(&elsewhere).spawn();
    let receiver = pair.shell("receive", &received).within(&elsewhere).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert!(sender.stderr.contains("Continuing session"), "{}", sender.stderr);
    assert!(receiver.stderr.contains("Continuing session"), "{}", receiver.stderr);
    for name in [odd, "second"] {
        assert_same(&pair.path(name), &pair.path("target").join(name));
    }
}

/// B-C: the sender is killed before it hears that everything is there. What it takes to tell it stays; alone, the receiver's
/// next run is no success; both commands together are.
#[test]
fn a_sender_that_missed_the_last_word_hears_it_from_the_same_commands() {
    let pair = Pair::new();
    pair.noise("small", 100_000);
    // The file has its name for three seconds before the receiver knows it.
    let slow = or_skip!(wrapped::injecting(&["renameat2:delay_exit=3000000"]));
    let sender = pair.sending("small");
    let receiver = pair.receiving().through(slow).deadline(Duration::from_secs(120)).spawn();
    let end = Instant::now() + Duration::from_secs(30);
    while !pair.path("target/small").exists() && Instant::now() < end {
        std::thread::yield_now();
    }
    sender.signal(Signal::KILL);
    sender.wait();
    let receiver = receiver.wait().expect_code(0);
    assert!(receiver.stdout.contains("farewell"), "{}", receiver.stdout);
    assert_same(&pair.path("small"), &pair.path("target/small"));

    for wait in [&["--wait", "1s"][..], &[]] {
        let arguments = ["--json", "-y", "-o", "target"].iter().chain(wait);
        let alone = pair.receive(arguments).run().expect_code(5);
        assert!(!alone.stdout.contains("trying on for"), "{}", alone.stdout);
        let alone = alone.outcome();
        assert!(alone["resume_command"].as_str().unwrap().contains("receive"), "{alone}");
        if wait.is_empty() {
            assert!(alone["t"].as_u64().unwrap() < 15_000, "{alone}");
            let said = |name: &str| alone[name].as_str().unwrap().to_owned();
            assert!(said("message").contains("is here and verified"), "{alone}");
            assert!(said("message").contains("the sender has ended"), "{alone}");
            assert!(said("hint").contains("sessions discard"), "{alone}");
        }
    }

    let sender = pair.send(["--json", "small"]).spawn();
    sender.event_where("session", |event| event["event"] == "session");
    let receiver = pair.receive(["--json", "-y", "-o", "target"]).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    for run in [&sender, &receiver] {
        assert_eq!(run.outcome()["wire_bytes"], 0, "{}", run.stdout);
    }
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

/// B-C: a sender that is started again has a new file, and is gone before that is here: what was everything is not any more.
/// Nobody is told so, and being stopped is no success.
#[test]
fn what_the_sender_has_since_is_missing_until_it_is_here() {
    let pair = Pair::new();
    fs::create_dir(pair.path("t")).unwrap();
    pair.noise("t/small", 100_000);
    let slow = or_skip!(wrapped::injecting(&["renameat2:delay_exit=3000000"]));
    let sender = pair.sending("t");
    let receiver = pair.receiving().through(slow).deadline(Duration::from_secs(120)).spawn();
    let end = Instant::now() + Duration::from_secs(30);
    while !pair.path("target/t/small").exists() && Instant::now() < end {
        std::thread::yield_now();
    }
    sender.signal(Signal::KILL);
    sender.wait();
    let is_farewell = |event: &Value| event["code"] == "farewell";
    receiver.event_where("a farewell", is_farewell);
    pair.noise("t/new", LARGE);
    let sender = pair.send(["--json", "--bwlimit", "2M", "t"]).spawn();
    let progress = receiver.event_where("content of what is new", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 1_000_000
    });
    sender.signal(Signal::KILL);
    sender.wait();
    receiver.event_where("the loss of the second link", |event| {
        event["event"] == "link"
            && event["state"] == "disconnected"
            && event["t"].as_u64() >= progress["t"].as_u64()
    });
    receiver.signal(Signal::INT);
    let receiver = receiver.wait().expect_code(130);
    assert_eq!(receiver.events().into_iter().filter(is_farewell).count(), 1, "{}", receiver.stdout);
    assert!(!pair.path("target/t/new").exists());
}

/// B-K: senders of the same that nobody joined hide no session that has something to continue.
#[test]
fn a_session_that_nobody_joined_hides_none_that_has_begun() {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let sender = pair.sending("large");
    let session = sender.event_where("session", |event| event["event"] == "session");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    sender.signal(Signal::KILL);
    sender.wait();
    // By accident, and with another code; each is the newest for a while.
    for words in [["--new", "large"], ["--code=9-crane-velvet-orbit", "large"], ["--new", "large"]]
    {
        let another = pair.send(["--json"].iter().chain(&words)).spawn();
        another.event_where("code", |event| event["event"] == "code");
        another.signal(Signal::KILL);
        another.wait();
    }
    let again = pair.send(["--json", "large"]).spawn();
    let continued = again.event_where("session", |event| event["event"] == "session");
    assert_eq!((&continued["id"], &continued["resumed"]), (&session["id"], &true.into()));
    receiver.wait().expect_code(0);
    again.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
}

/// B-K: a code that cannot be is refused before a session is made for it.
#[test]
fn a_code_that_cannot_be_leaves_no_session() {
    let pair = Pair::new();
    pair.noise("large", 1000);
    let run = pair.send(["--json", "--code", "9-other-words-here", "large"]).run();
    assert_eq!(run.code(), 2, "{}", run.stderr);
    assert!(run.events().iter().all(|event| event["event"] != "session"), "{}", run.stdout);
    let listed = fs::read_dir(pair.path("state-send")).map_or(0, Iterator::count);
    assert_eq!(listed, 0);
}
