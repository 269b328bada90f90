//! The helper's own side: runs the command when it is asked to, never through a shell, and answers.
//!
//! The words are passed as they are. The command gets no input, its output is bounded and written down nowhere, and one that
//! is too slow is killed. **Its group is killed before its leader is reaped**: until then the number is the group's, later it
//! may be another's.

use super::OUTPUT_BYTES_MAX;
use super::protocol::{self, Reply};
use crate::platform::Group;
use std::io::{self, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// News that are not taken yet: an order, an end, an output.
const NEWS_MAX: usize = 4;

/// How long what was killed may take to be gone.
const DEATH_MAX: Duration = Duration::from_secs(2);

/// What a helper waits for.
enum News {
    /// To run the command, for so long.
    Order(Duration),
    /// The process that it runs for is gone.
    Alone,
    /// The leader of a run has ended, and is not reaped.
    Ended(u64),
    /// All that a run printed, up to one byte too much.
    Printed(u64, io::Result<Vec<u8>>),
}

/// Serves until the pipe from the process that asked is closed.
#[must_use]
pub fn serve() -> ExitCode {
    let mut orders = io::stdin().lock();
    let Ok(words) = protocol::read_words(&mut orders) else { return ExitCode::FAILURE };
    drop(orders);
    let (tell, news) = sync_channel(NEWS_MAX);
    let told = tell.clone();
    let listening = std::thread::Builder::new().name("orders".to_owned()).spawn(move || {
        let mut orders = io::stdin().lock();
        while let Some(limit) = protocol::read_order(&mut orders) {
            if told.send(News::Order(limit)).is_err() {
                return;
            }
        }
        // Nobody waits for it then.
        let _ = told.send(News::Alone);
    });
    if listening.is_err() {
        return ExitCode::FAILURE;
    }
    let mut helper = Runs { words, tell, news, run: 0 };
    while let Ok(next) = helper.news.recv() {
        match next {
            News::Order(limit) => {
                let Some(reply) = helper.run(limit) else { return ExitCode::SUCCESS };
                if protocol::write_reply(&mut io::stdout().lock(), &reply).is_err() {
                    return ExitCode::SUCCESS;
                }
            }
            News::Alone => return ExitCode::SUCCESS,
            // Of a run that is over.
            News::Ended(_) | News::Printed(..) => {}
        }
    }
    ExitCode::SUCCESS
}

/// The command, and its runs.
struct Runs {
    words: Vec<String>,
    tell: SyncSender<News>,
    news: Receiver<News>,
    /// Their number so far.
    run: u64,
}

/// What is known of a run.
#[derive(Default)]
struct Known {
    has_ended: bool,
    output: Option<io::Result<Vec<u8>>>,
    /// It was killed: for this.
    verdict: Option<Reply>,
}

impl Runs {
    /// One run; `None` where nobody waits for it any more.
    fn run(&mut self, limit: Duration) -> Option<Reply> {
        self.run += 1;
        let failed = |error: &io::Error| Some(Reply::Start(cause(error)));
        let (mut child, group) = match self.start() {
            Ok(started) => started,
            Err(error) => return failed(&error),
        };
        // Killed whether it ends by itself or not: what it leaves behind is of no use to anybody.
        let kill = || group.kill();
        if let Err(error) = self.watch(&mut child, group) {
            kill();
            // Without a thread that waits for it this one does.
            let _ = child.wait();
            return failed(&error);
        }
        let mut known = Known::default();
        if self.follow(Instant::now() + limit, &mut known, &kill) {
            return None;
        }
        if !known.has_ended {
            // It does not even die: it is left to the end of this process.
            return Some(Reply::Timeout);
        }
        let status = child.wait();
        Some(match (known.verdict, status, known.output) {
            (Some(verdict), ..) => verdict,
            (None, Err(error), _) | (None, _, Some(Err(error))) => Reply::Start(cause(&error)),
            (None, Ok(status), _) if !status.success() => Reply::Status(status.to_string()),
            (None, Ok(_), Some(Ok(output))) => Reply::Output(output),
            (None, Ok(_), None) => Reply::Timeout,
        })
    }

    fn start(&self) -> io::Result<(Child, Group)> {
        let (program, arguments) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Group::start(&mut command)
    }

    /// Waits for its output and its end, each on a thread. The end is only looked at.
    fn watch(&self, child: &mut Child, group: Group) -> io::Result<()> {
        let run = self.run;
        let tell = self.tell.clone();
        std::thread::Builder::new().name("end".to_owned()).spawn(move || {
            group.wait_for_leader();
            // Whoever waited may have lost patience.
            let _ = tell.send(News::Ended(run));
        })?;
        let tell = self.tell.clone();
        let output = child.stdout.take();
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let mut printed = Vec::new();
            let bound = OUTPUT_BYTES_MAX as u64 + 1;
            let read = output.map_or(Ok(0), |output| output.take(bound).read_to_end(&mut printed));
            let _ = tell.send(News::Printed(run, read.map(|_| printed)));
        })?;
        Ok(())
    }

    /// Follows a run to its end, by `deadline`; `true`: nobody waits for it any more, and it is killed.
    fn follow(&mut self, deadline: Instant, known: &mut Known, kill: &impl Fn()) -> bool {
        let mut until = deadline;
        while !(known.has_ended && (known.output.is_some() || known.verdict.is_some())) {
            match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News::Ended(run)) if run == self.run => {
                    known.has_ended = true;
                    kill();
                }
                Ok(News::Printed(run, output)) if run == self.run => {
                    if output.as_ref().is_ok_and(|output| output.len() > OUTPUT_BYTES_MAX) {
                        known.verdict = Some(Reply::TooLong);
                        kill();
                        until = Instant::now() + DEATH_MAX;
                    }
                    known.output = Some(output);
                }
                Ok(News::Ended(_) | News::Printed(..)) => {}
                // A second order before the first is done is none of ours.
                Ok(News::Order(_) | News::Alone) | Err(RecvTimeoutError::Disconnected) => {
                    kill();
                    return true;
                }
                Err(RecvTimeoutError::Timeout) if known.verdict.is_some() || known.has_ended => {
                    known.verdict.get_or_insert(Reply::Timeout);
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    known.verdict = Some(Reply::Timeout);
                    kill();
                    until = Instant::now() + DEATH_MAX;
                }
            }
        }
        false
    }
}

/// What the system says, without its number.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn runs(words: &[&str]) -> Runs {
        let (tell, news) = sync_channel(NEWS_MAX);
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Runs { words, tell, news, run: 0 }
    }

    fn run(words: &[&str]) -> Reply {
        runs(words).run(LONG).unwrap()
    }

    #[test]
    fn words_are_no_shell_text() {
        let printed = run(&["printf", "%s\\n", "$HOME; id", "p"]);
        assert_eq!(printed, Reply::Output(b"$HOME; id\np\n".to_vec()));
    }

    #[test]
    fn failures_are_named_and_output_is_bounded() {
        assert!(matches!(run(&["/nowhere/at/all"]), Reply::Start(_)));
        assert!(matches!(run(&[]), Reply::Start(_)));
        assert_eq!(run(&["false"]), Reply::Status("exit status: 1".to_owned()));
        assert_eq!(run(&["yes"]), Reply::TooLong);
        let failed = run(&["sh", "-c", "echo hunter2; exit 3"]);
        assert_eq!(failed, Reply::Status("exit status: 3".to_owned()));
    }

    /// A pipe that a script holds for as long as anything of it lives.
    struct Held {
        directory: tempfile::TempDir,
        read: std::thread::JoinHandle<Vec<u8>>,
    }

    impl Held {
        /// With the script that opens it first.
        fn by(script: &str) -> (Self, String) {
            let directory = tempfile::tempdir().unwrap();
            let pipe = directory.path().join("pipe");
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
            let script = format!("exec 3>{}; {script}", pipe.display());
            let read = std::thread::spawn(move || std::fs::read(pipe).unwrap());
            (Self { directory, read }, script)
        }

        /// Waits until nobody holds it.
        fn wait(self) {
            use rustix::fs::{Mode, OFlags, open};
            // A script that was killed early never opened it, and its reader waits for a writer still.
            let pipe = self.directory.path().join("pipe");
            while !self.read.is_finished() {
                drop(open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()));
                std::thread::yield_now();
            }
            assert_eq!(self.read.join().unwrap(), b"");
        }
    }

    #[test]
    fn a_command_that_is_too_slow_is_killed_with_what_it_started() {
        // The shell waits for its child, which holds the pipe, too.
        let (held, script) = Held::by("sleep 1000; :");
        let outcome = runs(&["sh", "-c", &script]).run(Duration::from_millis(500));
        assert_eq!(outcome, Some(Reply::Timeout));
        held.wait();
    }

    /// What a command leaves behind is killed while its number is still its own, and holds nothing up.
    #[test]
    fn what_a_command_leaves_behind_is_killed() {
        let (held, script) = Held::by("sleep 1000 & echo ann");
        let outcome = run(&["sh", "-c", &script]);
        assert_eq!(outcome, Reply::Output(b"ann\n".to_vec()));
        held.wait();
    }

    #[test]
    fn a_run_ends_with_whoever_asked_for_it() {
        let (held, script) = Held::by("sleep 1000; :");
        let words = ["sh".to_owned(), "-c".to_owned(), script];
        let mut runs = runs(&words.each_ref().map(String::as_str));
        runs.tell.send(News::Alone).unwrap();
        assert_eq!(runs.run(LONG), None);
        held.wait();
    }

    #[test]
    fn a_second_run_is_not_told_of_the_first() {
        let mut runs = runs(&["sh", "-c", "echo a; kill -9 $$"]);
        for _ in 0..3 {
            assert!(matches!(runs.run(LONG), Some(Reply::Status(_))));
        }
    }
}
