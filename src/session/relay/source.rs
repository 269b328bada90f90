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
        let outcome = tokio::time::timeout(RUN_TIMEOUT, run_once(words)).await;
        let error = match outcome.unwrap_or(Err(SourceError::Timeout)) {
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

async fn run_once(words: &[String]) -> Result<Grant, SourceError> {
    let (program, arguments) = words.split_first().ok_or(SourceError::None)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Dropped by the timeout above.
        .kill_on_drop(true)
        .spawn()
        .map_err(SourceError::Start)?;
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
