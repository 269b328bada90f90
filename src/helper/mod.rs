//! Commands of the user, run by a process of their own: this one confines itself ([`crate::confinement`]), and what it would
//! start could neither leave the confinement nor gain rights by `sudo`.
//!
//! [`Helper::start`] runs this program once more, before the confinement. The helper is told the words of the command then,
//! once; from then on it takes one thing only, that they are run again, and gives back what they print, bounded. Whoever takes
//! this process over later can have the user's own command run, and nothing else. The helper ends with the pipe to it, and
//! with it what it runs.

mod protocol;
mod serve;

pub use serve::serve;

use crate::platform::Group;
use protocol::Reply;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Mutex;

/// The one argument of a helper.
const WORD: &str = "run-a-command-for-rejoin";

/// Most bytes that a command may print.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// How much longer than its command a helper may take: it kills, waits and answers.
const MARGIN: Duration = Duration::from_secs(5);

/// Why a command gave nothing. What it printed is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// It cannot be run.
    #[error("cannot be run: {0}")]
    Start(String),
    /// It said that it failed.
    #[error("failed ({0})")]
    Status(String),
    /// It was killed.
    #[error("took longer than {} s", .0.as_secs())]
    Timeout(Duration),
    /// It printed more than [`OUTPUT_BYTES_MAX`].
    #[error("printed too much")]
    TooLong,
    /// There is nobody to run it.
    #[error("cannot be run: the process that runs it {0}; start rejoin again")]
    Gone(&'static str),
}

/// A helper that waits for its task. Clones are the same one.
#[derive(Clone)]
pub struct Helper(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// Made before there was a runtime.
    Started(std::process::ChildStdin, std::process::ChildStdout),
    Ready(ChildStdin, ChildStdout),
    Gone(&'static str),
}

/// Whether this process was started as a helper: [`serve`] is all that it is to do.
#[must_use]
pub fn is_asked_for() -> bool {
    let mut words = std::env::args_os().skip(1);
    words.next().is_some_and(|word| word == WORD) && words.next().is_none()
}

impl Helper {
    /// Starts a helper for the command `words`, which is not run yet; `program` is this program. The variables `secret` are
    /// not in the environment of the command, the others are.
    ///
    /// # Errors
    /// As the system says; `words` are more than can be.
    pub fn start(program: &Path, words: &[String], secret: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(WORD).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        for name in secret {
            command.env_remove(name);
        }
        // A Ctrl-C is this process's business: it ends the helper with itself.
        let (mut child, _) = Group::start(&mut command)?;
        let (Some(mut orders), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        protocol::write_words(&mut orders, words)?;
        Ok(Self(Arc::new(Mutex::new(State::Started(orders, replies)))))
    }

    /// Runs the command, for `limit` at most, and returns what it prints.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&self, limit: Duration) -> Result<Vec<u8>, RunError> {
        let mut state = Arc::clone(&self.0).lock_owned().await;
        // On a task of its own: an exchange that is given up in its middle would leave half a reply behind.
        let exchange = tokio::spawn(async move {
            if let State::Gone(reason) = *state {
                return Err(RunError::Gone(reason));
            }
            let reason = match tokio::time::timeout(limit + MARGIN, state.exchange(limit)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => "has ended",
                Err(_) => "does not answer",
            };
            *state = State::Gone(reason);
            Err(RunError::Gone(reason))
        });
        match exchange.await.unwrap_or(Err(RunError::Gone("failed")))? {
            Reply::Output(output) => Ok(output),
            Reply::Start(reason) => Err(RunError::Start(reason)),
            Reply::Status(reason) => Err(RunError::Status(reason)),
            Reply::Timeout => Err(RunError::Timeout(limit)),
            Reply::TooLong => Err(RunError::TooLong),
        }
    }
}

impl State {
    async fn exchange(&mut self, limit: Duration) -> io::Result<Reply> {
        let (mut orders, mut replies) = match std::mem::replace(self, Self::Gone("has ended")) {
            Self::Started(orders, replies) => {
                (ChildStdin::from_std(orders)?, ChildStdout::from_std(replies)?)
            }
            Self::Ready(orders, replies) => (orders, replies),
            Self::Gone(_) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        protocol::write_order(&mut orders, limit).await?;
        let reply = protocol::read_reply(&mut replies).await?;
        *self = Self::Ready(orders, replies);
        Ok(reply)
    }
}

impl PartialEq for Helper {
    /// The same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Helper {}

impl fmt::Debug for Helper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Helper(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_is_told_from_one_that_has_ended() {
        let start = |program: &str| {
            let mut command = Command::new(program);
            let mut child =
                command.arg("1000").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let pipes = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            (child, Helper(Arc::new(Mutex::new(State::Started(pipes.0, pipes.1)))))
        };
        for (program, reason) in [("sleep", "does not answer"), ("true", "has ended")] {
            let (mut child, helper) = start(program);
            if program == "true" {
                child.wait().unwrap();
            }
            // Once it is gone, it stays so.
            for _ in 0..2 {
                let answer = helper.run(Duration::from_secs(1)).await;
                assert!(
                    matches!(answer, Err(RunError::Gone(said)) if said == reason),
                    "{answer:?}"
                );
            }
            let _ = child.kill();
            child.wait().unwrap();
        }
    }
}
