//! Asks a source for credentials: what is fixed, what is derived, or what a command prints, which the helper runs
//! ([`crate::helper`]).

use super::grant::{Grant, GrantError};
use crate::helper::{Helper, RunError};
use crate::options::TurnSource;
use crate::session::surroundings::unix_time;
use std::time::Duration;
use thiserror::Error;

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
    /// There is no helper that could run it.
    #[error("the credentials command cannot be run: no process could be started for it")]
    NoHelper,
    /// It gave nothing.
    #[error("the credentials command {0}")]
    Run(#[from] RunError),
    /// All tries together took too long.
    #[error("the credentials command took longer than {} s", TOTAL_TIMEOUT.as_secs())]
    Timeout,
    /// It printed something else.
    #[error(transparent)]
    Answer(#[from] GrantError),
}

/// The helper gives what is taken of an answer, and no more.
const _: () = assert!(super::grant::ANSWER_BYTES_MAX == crate::helper::OUTPUT_BYTES_MAX);

/// Asks `source`, within 15 s; `helper` runs the command, if it is one.
pub(in crate::session) async fn ask(
    source: &TurnSource,
    helper: Option<&Helper>,
) -> Result<Grant, SourceError> {
    match source {
        TurnSource::None => Err(SourceError::None),
        TurnSource::Fixed { credentials, .. } => Ok(Grant::fixed(credentials)),
        TurnSource::SharedSecret(secret) => Ok(Grant::derived(secret, unix_time())),
        TurnSource::Command(_) => {
            let helper = helper.ok_or(SourceError::NoHelper)?;
            let repeated = tokio::time::timeout(TOTAL_TIMEOUT, repeat(helper)).await;
            repeated.unwrap_or(Err(SourceError::Timeout))
        }
    }
}

async fn repeat(helper: &Helper) -> Result<Grant, SourceError> {
    let mut run = 1;
    loop {
        let error = match run_once(helper).await {
            Ok(grant) => return Ok(grant),
            Err(error) => error,
        };
        tracing::info!(target: "rejoin::turn", %error, run, "no credentials");
        // A program that is not there will not be there in a second.
        let is_final = matches!(error, SourceError::Run(RunError::Start(_) | RunError::Gone(_)));
        if run == RUNS || is_final {
            return Err(error);
        }
        run += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn run_once(helper: &Helper) -> Result<Grant, SourceError> {
    let answer = match helper.run(RUN_TIMEOUT).await {
        Err(RunError::TooLong) => return Err(GrantError::TooLong.into()),
        answer => answer?,
    };
    Ok(Grant::parse(&answer, unix_time())?)
}
