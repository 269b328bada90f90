//! What nobody else may see is nowhere where they could: logs, arguments, output, files (H-15, I-05).
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rejoin::store::record::SessionRecord;

use rustix::process::Signal;

use crate::support::coturn::{Coturn, SECRET};
use crate::support::env::{Invocation, Running};
use crate::support::pair::Pair;

const MIB: usize = 1 << 20;
const WORDS: &str = "crane-velvet-orbit";
/// A file of this size is what is being sent: random bytes.
const CONTENT_MIN: u64 = 4 << 20;
const PASSWORD: &str = "hunter2-of-the-relay";

/// A secret in every form in which it could be written.
struct Secret {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn text(name: &'static str, text: &str) -> Self {
        let shouted = text.to_uppercase();
        Self { name, forms: vec![text.into(), shouted.into(), STANDARD.encode(text).into()] }
    }

    fn bytes(name: &'static str, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = bytes[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let forms = vec![bytes.to_vec(), hex.into(), STANDARD.encode(bytes).into(), list.into()];
        Self { name, forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    }
}

#[track_caller]
fn assert_none(secrets: &[Secret], place: &str, bytes: &[u8]) {
    for secret in secrets {
        assert!(
            !secret.is_in(bytes),
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
        kept += usize::from(is_record && secrets[2].is_in(&content));
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
