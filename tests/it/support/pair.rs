//! A sender and a receiver of this machine: real processes, each with state of its own, and a registry of their own.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::LazyLock;

use rejoin::signal::code::PORT_DEFAULT;

use super::env::{Finished, Home, Invocation, Running};
use super::random::Random;

/// What every test pairs with; each has a registry and hosts of its own, so nobody else's room is meant.
pub(crate) const CODE: &str = "7-crane-velvet-orbit";

pub(crate) struct Pair {
    pub(crate) home: Home,
}

/// Held for as long as the tests run, so that every embedded host takes a port of its own: the default one, freed by a
/// sender that a test killed, would go to the sender of another test before the killed one is started again.
static DEFAULT_PORT: LazyLock<Option<TcpListener>> =
    LazyLock::new(|| TcpListener::bind(("::", PORT_DEFAULT)).ok());

impl Pair {
    /// An empty home, with a directory `target`.
    pub(crate) fn new() -> Self {
        LazyLock::force(&DEFAULT_PORT);
        let home = Home::new();
        std::fs::create_dir(home.path().join("target")).unwrap();
        Self { home }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A file of bytes that do not repeat, the same for the same name and length.
    pub(crate) fn noise(&self, name: &str, bytes: usize) -> PathBuf {
        let seed =
            name.bytes().fold(bytes as u64, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
        self.home.file(name, Random::new(seed).bytes(bytes))
    }

    /// `rejoin send ARGUMENTS`.
    pub(crate) fn send<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        self.side("send", arguments)
    }

    /// `rejoin receive ARGUMENTS`.
    pub(crate) fn receive<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        self.side("receive", arguments)
    }

    /// `rejoin send --json --code CODE PATH`, once its room is open.
    pub(crate) fn sending(&self, path: &str) -> Running {
        let sender = self.send(["--json", "--code", CODE, path]).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        sender
    }

    /// `rejoin receive CODE` into `target`, accepting, in NDJSON.
    pub(crate) fn receiving(&self) -> Invocation {
        self.receive(["--json", "-y", "-o", "target", CODE])
    }

    /// Sends `path` to a receiver with `arguments` more; both must end with their code.
    #[track_caller]
    pub(crate) fn transfer(
        &self,
        path: &str,
        arguments: &[&str],
        codes: (i32, i32),
    ) -> (Finished, Finished) {
        let sender = self.sending(path);
        let arguments = ["--json", "-o", "target", CODE].iter().chain(arguments);
        let receiver = self.receive(arguments).run().expect_code(codes.1);
        (sender.wait().expect_code(codes.0), receiver)
    }

    /// A command as it was shown to a person on that side, by a shell.
    pub(crate) fn shell(&self, side: &str, line: &str) -> Invocation {
        self.stored(side, self.home.shell(line))
    }

    fn side<A: AsRef<OsStr>>(
        &self,
        side: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        let arguments: Vec<OsString> = std::iter::once(side.into()).chain(arguments).collect();
        self.stored(side, self.home.rejoin(arguments))
    }

    /// Each side has a state of its own. What is large takes seconds, so that it can be met half-way.
    fn stored(&self, side: &str, invocation: Invocation) -> Invocation {
        invocation
            .env("REJOIN_STATE_DIR", self.path(&format!("state-{side}")))
            .env("REJOIN_BWLIMIT", "32M")
    }
}

/// Waits until some of the file went over, and not all of it.
pub(crate) fn wait_for_half(run: &Running) {
    let connected = run.event_where("connected", |event| event["event"] == "connected");
    let begun = connected["t"].as_u64().unwrap();
    run.event_where("of progress half-way", |event| {
        let figure = |name: &str| event[name].as_u64().unwrap();
        // By the second report a few units are written, whether or not a barrier has counted them yet.
        event["event"] == "progress"
            && figure("t") >= begun + 300
            && figure("rate_bps") > 0
            && figure("bytes") < figure("total_bytes")
    });
}
