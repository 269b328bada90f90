//! A transfer whose ends run in odd places, and what both say of it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::support::env::{Finished, Invocation, Running};
use crate::support::pair::{CODE, Pair};

/// A sender and a receiver of a [`Pair`], each in NDJSON, each by other programs where it is to be.
#[derive(Clone)]
pub(crate) struct Meeting<'pair> {
    pair: &'pair Pair,
    sending: Vec<OsString>,
    receiving: Vec<OsString>,
    sender_through: Vec<OsString>,
    receiver_through: Vec<OsString>,
}

/// Both ends of a transfer that is over.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) sender: Finished,
    pub(crate) receiver: Finished,
}

impl<'pair> Meeting<'pair> {
    /// Sends `source` into the directory `target`.
    pub(crate) fn new(
        pair: &'pair Pair,
        source: impl AsRef<OsStr>,
        target: impl AsRef<OsStr>,
    ) -> Self {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let mut sending = words(&["--json", "--retry-for", "8s", "--code", CODE]);
        sending.push(source.as_ref().into());
        let mut receiving = words(&["--json", "-y", "--retry-for", "8s", CODE, "-o"]);
        receiving.push(target.as_ref().into());
        Self { pair, sending, receiving, sender_through: vec![], receiver_through: vec![] }
    }

    /// Arguments more for the sender.
    pub(crate) fn sending(mut self, arguments: &[&str]) -> Self {
        self.sending.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Arguments more for the receiver.
    pub(crate) fn receiving(mut self, arguments: &[&str]) -> Self {
        self.receiving.extend(arguments.iter().map(OsString::from));
        self
    }

    /// The sender runs by this ([`Invocation::through`]).
    pub(crate) fn sender_through(mut self, words: Vec<OsString>) -> Self {
        self.sender_through = words;
        self
    }

    /// The receiver runs by this ([`Invocation::through`]).
    pub(crate) fn receiver_through(mut self, words: Vec<OsString>) -> Self {
        self.receiver_through = words;
        self
    }

    /// Both run by this ([`Invocation::through`]).
    pub(crate) fn both_through(self, words: &[OsString]) -> Self {
        self.sender_through(words.to_vec()).receiver_through(words.to_vec())
    }

    /// The sender, once its room is open.
    pub(crate) fn sender(&self) -> Running {
        let run = self.sender_starting();
        // A session that continues may have no code to show.
        run.event_where("code", |event| event["event"] == "code" || event["event"] == "waiting");
        run
    }

    /// The sender, whether or not anybody can reach it yet.
    pub(crate) fn sender_starting(&self) -> Running {
        self.invocation(self.pair.send(&self.sending), &self.sender_through).spawn()
    }

    /// The receiver.
    pub(crate) fn receiver(&self) -> Running {
        self.invocation(self.pair.receive(&self.receiving), &self.receiver_through).spawn()
    }

    /// Both, to their ends.
    pub(crate) fn run(&self) -> Ends {
        let sender = self.sender();
        let receiver = self.receiver().wait();
        Ends { sender: sender.wait(), receiver }
    }

    fn invocation(&self, invocation: Invocation, through: &[OsString]) -> Invocation {
        if through.is_empty() { invocation } else { invocation.through(through.to_vec()) }
    }
}

impl Ends {
    /// Both ended with this code and name the same paths as missing; those.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> Vec<String> {
        let ends = self.report();
        assert_eq!((self.sender.code(), self.receiver.code()), (code, code), "{ends}");
        let (sent, received) = (left_out(&self.sender), left_out(&self.receiver));
        let paths = |list: &BTreeMap<String, String>| list.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&sent), paths(&received), "different files are missing\n{ends}");
        let (there, here) = (self.sender.outcome(), self.receiver.outcome());
        for figure in ["files", "skipped_files", "failed_files", "exit"] {
            assert!(here[figure].is_u64(), "no {figure}\n{ends}");
            assert_eq!(there[figure], here[figure], "{figure}\n{ends}");
        }
        paths(&received)
    }

    /// What both said, for a test that fails.
    pub(crate) fn report(&self) -> String {
        format!("sender {}\nreceiver {}", shown(&self.sender), shown(&self.receiver))
    }

    /// Both ended with 0, and nothing at all is missing.
    #[track_caller]
    pub(crate) fn expect_all(&self) {
        assert_eq!(self.expect(0), [""; 0]);
    }

    /// A figure of the receiver's last line.
    #[track_caller]
    pub(crate) fn figure(&self, name: &str) -> u64 {
        figure(&self.receiver, name)
    }
}

/// A figure of the last line of a run.
#[track_caller]
pub(crate) fn figure(run: &Finished, name: &str) -> u64 {
    let outcome = run.outcome();
    outcome[name].as_u64().unwrap_or_else(|| panic!("no {name} in {outcome}"))
}

/// What did not arrive, by path, with its status: as a run in NDJSON says it.
pub(crate) fn left_out(run: &Finished) -> BTreeMap<String, String> {
    let events = run.events();
    let files = events.iter().filter(|event| event["event"] == "file");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let is_there = |status: &str| ["received", "sent", "unchanged"].contains(&status);
    files
        .filter(|event| !is_there(event["status"].as_str().unwrap()))
        .map(|event| (text(&event["path"]), text(&event["status"])))
        .collect()
}

/// The warnings of a run.
pub(crate) fn warnings(run: &Finished) -> Vec<String> {
    let events = run.events();
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    warnings.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// What a report shows of a run: its lines but for those of progress and of files that are well.
fn shown(run: &Finished) -> String {
    let is_told = |line: &&str| {
        ["progress", "received", "sent", "unchanged"]
            .iter()
            .all(|word| !line.contains(&format!(":\"{word}\"")))
    };
    let lines: Vec<&str> = run.stdout.lines().filter(is_told).collect();
    format!("{}\n{}\n{}", run.status, lines.join("\n"), run.stderr)
}

/// Waits until some of it is durable at the receiver, and not all of it: what the next run need not move.
pub(crate) fn wait_for_durable(run: &Running) {
    run.event_where("of progress that is durable", |event| {
        let figure = |name: &str| event[name].as_u64().unwrap();
        event["event"] == "progress"
            && figure("durable_bytes") > 0
            && figure("bytes") < figure("total_bytes")
    });
}

/// Nothing of ours is left in a target.
#[track_caller]
pub(crate) fn assert_no_litter(target: &Path) {
    assert!(!target.join(".rejoin").exists(), "{} has .rejoin", target.display());
}
