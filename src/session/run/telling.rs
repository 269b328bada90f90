//! Where the loop tells a fact: to the interface, and to what counts (`stats`, the attempts of the record).

use super::{RoleActions, Runner};
use crate::error::Error;
use crate::event::{Event, Summary};
use crate::session::surroundings::{State, unix_millis, unix_time};
use crate::session::tally::Tally;
use crate::store::state::StateError;
use crate::store::statistics::Statistics;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often what was counted is stored while a run goes on.
const STORE_EVERY: Duration = Duration::from_secs(30);

/// How long the end of a run may wait for it; one that was stopped has 1.5 s in all.
const LAST_WORD: Duration = Duration::from_secs(1);
const LAST_WORD_STOPPED: Duration = Duration::from_millis(300);

/// Tries to get at the file, and the wait between them, on a thread of its own.
const TRIES: u32 = 30;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// Counts, and stores what was counted; never in the way of a transfer.
pub(in crate::session) struct Recorder {
    state: State,
    tally: Tally,
    next: Instant,
    /// The storing under way: gives back what could not be stored.
    storing: Option<JoinHandle<Option<Statistics>>>,
}

impl Recorder {
    pub(in crate::session) fn new(state: State, is_resumed: bool) -> Self {
        let now = Instant::now();
        Self { state, tally: Tally::new(is_resumed, now), next: now + STORE_EVERY, storing: None }
    }

    fn store(&mut self) {
        let Some(share) = self.tally.take_share(unix_time()) else { return };
        let state = self.state.clone();
        self.storing = Some(tokio::task::spawn_blocking(move || store(&state, share)));
    }

    async fn settle(&mut self) {
        if let Some(storing) = self.storing.take()
            && let Ok(Some(share)) = storing.await
        {
            self.tally.give_back(&share);
        }
    }
}

/// Adds a share; what comes back could not be added now. One that never can be is dropped.
fn store(state: &State, share: Statistics) -> Option<Statistics> {
    for _ in 0..TRIES {
        match state.add_statistics(&share) {
            Ok(true) => return None,
            Ok(false) => std::thread::sleep(BETWEEN_TRIES),
            Err(error) => {
                log_failure(&error);
                return None;
            }
        }
    }
    Some(share)
}

fn log_failure(error: &StateError) {
    tracing::info!(target: "rejoin::store", %error, "the statistics were not stored");
}

impl<R: RoleActions> Runner<R> {
    /// Tells a fact.
    pub(super) async fn tell(&mut self, event: Event) {
        let recorder = &mut self.around.recorder;
        recorder.tally.handle_event(&event, Instant::now(), unix_millis());
        self.around.ui.emit(event).await;
    }

    /// Stores what was counted, when it is time.
    pub(super) async fn record(&mut self, now: Instant) {
        if now < self.around.recorder.next {
            return;
        }
        self.around.recorder.next = now + STORE_EVERY;
        self.keep_attempts();
        let recorder = &mut self.around.recorder;
        if recorder.storing.as_ref().is_none_or(JoinHandle::is_finished) {
            recorder.settle().await;
            recorder.store();
        }
    }

    pub(super) fn keep_attempts(&mut self) {
        let attempts = self.around.recorder.tally.take_attempts();
        if !attempts.is_empty() {
            self.around.role.note(|record| {
                attempts.into_iter().for_each(|attempt| record.add_attempt(attempt));
            });
        }
    }

    /// The run is over: what it counted is stored, before the record may go.
    pub(super) async fn record_end(&mut self, summary: &Summary, outcome: &Result<(), Error>) {
        let cause = outcome.as_ref().err().map(|error| error.kind.name());
        let is_stopped = self.around.ui.stop().is_some();
        let limit = if is_stopped { LAST_WORD_STOPPED } else { LAST_WORD };
        let recorder = &mut self.around.recorder;
        recorder.tally.handle_end(summary, cause);
        let last = async {
            recorder.settle().await;
            recorder.store();
            recorder.settle().await;
        };
        if tokio::time::timeout(limit, last).await.is_err() {
            tracing::info!(target: "rejoin::store", "the statistics were not stored in time");
        }
        self.keep_attempts();
    }
}
