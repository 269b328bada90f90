//! The session's end of the conversation with a user interface: facts out, questions out, the wish to stop in.
//!
//! Both queues are bounded, and a person or a pipe that does not read never holds up a transfer (P-14): `Progress` is
//! dropped at once where there is no room, everything else after `PATIENCE`, and what was dropped is counted and reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::question::{Conflict, ConflictAnswer, Consent, Offer, Question};

/// Events under way to the interface: a burst of small files, not a backlog.
const EVENTS_MAX: usize = 1024;
/// Questions under way; a session asks one at a time.
const QUESTIONS_MAX: usize = 1;
/// How long a full queue may hold up the session, once, before events are dropped instead.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT, or Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// `--timeout` ran out.
    Timeout,
}

/// The session's end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ui {
    events: mpsc::Sender<Event>,
    questions: mpsc::Sender<Question>,
    stop: watch::Receiver<Option<Stop>>,
    restart: watch::Receiver<u64>,
    backlog: Arc<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    stalled: AtomicBool,
    dropped: AtomicU64,
}

/// A person's wishes to have the path renewed, from when this was made.
#[derive(Clone, Debug)]
pub struct Restarts {
    counted: watch::Receiver<u64>,
}

impl Restarts {
    /// The next one; never, where the interface has gone. Several in a row count as one. Cancel safe.
    pub async fn next(&mut self) {
        if self.counted.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The interface's end.
#[derive(Debug)]
pub struct UiPeer {
    /// What the session tells.
    pub events: mpsc::Receiver<Event>,
    /// What it asks.
    pub questions: mpsc::Receiver<Question>,
    /// Set once to end the run; the session then answers with `ErrorKind::Interrupted` soon.
    pub stop: watch::Sender<Option<Stop>>,
    /// Counted up whenever a person wants the path renewed.
    pub restart: watch::Sender<u64>,
}

/// A connected pair.
#[must_use]
pub fn pair() -> (Ui, UiPeer) {
    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let (questions_in, questions) = mpsc::channel(QUESTIONS_MAX);
    let (stop, stopped) = watch::channel(None);
    let (restart, restarts) = watch::channel(0);
    let ui = Ui {
        events: events_in,
        questions: questions_in,
        stop: stopped,
        restart: restarts,
        backlog: Arc::default(),
    };
    let peer = UiPeer { events, questions, stop, restart };
    (ui, peer)
}

impl Ui {
    /// Tells a fact. Waits at most `PATIENCE` where the interface does not keep up, and then not again until it does.
    pub async fn emit(&self, event: Event) {
        self.report_dropped();
        let event = match self.events.try_send(event) {
            Ok(()) => return self.backlog.stalled.store(false, Ordering::Relaxed),
            Err(mpsc::error::TrySendError::Closed(_)) => return,
            Err(mpsc::error::TrySendError::Full(event)) => event,
        };
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let is_stalled = self.backlog.stalled.load(Ordering::Relaxed);
        if is_stalled || self.events.send_timeout(event, PATIENCE).await.is_err() {
            self.backlog.stalled.store(true, Ordering::Relaxed);
            self.backlog.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks whether to receive. An `Err` ends the run as it is.
    ///
    /// # Errors
    /// Nobody could be asked, or the interface is gone: `ErrorKind::Refused`.
    pub async fn ask_consent(&self, offer: Offer) -> Result<Consent, Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Question::Accept { offer, reply }, answer).await
    }

    /// Asks what to do about an existing file. An `Err` ends the run as it is.
    ///
    /// # Errors
    /// The interface is gone: `ErrorKind::Refused`.
    pub async fn ask_conflict(&self, conflict: Conflict) -> Result<ConflictAnswer, Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Question::Conflict { conflict, reply }, answer).await
    }

    /// Why the run is to stop, if it is.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Resolves when the run is to stop; never, where the interface has gone without saying so.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        let cause = stop.wait_for(Option::is_some).await.ok().and_then(|cause| *cause);
        match cause {
            Some(cause) => cause,
            None => std::future::pending().await,
        }
    }

    /// Follows the wish to have the path renewed.
    #[must_use]
    pub fn restarts(&self) -> Restarts {
        Restarts { counted: self.restart.clone() }
    }

    async fn ask<T>(
        &self,
        question: Question,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        let gone = || Error::new(ErrorKind::Refused, "nobody is there to answer a question");
        self.questions.send(question).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Says how many events were lost, as soon as there is room to say it.
    fn report_dropped(&self) {
        let dropped = self.backlog.dropped.load(Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        let warning = Event::Warning {
            code: "events_dropped".to_owned(),
            message: format!("the output was not read; {dropped} events were left out"),
        };
        if self.events.try_send(warning).is_ok() {
            self.backlog.dropped.fetch_sub(dropped, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Event {
        Event::Progress {
            bytes: 1,
            durable_bytes: 0,
            total_bytes: 2,
            files: 0,
            total_files: 1,
            rate_bps: 0,
            eta_s: None,
            rtt_ms: 0.0,
            stripes: 1,
        }
    }

    fn manual(n: usize) -> Event {
        Event::Manual { command: n.to_string() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_that_does_not_read_costs_one_wait_and_is_told_what_it_missed() {
        let (ui, mut peer) = pair();
        for n in 0..EVENTS_MAX {
            ui.emit(manual(n)).await;
        }
        ui.emit(progress()).await;
        let before = tokio::time::Instant::now();
        for n in 0..50 {
            ui.emit(manual(n)).await;
        }
        assert_eq!(before.elapsed(), PATIENCE, "only the first one waits");
        for n in 0..EVENTS_MAX {
            assert_eq!(peer.events.recv().await, Some(manual(n)));
        }
        ui.emit(manual(7)).await;
        let Some(Event::Warning { code, message }) = peer.events.recv().await else {
            panic!("no warning");
        };
        assert_eq!(code, "events_dropped");
        assert!(message.contains(" 50 "), "{message}");
        assert_eq!(peer.events.recv().await, Some(manual(7)));
        ui.emit(manual(8)).await;
        assert_eq!(peer.events.recv().await, Some(manual(8)), "the warning comes once");
    }

    #[tokio::test]
    async fn a_question_without_an_interface_is_a_refusal() {
        let (ui, peer) = pair();
        drop(peer);
        let error = ui.ask_consent(Offer::default()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[tokio::test]
    async fn stop_reaches_whoever_waits_and_whoever_looks() {
        let (ui, peer) = pair();
        assert_eq!(ui.stop(), None);
        let waiting = tokio::spawn({
            let ui = ui.clone();
            async move { ui.stopped().await }
        });
        peer.stop.send_replace(Some(Stop::Terminate));
        assert_eq!(waiting.await.unwrap(), Stop::Terminate);
        assert_eq!(ui.stop(), Some(Stop::Terminate));
    }
}
