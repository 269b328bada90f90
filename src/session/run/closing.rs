//! The end of a run: last words, stores, and what is left to be found again.

use super::{Ended, RoleActions, Runner, STOP_CLOSE};
use crate::error::{Error, ErrorKind};
use crate::platform::OsDirectory;
use crate::session::ending;
use crate::store::target::TargetStore;
use crate::transfer::message::ByeReason;
use crate::ui::Stop;
use std::time::Instant;

impl<R: RoleActions> Runner<R> {
    /// Ends the present link, without a word.
    pub(super) fn stop_link(&mut self) {
        self.around.relaying.forget_held();
        self.waiting.clear();
        self.unsent = None;
        if let Some(connection) = self.connection.take() {
            tokio::spawn(async move { connection.handle.close_now().await });
        }
    }

    /// The sender did not come back to hear that everything is here. What it said on the last link of this run is the truth of
    /// this run; what an earlier link or run finished may be outdated, and a sender that is not there says nothing: no success.
    pub(super) fn end_alone(&self) -> Result<(), Error> {
        if self.session.is_finished() {
            return Ok(());
        }
        let text = "everything that was sent is here and verified, but the sender has ended: nobody confirms that this is all";
        let discard = self.session.received_session().map_or_else(
            || "rejoin sessions discard".to_owned(),
            |session| format!("rejoin sessions discard {session}"),
        );
        Err(Error::new(ErrorKind::Interrupted, text).with_hint(format!(
            "if the sender ended with 0, nothing is left to do, and `{discard}` forgets the session; if not, run its command \
             again, and then this one"
        )))
    }

    /// Ends the run: the link says goodbye, the stores stop, what both sides know to be settled is forgotten.
    pub(super) async fn close(mut self, outcome: Result<(), Error>) -> Result<Ended, Error> {
        if let Err(error) = &outcome {
            self.session.handle_end(error, Instant::now());
            self.tell_last_progress().await;
            // What the machine asks for besides is of no interest any more.
            let _ = self.drain().await;
        }
        self.send_waiting();
        self.record_end(&ending::summary(&self.session, Instant::now()), &outcome).await;
        // Our last words there may be that a code is burnt.
        if self.host.take().is_some() {
            self.around.client.close().await;
        }
        if let Some(connection) = self.connection.take() {
            let handle = connection.handle;
            if outcome.is_ok() && self.around.target.is_some() {
                // A receiver heard the last word; a sender said it and lets it arrive.
                handle.close_now().await;
            } else if self.around.ui.stop().is_some() {
                // A peer that does not answer must not keep us from saying how to continue.
                let _ = tokio::time::timeout(STOP_CLOSE, handle.close()).await;
            } else {
                handle.close().await;
            }
        }
        let summary = ending::summary(&self.session, Instant::now());
        let target = match self.around.target.take() {
            Some(worker) => worker.stop().await,
            None => None,
        };
        if let Some(worker) = self.around.source.take() {
            worker.stop().await;
        }
        match outcome {
            Ok(()) if self.is_replaced => Ok(Ended::CodeOffered),
            Ok(()) if self.is_acknowledged => {
                self.around.role.on_done(summary.exit == 0).await;
                clean(target).await;
                Ok(Ended::Done(summary))
            }
            // The sender does not know yet: record and journal stay, so that its next run can be told.
            Ok(()) => Ok(Ended::Done(summary)),
            Err(mut error) => {
                // A refusal before anything was moved ends the session on both sides: nothing is to be continued.
                if error.kind == ErrorKind::Refused && self.session.progress().bytes == 0 {
                    self.around.role.forget().await;
                    clean(target).await;
                }
                if error.kind.is_retryable() && error.resume_command.is_none() {
                    error.resume_command = self.around.role.resume_command();
                }
                // What is kept makes it an interruption; without, nothing was started.
                if error.kind == ErrorKind::Unreachable && error.resume_command.is_some() {
                    error.kind = ErrorKind::Interrupted;
                }
                Err(error)
            }
        }
    }
}

/// What the other side is told of a run that is stopped.
pub(super) const fn last_word(stop: Stop) -> (ByeReason, &'static str) {
    match stop {
        Stop::Interrupt => (ByeReason::Stopped, ""),
        Stop::Terminate => (ByeReason::Terminated, ""),
        Stop::Hangup => (ByeReason::Terminated, "its terminal is gone"),
        Stop::Timeout => (ByeReason::TimedOut, ""),
    }
}

/// Removes what the session had in its target.
async fn clean(target: Option<TargetStore<OsDirectory>>) {
    let Some(store) = target else { return };
    let cleaned = tokio::task::spawn_blocking(move || store.cleanup()).await;
    if let Ok(Err(error)) = cleaned {
        tracing::warn!(target: "rejoin::store", %error, "the session's files were not removed");
    }
}
