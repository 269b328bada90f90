//! A terminal, and what a person sees and types there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::env::Invocation;
use super::process::LOOK_INTERVAL;

/// How long a person waits for a text, and for an end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Terminal {
    /// The end where the person sits; none: it is closed.
    own: Option<File>,
    theirs: File,
    /// Shown, and not looked at yet.
    shown: Vec<u8>,
}

/// A command that runs at a terminal; killed when dropped.
pub(crate) struct Seated {
    child: Child,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap().into_string().unwrap();
        let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        Self { own: Some(own.into()), theirs: theirs.into(), shown: Vec::new() }
    }

    /// Runs a command here; its results go nowhere.
    pub(crate) fn spawn(&self, invocation: Invocation) -> Seated {
        let here = || Stdio::from(self.theirs.try_clone().unwrap());
        let mut command = invocation.into_command();
        let child = command.stdin(here()).stdout(Stdio::null()).stderr(here()).spawn().unwrap();
        Seated { child }
    }

    /// Reads until `text` was shown; all up to there.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.shown.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let seen: Vec<u8> = self.shown.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&seen).into_owned();
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(self.look(rest), "no {text:?}: {}", String::from_utf8_lossy(&self.shown));
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.own.as_ref().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// As when its window is closed.
    pub(crate) fn close(&mut self) {
        self.own = None;
    }

    /// The exit code at the end, looking on: who is not looked at cannot write for ever.
    pub(crate) fn wait(&mut self, mut run: Seated) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = run.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "no end: {}", String::from_utf8_lossy(&self.shown));
            if self.own.is_some() {
                self.look(LOOK_INTERVAL);
            } else {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
    }

    /// Reads what is shown within `patience`; whether anything was.
    fn look(&mut self, patience: Duration) -> bool {
        let own = self.own.as_mut().unwrap();
        let patience = Timespec::try_from(patience).unwrap();
        let mut waited = [PollFd::new(&*own, PollFlags::IN)];
        if poll(&mut waited, Some(&patience)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 1024];
        let count = own.read(&mut buffer).unwrap();
        self.shown.extend_from_slice(&buffer[..count]);
        true
    }
}

impl Seated {
    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Where it is over already there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.end();
    }
}
