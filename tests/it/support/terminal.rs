//! A terminal, and what a person sees and types there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::env::Invocation;

/// How long a person waits for a text.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

pub(crate) struct Terminal {
    own: File,
    theirs: File,
    /// Shown, and not looked at yet.
    shown: Vec<u8>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        Self { own: own.into(), theirs, shown: Vec::new() }
    }

    /// Runs a command here; its results go nowhere.
    pub(crate) fn spawn(&self, invocation: Invocation) -> Child {
        let here = || Stdio::from(self.theirs.try_clone().unwrap());
        let mut command = invocation.into_command();
        command.stdin(here()).stdout(Stdio::null()).stderr(here()).spawn().unwrap()
    }

    /// Reads until `text` was shown; all up to there.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            let found = self.shown.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let seen: Vec<u8> = self.shown.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&seen).into_owned();
            }
            let mut waited = [PollFd::new(&self.own, PollFlags::IN)];
            let count = poll(&mut waited, Some(&PATIENCE)).unwrap();
            assert!(count > 0, "no {text:?}: {}", String::from_utf8_lossy(&self.shown));
            let mut buffer = [0; 1024];
            let count = self.own.read(&mut buffer).unwrap();
            self.shown.extend_from_slice(&buffer[..count]);
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.own.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
