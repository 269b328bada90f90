//! The binary in a home of its own: nothing of the machine's environment reaches it, and a hang ends in its output.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a run may take unless a test says otherwise; generous, since two cores may be busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test; another build of it by `REJOIN_TEST_BINARY`.
static BINARY: LazyLock<String> = LazyLock::new(|| {
    std::env::var("REJOIN_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_rejoin").to_owned())
});

/// A temporary home.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// A command line to be.
pub(crate) struct Invocation {
    command: Command,
    input: Vec<u8>,
    deadline: Duration,
    is_stdout_closed: bool,
}

/// A run under way; killed when dropped.
pub(crate) struct Running {
    shown: String,
    pid: u32,
    started: Instant,
    deadline: Duration,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    exited: mpsc::Receiver<ExitStatus>,
    kill: mpsc::Sender<()>,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    Stdout,
    Stderr,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the home, with its directories.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `rejoin ARGUMENTS`, in this home.
    pub(crate) fn rejoin<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        self.program(&BINARY, arguments)
    }

    /// `rejoin host --listen ADDRESS` that is ready, and its URL.
    pub(crate) fn host(&self, listen: &str) -> (Running, String) {
        let host = self.rejoin(["host", "--listen", listen]).spawn();
        let url = host.line_with(From::Stdout, "ws://");
        (host, url)
    }

    /// A line for a shell, which finds `rejoin` on its path.
    #[cfg(unix)]
    pub(crate) fn shell(&self, line: &str) -> Invocation {
        let directory = Path::new(&*BINARY).parent().unwrap();
        self.program("/bin/sh", ["-c", line]).env("PATH", directory)
    }

    fn program<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("TMPDIR", self.path())
            .env("REJOIN_STATE_DIR", self.path().join("state"));
        // Windows cannot open a socket without it.
        if let Some(value) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", value);
        }
        Invocation { command, input: Vec::new(), deadline: DEADLINE, is_stdout_closed: false }
    }
}

impl Invocation {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable that every home has.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// What stdin has; without it, stdin is empty.
    pub(crate) fn input(mut self, text: impl AsRef<[u8]>) -> Self {
        self.input = text.as_ref().to_vec();
        self
    }

    /// What the run may take in all, instead of a minute.
    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it elsewhere in its home.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Acts for another user, which only root can.
    #[cfg(unix)]
    pub(crate) fn user(mut self, id: u32) -> Self {
        std::os::unix::process::CommandExt::uid(&mut self.command, id);
        std::os::unix::process::CommandExt::gid(&mut self.command, id);
        self
    }

    /// Nobody reads what it writes to stdout, as after `| head -0`.
    pub(crate) fn stdout_closed(mut self) -> Self {
        self.is_stdout_closed = true;
        self
    }

    /// Runs it by another program, which has the words before it: `strace …`, `ip netns exec …`.
    #[cfg(target_os = "linux")]
    pub(crate) fn through(mut self, words: impl IntoIterator<Item = OsString>) -> Self {
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap());
        let binary = super::lab::wrapped::reachable(Path::new(self.command.get_program()));
        command.args(words).arg(binary).args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(directory) = self.command.get_current_dir() {
            command.current_dir(directory);
        }
        self.command = command;
        self
    }

    /// For tests that watch the process themselves.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    pub(crate) fn spawn(mut self) -> Running {
        let shown = shown(&self.command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read has closed the pipe.
        let _ = child.stdin.take().unwrap().write_all(&self.input);
        let stdout = child.stdout.take().unwrap();
        let stdout = if self.is_stdout_closed { Stream::closed() } else { Stream::read(stdout) };
        let stderr = Stream::read(child.stderr.take().unwrap());
        let pid = child.id();
        let (kill, killed) = mpsc::channel();
        let (exit, exited) = mpsc::channel();
        std::thread::spawn(move || {
            // The waiting thread owns the child, so that its pid cannot be someone else's when it is killed.
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                match killed.recv_timeout(Duration::from_millis(5)) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => child.kill().unwrap(),
                }
            };
            // Nobody waits for a run that was dropped.
            let _ = exit.send(status);
        });
        Running {
            shown,
            pid,
            started: Instant::now(),
            deadline: self.deadline,
            stdout,
            stderr,
            exited,
            kill,
        }
    }

    pub(crate) fn run(self) -> Finished {
        self.spawn().wait()
    }
}

impl Running {
    /// Sends a signal, as `kill` does.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The number of its process.
    #[cfg(unix)]
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for a line that contains `text`, and returns it.
    pub(crate) fn line_with(&self, from: From, text: &str) -> String {
        self.line_where(from, text, |line| line.contains(text))
    }

    /// Waits for a line that `is_meant` holds for, and returns it.
    pub(crate) fn line_where(
        &self,
        from: From,
        what: &str,
        is_meant: impl Fn(&str) -> bool,
    ) -> String {
        let stream = match from {
            From::Stdout => &self.stdout,
            From::Stderr => &self.stderr,
        };
        match stream.line_where(is_meant, self.remaining()) {
            Some(line) => line,
            None => self.fail(&format!("shows no line with {what:?}")),
        }
    }

    /// Waits for a line of NDJSON on stdout that `is_meant` holds for, and returns it.
    pub(crate) fn event_where(&self, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let is_meant = |line: &str| serde_json::from_str(line).is_ok_and(|event| is_meant(&event));
        match self.stdout.line_where(is_meant, self.remaining()) {
            Some(line) => serde_json::from_str(&line).unwrap(),
            None => self.fail(&format!("shows no event {what}")),
        }
    }

    /// Every event of NDJSON so far.
    pub(crate) fn events_so_far(&self) -> Vec<Value> {
        self.stdout.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Kills the run when it is `age` old, unless it is over by then.
    pub(crate) fn kill_after(self, age: Duration) -> Finished {
        let rest = age.saturating_sub(self.started.elapsed());
        match self.exited.recv_timeout(rest) {
            Ok(status) => self.finish(status),
            Err(_) => {
                // Where it is over already there is nobody to kill.
                let _ = self.kill.send(());
                self.wait()
            }
        }
    }

    /// Waits for the end.
    pub(crate) fn wait(self) -> Finished {
        let Ok(status) = self.exited.recv_timeout(self.remaining()) else {
            self.fail("does not end");
        };
        self.finish(status)
    }

    fn finish(self, status: ExitStatus) -> Finished {
        Finished {
            status,
            stdout: self.stdout.rest(self.remaining()),
            stderr: self.stderr.rest(self.remaining()),
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.started.elapsed())
    }

    fn fail(&self, what: &str) -> ! {
        // Where it is over already there is nobody to kill.
        let _ = self.kill.send(());
        panic!(
            "`{}` {what} within {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.deadline,
            self.stdout.text(),
            self.stderr.text()
        );
    }
}

impl Drop for Running {
    /// In a test that fails, whatever the others were doing is part of the report.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            eprintln!("meanwhile `{}`\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.shown);
        }
    }
}

impl Finished {
    /// The exit code; a run that a signal ended has none and fails the test.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Every line of stdout, each of which must be an object of NDJSON.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(event["v"] == 1 && event["t"].is_u64() && event["event"].is_string(), "{line}");
            event
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The last line of NDJSON, which is `done` or `error`, the only one of them.
    #[track_caller]
    pub(crate) fn outcome(&self) -> Value {
        let events = self.events();
        let is_outcome = |event: &Value| event["event"] == "done" || event["event"] == "error";
        assert_eq!(events.iter().filter(|event| is_outcome(event)).count(), 1, "{}", self.stdout);
        events.last().filter(|event| is_outcome(event)).unwrap().clone()
    }

    /// Paths of the files that ended with `status`, in the order of their events.
    pub(crate) fn files(&self, status: &str) -> Vec<String> {
        let events = self.events();
        let files =
            events.iter().filter(|event| event["event"] == "file" && event["status"] == status);
        files.map(|event| event["path"].as_str().unwrap().to_owned()).collect()
    }

    /// Checks the exit code, and shows everything where it is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// What came out of a pipe so far.
#[derive(Default)]
struct Stream {
    state: Mutex<Content>,
    changed: Condvar,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Stream {
    fn closed() -> Arc<Self> {
        let state = Mutex::new(Content { bytes: Vec::new(), is_over: true });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    fn read(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let writer = Arc::clone(&stream);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = writer.state.lock().unwrap();
                state.bytes.extend_from_slice(&buffer[..count]);
                state.is_over = count == 0;
                writer.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        stream
    }

    fn line_where(&self, is_meant: impl Fn(&str) -> bool, limit: Duration) -> Option<String> {
        let find = |state: &Content| {
            let all = String::from_utf8_lossy(&state.bytes).into_owned();
            let complete = all.rfind('\n').map_or("", |end| &all[..end]);
            complete.lines().find(|line| is_meant(line)).map(str::to_owned)
        };
        let state = self.state.lock().unwrap();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| find(state).is_none() && !state.is_over)
            .unwrap();
        find(&state)
    }

    /// Everything, once the pipe is closed or the time is over.
    fn rest(&self, limit: Duration) -> String {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, limit, |state| !state.is_over));
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.state.lock().unwrap().bytes).into_owned()
    }
}

fn shown(command: &Command) -> String {
    let words: Vec<&OsStr> = command.get_args().collect();
    let words = words.join(OsStr::new(" "));
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut shown = OsString::from(program);
    shown.push(" ");
    shown.push(words);
    shown.to_string_lossy().into_owned()
}

#[test]
fn a_run_is_seen_line_by_line() {
    let home = Home::new();
    let run = home.rejoin(["completions", "bash"]).spawn();
    assert_eq!(run.line_with(From::Stdout, "_rejoin() {"), "_rejoin() {");
    run.wait().expect_code(0);
    let run = home.rejoin(["send"]).spawn();
    assert!(run.line_with(From::Stderr, "required").starts_with("error: "));
    run.wait().expect_code(2);
}

#[cfg(unix)]
#[test]
fn a_run_that_hangs_ends_in_its_output_and_a_signal_reaches_it() {
    use std::os::unix::process::ExitStatusExt as _;
    let home = Home::new();
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    // Nobody ever writes into the pipe.
    let hang = || home.rejoin(["receive", "--code-file", "pipe"]);
    let late = hang().deadline(Duration::from_millis(1)).spawn();
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| late.wait()));
    let message = failure.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("does not end"), "{message}");
    let run = hang().spawn();
    run.signal(rustix::process::Signal::TERM);
    assert_eq!(run.wait().status.signal(), Some(15));
}
