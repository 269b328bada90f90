//! Work that a host asks for, on a thread of its own.

use crate::event::Event;
use crate::session::meeting::Work;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// Work that takes longer is told to the user.
const PATIENCE: Duration = Duration::from_secs(1);

/// The work under way, one at a time.
#[derive(Debug, Default)]
pub(super) struct Working(Option<Job>);

#[derive(Debug)]
struct Job {
    work: Work,
    abandoned: Arc<AtomicBool>,
    solved: oneshot::Receiver<Option<u64>>,
    tell_at: Option<Instant>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Worked {
    Done(Work, u64),
    /// It takes long.
    Slow(Event),
    /// It was given up: the thread ended.
    Never,
}

impl Working {
    /// Begins `work`; what was under way is of no use any more.
    pub(super) fn begin(&mut self, work: Work) {
        let abandoned = Arc::new(AtomicBool::new(false));
        let (answer, solved) = oneshot::channel();
        let is_over = Arc::clone(&abandoned);
        tokio::task::spawn_blocking(move || {
            // A run that has ended does not ask.
            let _ = answer.send(work.challenge.solve(work.bits, &is_over));
        });
        let tell_at = Some(Instant::now() + PATIENCE);
        self.0 = Some(Job { work, abandoned, solved, tell_at });
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the next thing to know of it. Cancel safe.
    pub(super) async fn next(&mut self) -> Worked {
        let Some(job) = &mut self.0 else { return std::future::pending().await };
        let late = async {
            match job.tell_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let solved = tokio::select! {
            solved = &mut job.solved => solved,
            () = late => {
                job.tell_at = None;
                let message = "the host is under attack and wants some work to be shown first; this takes a few seconds";
                let (code, message) = ("work".to_owned(), message.to_owned());
                return Worked::Slow(Event::Warning { code, message });
            }
        };
        let work = job.work;
        self.0 = None;
        match solved {
            Ok(Some(nonce)) => Worked::Done(work, nonce),
            Ok(None) | Err(_) => Worked::Never,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::work::{BITS_MAX, Challenge};

    fn work(bits: u8) -> Work {
        Work { number: 7, challenge: Challenge([1; 32]), bits }
    }

    #[tokio::test]
    async fn work_is_done_and_only_the_last_counts() {
        let mut working = Working::default();
        working.begin(work(BITS_MAX));
        working.begin(work(8));
        let Worked::Done(done, nonce) = working.next().await else { panic!("not done") };
        assert_eq!(done, work(8));
        assert!(done.challenge.is_solved(8, nonce) && !working.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_told_once() {
        let mut working = Working::default();
        // Nobody solves this one: its thread only ends when it is given up.
        let (_answer, solved) = oneshot::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let tell_at = Some(Instant::now() + PATIENCE);
        let job = Job { work: work(20), abandoned: Arc::clone(&abandoned), solved, tell_at };
        working.0 = Some(job);
        assert!(matches!(working.next().await, Worked::Slow(_)));
        let again = tokio::time::timeout(Duration::from_secs(60), working.next()).await;
        assert!(again.is_err(), "{again:?}");
        drop(working);
        assert!(abandoned.load(Ordering::Relaxed));
    }
}
