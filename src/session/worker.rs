//! A store on a thread of its own: requests in order, replies in order, bounded both ways.

use super::machine::DiskLoad;
use crate::transfer::disk::Cost;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Requests on their way to the thread. What waits for room among them is bounded by the session, which reads nothing from its
/// peer while the [load](Worker::load) is too high.
const REQUESTS_MAX: usize = 256;

/// Replies on their way back.
const REPLIES_MAX: usize = 64;

/// A thread that carries out requests of one store.
#[derive(Debug)]
pub(super) struct Worker<Request, Reply, Store> {
    requests: Option<mpsc::Sender<Request>>,
    replies: mpsc::Receiver<Reply>,
    waiting: VecDeque<Request>,
    thread: Option<JoinHandle<Store>>,
    pending: Arc<Pending>,
}

/// Requests that are not carried out yet, and what they cost.
#[derive(Debug, Default)]
struct Pending {
    requests: AtomicUsize,
    bytes: AtomicU64,
}

impl<Request, Reply, Store> Worker<Request, Reply, Store>
where
    Request: Cost + Send + 'static,
    Reply: Send + 'static,
    Store: Send + 'static,
{
    /// Starts the thread over `store`; `handle` gives the replies to a request.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn start(
        name: &str,
        mut store: Store,
        mut handle: impl FnMut(&mut Store, Request, &mut dyn FnMut(Reply)) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, mut asked) = mpsc::channel::<Request>(REQUESTS_MAX);
        let (answers, replies) = mpsc::channel(REPLIES_MAX);
        let pending = Arc::new(Pending::default());
        let left = Arc::clone(&pending);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut is_heard = true;
            while is_heard && let Some(request) = asked.blocking_recv() {
                let cost = request.cost();
                handle(&mut store, request, &mut |reply| {
                    is_heard &= answers.blocking_send(reply).is_ok();
                });
                left.requests.fetch_sub(1, Ordering::Relaxed);
                left.bytes.fetch_sub(cost, Ordering::Relaxed);
            }
            store
        })?;
        Ok(Self {
            requests: Some(requests),
            replies,
            waiting: VecDeque::new(),
            thread: Some(thread),
            pending,
        })
    }

    /// Asks for something; never waits.
    pub(super) fn ask(&mut self, request: Request) {
        self.pending.requests.fetch_add(1, Ordering::Relaxed);
        self.pending.bytes.fetch_add(request.cost(), Ordering::Relaxed);
        self.waiting.push_back(request);
        self.flush();
    }

    /// What it has to do.
    pub(super) fn load(&self) -> DiskLoad {
        DiskLoad {
            requests: self.pending.requests.load(Ordering::Relaxed),
            bytes: self.pending.bytes.load(Ordering::Relaxed),
        }
    }

    /// Hands over what fits.
    fn flush(&mut self) {
        let Some(requests) = &self.requests else { return };
        while !self.waiting.is_empty()
            && let Ok(permit) = requests.try_reserve()
        {
            if let Some(request) = self.waiting.pop_front() {
                permit.send(request);
            }
        }
    }

    /// The next reply. May be cancelled without losing one.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        self.flush();
        // A full channel empties only as replies are made, so the next flush comes with the next reply.
        self.replies.recv().await
    }

    /// Ends the thread when it has done what it was asked, and gives the store back.
    pub(super) async fn stop(mut self) -> Option<Store> {
        let Self { replies, waiting, .. } = &mut self;
        waiting.clear();
        replies.close();
        self.requests = None;
        let thread = self.thread.take()?;
        tokio::task::spawn_blocking(move || thread.join().ok()).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::disk::TargetRequest;

    /// S-03: what waits for the disk is known by what it takes, until it is done.
    #[test]
    fn the_load_is_in_bytes_and_ends() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let store = std::sync::Mutex::new(wait);
        let mut worker = Worker::start("test", store, |store, _request, answer| {
            let _ = store.get_mut().map(|wait| wait.recv());
            answer(());
        })
        .expect("a thread");
        for number in 0..1_000 {
            let encoded = vec![0; 10_000].into();
            worker.ask(TargetRequest::KeepPage { number, encoded });
        }
        let load = worker.load();
        assert_eq!(load.requests, 1_000);
        assert!((10_000_000..11_000_000).contains(&load.bytes), "{load:?}");
        drop(done);
        for _ in 0..1_000 {
            worker.flush();
            assert_eq!(worker.replies.blocking_recv(), Some(()));
        }
        drop(worker.requests.take());
        assert!(worker.thread.take().is_some_and(|thread| thread.join().is_ok()));
        assert_eq!(worker.load(), DiskLoad::default());
    }
}
