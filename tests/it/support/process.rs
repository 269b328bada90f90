//! A process that is watched by what it says, and can be killed, stopped and started again.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[cfg(feature = "fault-injection")]
use rustix::process::Signal;
use serde_json::Value;

/// How often a process is looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Process {
    child: Child,
    events: Arc<Mutex<Vec<(Instant, Value)>>>,
    status: Option<ExitStatus>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// Bytes that a process moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Process {
    /// Starts it; what it says goes into `logs` too, as `name.out` and `name.err`.
    pub(crate) fn start(mut command: Command, logs: &Path, name: &str) -> Self {
        let append = |end: &str| {
            let path = logs.join(format!("{name}.{end}"));
            File::options().create(true).append(true).open(path).unwrap()
        };
        let mut copy = append("out");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(append("err"))
            .spawn()
            .unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&events);
        let pipe = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in pipe.lines() {
                let Ok(line) = line else { return };
                let at = Instant::now();
                writeln!(copy, "{line}").unwrap();
                // A host says its URL only.
                if let Ok(event) = serde_json::from_str(&line) {
                    writer.lock().unwrap().push((at, event));
                }
            }
        });
        Self { child, events, status: None, reader: Some(reader) }
    }

    /// Runs `look` over all events so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[(Instant, Value)]) -> T) -> T {
        look(&self.events.lock().unwrap())
    }

    /// Waits for an event of this name.
    pub(crate) fn wait_for(&mut self, event: &str, limit: Duration) -> Result<Value, String> {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.look(|events| {
                events.iter().find(|(_, found)| found["event"] == event).map(|(_, e)| e.clone())
            });
            if let Some(found) = found {
                return Ok(found);
            }
            if self.ended().is_some() || Instant::now() >= deadline {
                return Err(format!("no event {event} within {limit:?}"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// How it ended, if it has; then all of its events are there.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
            if self.status.is_some()
                && let Some(reader) = self.reader.take()
            {
                reader.join().unwrap();
            }
        }
        self.status
    }

    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.status
    }

    /// As `kill -9` does; whether there was anybody to kill.
    pub(crate) fn kill(&mut self) -> bool {
        if self.ended().is_some() {
            return false;
        }
        self.child.kill().unwrap();
        self.wait(Duration::from_secs(30)).expect("a killed process ends");
        true
    }

    /// To a process that has not ended.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it read and wrote by system calls so far, but for sockets; none where it has ended.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.id())).ok()?;
        let figure = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        Some(Traffic { read: figure("rchar:")?, written: figure("wchar:")? })
    }

    /// The most memory that it had, in KiB; none where it has ended.
    pub(crate) fn peak_memory_kib(&self) -> Option<u64> {
        kib(self.id(), "VmHWM")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the system says of a process under this name (proc_pid_status(5)); none where it has ended.
pub(crate) fn status(pid: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// A figure of [`status`] that is one of memory, in KiB.
pub(crate) fn kib(pid: u32, name: &str) -> Option<u64> {
    status(pid, name)?.strip_suffix(" kB")?.parse().ok()
}
