//! Asks a source for credentials: the one place that runs a command for them.
//!
//! Never through a shell: the words of the command are passed as they are. It gets no input, its output is bounded and
//! never logged, and a command that is too slow is killed.

use super::grant::{ANSWER_BYTES_MAX, Grant, GrantError};
use crate::options::TurnSource;
use crate::session::surroundings::unix_time;
use std::process::Stdio;
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long one run of the command may take (K-33).
const RUN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long all runs for one answer may take (K-33).
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs for one answer, within [`TOTAL_TIMEOUT`].
const RUNS: u32 = 3;

/// Before the next run of a command that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there are no credentials. What the command printed is not in it.
#[derive(Debug, Error)]
pub(in crate::session) enum SourceError {
    /// There is none.
    #[error("no credentials are configured")]
    None,
    /// It cannot be run.
    #[error("the credentials command cannot be run: {0}")]
    Start(#[source] std::io::Error),
    /// It said that it failed.
    #[error("the credentials command failed ({0})")]
    Status(std::process::ExitStatus),
    /// It was killed.
    #[error("the credentials command took longer than {} s", RUN_TIMEOUT.as_secs())]
    Timeout,
    /// It printed something else.
    #[error(transparent)]
    Answer(#[from] GrantError),
}

/// Asks `source`, within 15 s.
pub(in crate::session) async fn ask(source: &TurnSource) -> Result<Grant, SourceError> {
    let words = match source {
        TurnSource::None => return Err(SourceError::None),
        TurnSource::Fixed { credentials, .. } => return Ok(Grant::fixed(credentials)),
        TurnSource::SharedSecret(secret) => return Ok(Grant::derived(secret, unix_time())),
        TurnSource::Command(words) => words,
    };
    tokio::time::timeout(TOTAL_TIMEOUT, repeat(words)).await.unwrap_or(Err(SourceError::Timeout))
}

async fn repeat(words: &[String]) -> Result<Grant, SourceError> {
    let mut run = 1;
    loop {
        let error = match run_within(words, RUN_TIMEOUT).await {
            Ok(grant) => return Ok(grant),
            Err(error) => error,
        };
        tracing::info!(target: "rejoin::turn", %error, run, "no credentials");
        // A program that is not there will not be there in a second.
        if run == RUNS || matches!(error, SourceError::Start(_)) {
            return Err(error);
        }
        run += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn run_within(words: &[String], limit: Duration) -> Result<Grant, SourceError> {
    tokio::time::timeout(limit, run_once(words)).await.unwrap_or(Err(SourceError::Timeout))
}

async fn run_once(words: &[String]) -> Result<Grant, SourceError> {
    let (program, arguments) = words.split_first().ok_or(SourceError::None)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Dropped by the timeout above.
    command.kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(SourceError::Start)?;
    let _group = Group(child.id());
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        let bound = ANSWER_BYTES_MAX as u64 + 1;
        output.take(bound).read_to_end(&mut answer).await.map_err(SourceError::Start)?;
    }
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(GrantError::TooLong.into());
    }
    let status = child.wait().await.map_err(SourceError::Start)?;
    if !status.success() {
        return Err(SourceError::Status(status));
    }
    Ok(Grant::parse(&answer, unix_time())?)
}

/// The command and what it started: killed with it, whether it ends by itself or not.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(leader) = leader {
                // Mostly there is nobody left.
                let _ = kill_process_group(leader, Signal::KILL);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn words_are_no_shell_text() {
        let grant = run_once(&words(&["printf", "%s\\n", "$HOME; id", "p"])).await.unwrap();
        assert_eq!((&grant.username[..], grant.password.expose()), ("$HOME; id", "p"));
    }

    #[tokio::test]
    async fn failures_are_named_and_output_is_bounded() {
        let outcome = run_once(&words(&["/nowhere/at/all"])).await;
        assert!(matches!(outcome, Err(SourceError::Start(_))), "{outcome:?}");
        let outcome = run_once(&words(&["false"])).await;
        assert!(matches!(outcome, Err(SourceError::Status(_))), "{outcome:?}");
        let outcome = run_once(&words(&["yes"])).await;
        assert!(matches!(outcome, Err(SourceError::Answer(GrantError::TooLong))), "{outcome:?}");
        let outcome = run_once(&words(&["printf", "hunter2"])).await.unwrap_err();
        assert!(!outcome.to_string().contains("hunter2"));
    }

    /// The pipe that it holds is closed when it is gone, and not before.
    #[tokio::test]
    async fn a_command_that_is_too_slow_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        // The shell waits for its child, which holds the pipe, too.
        let script = format!("exec 3>{}; sleep 1000; :", pipe.display());
        let slow = words(&["sh", "-c", &script]);
        let run = tokio::spawn(async move { run_within(&slow, Duration::from_secs(1)).await });
        let read = tokio::task::spawn_blocking(move || std::fs::read(pipe));
        let outcome = run.await.unwrap();
        assert!(matches!(outcome, Err(SourceError::Timeout)), "{outcome:?}");
        assert_eq!(read.await.unwrap().unwrap(), b"");
    }

    /// Only the number of runs: how long they take is the clock's business.
    #[tokio::test]
    async fn a_command_that_fails_at_first_is_run_again() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let script = format!("[ -e {0} ] && echo ann && echo p; touch {0}", mark.display());
        let grant = ask(&TurnSource::Command(words(&["sh", "-c", &script]))).await.unwrap();
        assert_eq!(grant.username, "ann");
    }
}
