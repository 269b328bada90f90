//! What nobody else may see is nowhere where they could: logs, arguments, output, files (H-15, I-05).
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rejoin::signal::protocol::ClientMessage;
use rejoin::signal::{MemberToken, RoomName};
use rejoin::store::record::SessionRecord;

use rustix::process::Signal;

use crate::support::coturn::{Coturn, SECRET};
use crate::support::env::{Finished, From, Invocation, Running};
use crate::support::pair::{Pair, wait_for_half};

const MIB: usize = 1 << 20;
/// No words that help and errors give as an example.
const WORDS: &str = "gadget-lunar-oyster";
const WRONG_WORDS: &str = "gadget-lunar-oxygen";
/// A file of this size is what is being sent: random bytes.
const CONTENT_MIN: u64 = 4 << 20;
const PASSWORD: &str = "hunter2-of-the-relay";

/// A secret in every form in which it could be written; see [`latin`].
struct Secret {
    name: &'static str,
    forms: Vec<String>,
}

/// Bytes as characters of the same numbers: the search of the standard library is quick in texts.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

impl Secret {
    fn text(name: &'static str, text: &str) -> Self {
        let shouted = text.to_uppercase();
        Self { name, forms: vec![text.into(), shouted, STANDARD.encode(text)] }
    }

    fn bytes(name: &'static str, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = bytes[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let mut forms = vec![latin(bytes), hex, list];
        // Within something longer, at any of three places.
        for before in 0..3 {
            let longer = [&[0; 2][..before], bytes].concat();
            for engine in [STANDARD, URL_SAFE] {
                let text = engine.encode(&longer);
                forms.push(text[4..text.len() - 4].to_owned());
            }
        }
        Self { name, forms }
    }

    /// Whether it is in a text that [`latin`] made.
    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form))
    }
}

#[track_caller]
fn assert_none(secrets: &[Secret], place: &str, bytes: &[u8]) {
    let text = latin(bytes);
    for secret in secrets {
        assert!(
            !secret.is_in(&text),
            "{} in {place}\n{}",
            secret.name,
            String::from_utf8_lossy(bytes)
        );
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        // What a process removes meanwhile is no file to look at.
        let Ok(entry) = entry else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// The session secret, as the record of one side has it.
fn session_secret(state: &Path) -> Vec<u8> {
    let record = files(state).into_iter().find(|path| path.ends_with("record")).unwrap();
    let record = SessionRecord::decode(&fs::read(record).unwrap()).unwrap();
    record.secret.unwrap().0.to_vec()
}

/// What the records of one side keep to themselves, and what is made of it for hosts.
fn kept_secrets(state: &Path) -> Vec<Secret> {
    let records = files(state).into_iter().filter(|path| path.ends_with("record"));
    let mut secrets = Vec::new();
    for path in records {
        // One that its process is about to remove.
        let Ok(bytes) = fs::read(path) else { continue };
        let record = SessionRecord::decode(&bytes).unwrap();
        let mut rooms = vec![RoomName::Code(7)];
        if let Some(secret) = &record.secret {
            secrets.push(Secret::bytes("the session secret", &secret.0));
            let room = RoomName::of_session(secret);
            if let RoomName::Session(name) = room {
                secrets.push(Secret::bytes("the room of the session", &name));
            }
            rooms.push(room);
        }
        // Only a receiver's target is sealed.
        for (name, key) in [("the key of tokens", record.token_key), ("the seal", record.seal)] {
            if key != [0; 32] {
                secrets.push(Secret::bytes(name, &key));
            }
        }
        for room in rooms {
            let token = MemberToken::for_room(&record.token_key, room);
            let member = record.member;
            let join = ClientMessage::Join { room, member, token, deposit: None, wait: false };
            let said = join.encode().unwrap();
            let at = said.windows(16).position(|window| window == member.0).unwrap() + 16;
            secrets.push(Secret::bytes("a member's token", &said[at..at + 32]));
        }
    }
    secrets
}

/// Arguments of a process and of all that descend from it.
fn arguments(root: u32) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if descends(pid, root) {
            all.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
        }
    }
    assert!(!all.is_empty());
    all
}

fn descends(mut pid: u32, root: u32) -> bool {
    while pid > 1 {
        if pid == root {
            return true;
        }
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // After the name, which may hold anything, in parentheses: state, parent.
        let parent = text.rsplit(')').next().unwrap().split_whitespace().nth(1);
        pid = parent.and_then(|parent| parent.parse().ok()).unwrap_or(0);
    }
    false
}

fn common(run: Invocation) -> Invocation {
    run.env("REJOIN_CODE", format!("7-{WORDS}")).env("REJOIN_LOG", "trace")
}

fn wait_for_progress(run: &Running) {
    run.event_where("of progress", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 2 * MIB as u64
    });
}

#[test]
fn secrets_are_only_where_they_must_be() {
    let turn = Coturn::start();
    let pair = Pair::new();
    pair.noise("large", 24 * MIB);
    let url = turn.url();
    let relayed = ["--json", "--relay-only", "--turn", &url];
    let sender = common(pair.send(relayed.iter().chain(&["large"])))
        .env("REJOIN_TURN_SECRET", SECRET)
        .env("REJOIN_BWLIMIT", "8M")
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = common(pair.receive(relayed.iter().chain(&["-y", "-o", "target"])))
        .env("REJOIN_TURN_SECRET", SECRET)
        .spawn();
    wait_for_progress(&receiver);
    // Nothing moves while it is looked at.
    for run in [&sender, &receiver] {
        run.signal(Signal::STOP);
    }

    let secret = session_secret(&pair.path("state-receive"));
    assert_eq!(secret, session_secret(&pair.path("state-send")));
    let secrets = [
        Secret::text("the code", WORDS),
        Secret::text("the TURN secret", SECRET),
        Secret::bytes("the session secret", &secret),
    ];
    for run in [&sender, &receiver] {
        assert_none(&secrets, "arguments", &arguments(run.pid()));
    }
    let mut kept = 0;
    for path in files(pair.home.path()) {
        if fs::metadata(&path).unwrap().len() > CONTENT_MIN {
            continue;
        }
        let content = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode());
        let is_state = path.starts_with(pair.path("state-send"))
            || path.starts_with(pair.path("state-receive"));
        if is_state {
            assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
        }
        let is_record = is_state && path.ends_with("record");
        kept += usize::from(is_record && secrets[2].is_in(&latin(&content)));
        // The record has the session's secret, and neither the code nor the relay's.
        let forbidden = if is_record { &secrets[..2] } else { &secrets[..] };
        assert_none(forbidden, &path.display().to_string(), &content);
    }
    assert_eq!(kept, 2, "the test looks for the secret where it is");

    for run in [&sender, &receiver] {
        run.signal(Signal::CONT);
    }
    let runs = [receiver.wait().expect_code(0), sender.wait().expect_code(0)];
    for run in runs {
        assert!(run.stderr.contains("rejoin::"), "there is no log to look at");
        assert_none(&secrets, "the log", run.stderr.as_bytes());
        // What is said to a host is in the log of nobody: a member's token is in it.
        for trace in ["rejoin-first-message", "tungstenite"] {
            assert!(!run.stderr.contains(trace), "{trace} in the log");
        }
        let events = run.stdout.lines().filter(|line| !line.contains("\"event\":\"code\""));
        let events: Vec<&str> = events.collect();
        assert_none(&secrets, "the events", events.join("\n").as_bytes());
    }
}

#[test]
fn credentials_that_are_fixed_or_printed_by_a_command_are_in_no_log() {
    let turn = Coturn::start();
    let url = turn.url();
    let secrets = [Secret::text("the password", PASSWORD)];
    for is_printed in [true, false] {
        // A sender each: coturn knows no such user, and who is refused ends, or waits for a better receiver.
        let pair = Pair::new();
        pair.noise("small", 1000);
        let relayed = ["--json", "--relay-only", "--turn", &url];
        let fixed = |run: Invocation| {
            run.env("REJOIN_TURN_USERNAME", "ann").env("REJOIN_TURN_PASSWORD", PASSWORD)
        };
        let sender = fixed(common(pair.send(relayed.iter().chain(&["small"])))).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = common(pair.receive(relayed.iter().chain(&["-y", "-o", "target"])));
        let receiver = if is_printed {
            let give = pair.home.file("give", format!("echo ann; echo {PASSWORD}"));
            let command = format!("sh {}", give.display());
            receiver.env("REJOIN_TURN_CREDENTIALS_COMMAND", command).run().expect_code(3)
        } else {
            fixed(receiver).run()
        };
        let sender = sender.kill_after(Duration::ZERO);
        for run in [sender, receiver] {
            assert!(run.stderr.contains("rejoin::turn"), "{}", run.stderr);
            assert_none(&secrets, "the log", run.stderr.as_bytes());
            assert_none(&secrets, "the events", run.stdout.as_bytes());
        }
        for state in ["state-send", "state-receive"] {
            for path in files(&pair.path(state)) {
                assert_none(&secrets, &path.display().to_string(), &fs::read(&path).unwrap());
            }
        }
    }
}

/// What a run showed, without the lines that show the sender's code to the person who is to pass it on.
fn shown(run: &Finished) -> Vec<u8> {
    let is_code = |line: &&str| {
        line.contains("\"event\":\"code\"")
            || line.contains("rejoin receive ") && line.contains(&format!("-{WORDS}@"))
            || line.starts_with("Code: ")
    };
    let lines = run.stdout.lines().chain(run.stderr.lines()).filter(|line| !is_code(line));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// H-15: the most talkative log of a host, text or JSON, and its pages have nothing in them by which somebody could guess a code,
/// find the room of a session, or take a member's place; whether transfers end well, are killed, continue, or are refused.
#[test]
fn a_host_writes_down_no_secret() {
    for format in ["text", "json"] {
        let pair = Pair::new();
        pair.noise("large", 8 * MIB);
        let host = pair.home.rejoin(["host", "--listen", "127.0.0.1:0", "--log-format", format]);
        let host = host.env("REJOIN_LOG", "trace").spawn();
        let url = host.line_with(From::Stdout, "ws://");
        let send = || {
            let send = common(pair.send(["--json", "--host", &url, "large"]));
            send.env("REJOIN_BWLIMIT", "1M").spawn()
        };
        let receive = || pair.receive(["--json", "-y", "-o", "target", "--host", &url]);
        let sender = send();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = common(receive()).spawn();
        wait_for_half(&receiver);
        receiver.signal(Signal::KILL);
        receiver.wait();
        let mut secrets = vec![Secret::text("the code", WORDS)];
        for state in ["state-send", "state-receive"] {
            secrets.extend(kept_secrets(&pair.path(state)));
        }
        assert!(secrets.len() >= 10, "{}", secrets.len());
        common(receive()).run().expect_code(0);
        sender.wait().expect_code(0);
        let sender = send();
        sender.event_where("code", |event| event["event"] == "code");
        common(receive()).env("REJOIN_CODE", format!("7-{WRONG_WORDS}")).run().expect_code(3);
        sender.wait().expect_code(3);
        secrets.push(Secret::text("a wrong guess", WRONG_WORDS));

        let mut pages = Vec::new();
        for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing"] {
            pages.extend(page(&url, path));
        }
        assert!(String::from_utf8_lossy(&pages).contains("rejoin_host_codes_burnt_total 1"));
        assert_none(&secrets, "the pages", &pages);
        host.signal(Signal::TERM);
        let host = host.wait();
        assert!(
            host.stderr.contains("rejoin::host"),
            "there is no log to look at: {}",
            host.stderr
        );
        assert_none(&secrets, "the log of a host", &shown(&host));
    }
}

/// What a host answers to a request for a page.
fn page(url: &str, path: &str) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let address = url.trim().trim_start_matches("ws://").split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// A sender of `large` and a receiver that is half-way.
fn half_way(pair: &Pair, sending: &[&str], receiving: &[&str]) -> (Running, Running) {
    pair.noise("large", 24 * MIB);
    let sender = common(pair.send(["--json", "large"].iter().chain(sending)));
    let sender = sender.env("REJOIN_BWLIMIT", "1M").spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiving = ["--json", "-y", "-o", "target"].iter().chain(receiving);
    let receiver = common(pair.receive(receiving)).spawn();
    wait_for_half(&receiver);
    (sender, receiver)
}

/// Both runs of an ending with their codes.
fn ends(runs: [(Running, i32); 2]) -> Vec<Finished> {
    runs.map(|(run, code)| run.wait().expect_code(code)).into()
}

type Ending = (&'static str, fn(&Pair) -> Vec<Finished>);

/// Runs that do not end as they were meant to.
const ENDINGS: [Ending; 11] = [
    ("a receiver that is stopped", |pair| {
        let (sender, receiver) = half_way(pair, &["--retry-for", "1s"], &[]);
        receiver.signal(Signal::INT);
        ends([(receiver, 130), (sender, 5)])
    }),
    ("a sender that is terminated", |pair| {
        let (sender, receiver) = half_way(pair, &[], &["--retry-for", "1s"]);
        sender.signal(Signal::TERM);
        ends([(sender, 143), (receiver, 5)])
    }),
    ("a receiver that is killed", |pair| {
        let (sender, receiver) = half_way(pair, &["--retry-for", "1s"], &[]);
        receiver.signal(Signal::KILL);
        vec![receiver.wait(), sender.kill_after(Duration::from_secs(3))]
    }),
    ("no more time", |pair| {
        pair.noise("large", 24 * MIB);
        let sender = common(pair.send(["--json", "large"])).env("REJOIN_BWLIMIT", "1M").spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = common(pair.receive(["--json", "-y", "-o", "target", "--timeout", "2s"]));
        vec![receiver.run().expect_code(124), sender.kill_after(Duration::ZERO)]
    }),
    ("a wrong code", |pair| {
        pair.noise("small", 1000);
        let sender = common(pair.send(["--json", "small"])).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = common(pair.receive(["-y", "-o", "target"]));
        let receiver = receiver.env("REJOIN_CODE", format!("7-{WRONG_WORDS}")).run();
        vec![receiver.expect_code(3), sender.wait().expect_code(3)]
    }),
    ("a code that was used", |pair| {
        let (host, url) = pair.home.host("127.0.0.1:0");
        let (sender, receiver) = half_way(pair, &["--host", &url], &["--host", &url]);
        let second = pair.receive(["-y", "-o", "target", "--host", &url]);
        let second = common(second).env("REJOIN_STATE_DIR", pair.path("state-other")).run();
        let second = second.expect_code(3);
        let runs = [receiver, sender, host].map(|run| run.kill_after(Duration::ZERO));
        std::iter::once(second).chain(runs).collect()
    }),
    ("nobody there to accept", |pair| {
        pair.noise("small", 1000);
        let sender = common(pair.send(["--json", "small"])).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = common(pair.receive(["-o", "target"])).run().expect_code(7);
        vec![receiver, sender.wait()]
    }),
    ("no host", |pair| {
        pair.noise("small", 1000);
        let there = ["--host", "ws://127.0.0.1:1", "--retry-for", "1s"];
        let sender = common(pair.send(there.iter().chain(&["small"]))).run().expect_code(4);
        let receiver = common(pair.receive(there.iter().chain(&["-y", "-o", "target"]))).run();
        vec![sender, receiver.expect_code(4)]
    }),
    ("no place", |pair| {
        pair.noise("small", 1000);
        let receiver = common(pair.receive(["-y", "-o", "small"])).run();
        assert_ne!(receiver.code(), 0);
        let state =
            common(pair.receive(["-y", "-o", "target"])).env("REJOIN_STATE_DIR", "small").run();
        vec![receiver, state.expect_code(8)]
    }),
    ("a record that was damaged", |pair| {
        let (sender, receiver) = half_way(pair, &["--retry-for", "1s"], &[]);
        receiver.signal(Signal::INT);
        receiver.wait();
        sender.wait();
        let mut runs = Vec::new();
        for path in files(&pair.path("state-receive")) {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(last) = bytes.last_mut().filter(|_| path.ends_with("record")) {
                *last ^= 1;
                let intact = fs::read(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                let resume = pair.home.rejoin(["resume"]).env("REJOIN_LOG", "trace");
                runs.push(resume.env("REJOIN_STATE_DIR", pair.path("state-receive")).run());
                runs.push(common(pair.receive(["-y", "-o", "target", "--retry-for", "1s"])).run());
                // So that what it holds is looked for.
                fs::write(&path, intact).unwrap();
            }
        }
        assert_eq!(runs.len(), 2);
        runs
    }),
    ("credentials that are none", |pair| {
        pair.noise("small", 1000);
        let answers = [
            "echo ann",
            "printf '{\"username\": \"ann\", \"password\": [\"%s\"]}'",
            "exit 3; echo",
        ];
        let run = |(number, answer): (usize, &str)| {
            let content = format!("{answer} {PASSWORD}; echo {PASSWORD} >&2");
            let give = pair.home.file(&format!("give-{number}"), content);
            let run = common(pair.send(["--relay-only", "--turn", "turn:127.0.0.1:1", "small"]))
                .env("REJOIN_CODE", format!("{number}-{WORDS}"))
                .env("REJOIN_STATE_DIR", pair.path(&format!("state-{number}")))
                .env("REJOIN_TURN_CREDENTIALS_COMMAND", format!("sh {}", give.display()));
            (run.spawn(), give)
        };
        let runs: Vec<_> = (1..).zip(answers).map(run).collect();
        let end = |(run, give): (Running, PathBuf)| {
            run.line_with(From::Stderr, "no TURN credentials");
            run.signal(Signal::TERM);
            fs::remove_file(give).unwrap();
            run.wait()
        };
        runs.into_iter().map(end).collect()
    }),
];

/// H-15: what a run shows and logs that is interrupted or refused, and what it leaves on the disk, holds no secret either.
#[test]
fn a_run_that_ends_early_shows_no_secret() {
    // Three at a time: most of it is waiting.
    for some in ENDINGS.chunks(3) {
        std::thread::scope(|scope| {
            some.iter().for_each(|(what, ending)| {
                scope.spawn(|| end_early(what, *ending));
            });
        });
    }
}

fn end_early(what: &str, ending: fn(&Pair) -> Vec<Finished>) {
    let pair = Pair::new();
    let runs = ending(&pair);
    let mut secrets = vec![
        Secret::text("the code", WORDS),
        Secret::text("a wrong guess", WRONG_WORDS),
        Secret::text("the password", PASSWORD),
    ];
    for state in ["state-send", "state-receive"] {
        if pair.path(state).exists() {
            secrets.extend(kept_secrets(&pair.path(state)));
        }
    }
    for run in &runs {
        assert_none(&secrets, what, &shown(run));
    }
    for path in files(pair.home.path()) {
        if path.ends_with("record") || fs::metadata(&path).unwrap().len() > CONTENT_MIN {
            continue;
        }
        let place = format!("{what}: {}", path.display());
        assert_none(&secrets, &place, &fs::read(&path).unwrap());
    }
}
