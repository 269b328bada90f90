//! One WebSocket of the host: a reader that feeds the owner, a writer that empties its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::Input;
use super::admission::Place;
use crate::signal::room::ConnectionId;

/// Messages not yet written to one connection.
const QUEUE_MESSAGES_MAX: usize = 256;
/// Bytes not yet written to one connection; with more it is too slow (H-13).
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes not yet written to all connections together.
const UNWRITTEN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// One connection may have this part of what is free of that, so that many slow ones leave something to the others.
const UNWRITTEN_PART: usize = 16;
/// Keeps middleboxes from forgetting the connection, and shows whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Nothing read for this long, three pings: the other side is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// One message must leave within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// After the goodbye the other side has this long to close.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Bytes not yet written, to all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

/// What one connection has of it; given back when dropped.
#[derive(Debug)]
struct Unwritten {
    all: Budget,
    own: AtomicUsize,
}

/// The queue to one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Bytes>,
    unwritten: Arc<Unwritten>,
}

impl Unwritten {
    /// Takes `size`, if the connection may have that much.
    fn take(&self, size: usize) -> bool {
        let all = self.all.0.fetch_add(size, Ordering::Relaxed) + size;
        let own = self.own.fetch_add(size, Ordering::Relaxed) + size;
        let free = UNWRITTEN_BYTES_MAX.saturating_sub(all - own.min(all));
        let has_room = own <= QUEUE_BYTES_MAX.min(free / UNWRITTEN_PART);
        if !has_room {
            self.give_back(size);
        }
        has_room
    }

    fn give_back(&self, size: usize) {
        self.all.0.fetch_sub(size, Ordering::Relaxed);
        self.own.fetch_sub(size, Ordering::Relaxed);
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.all.0.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

impl Outgoing {
    fn new(all: Budget) -> (Self, mpsc::Receiver<Bytes>) {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let unwritten = Arc::new(Unwritten { all, own: AtomicUsize::new(0) });
        (Self { queue, unwritten }, messages)
    }

    /// Queues a message; false if there is no room.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let size = bytes.len();
        if !self.unwritten.take(size) {
            return false;
        }
        let pushed = self.queue.try_send(bytes);
        if pushed.is_err() {
            self.unwritten.give_back(size);
        }
        // A closed queue belongs to a connection that is ending anyway.
        !matches!(pushed, Err(mpsc::error::TrySendError::Full(_)))
    }
}

/// Serves one WebSocket until either side ends it. `first` is the message that came with its request.
pub(super) async fn serve(
    socket: WebSocket,
    place: &Place,
    first: Option<Bytes>,
    inputs: mpsc::Sender<Input>,
    all_unwritten: Budget,
) {
    let (outgoing, messages) = Outgoing::new(all_unwritten);
    let unwritten = Arc::clone(&outgoing.unwritten);
    let (id, answered) = oneshot::channel();
    if inputs
        .send(Input::Connected { from: place.subscriber(), outgoing, connection: id })
        .await
        .is_err()
    {
        return;
    }
    let Ok(connection) = answered.await else {
        return;
    };
    if let Some(bytes) = first
        && inputs.send(Input::Message { connection, bytes }).await.is_err()
    {
        return;
    }
    let (sink, mut stream) = socket.split();
    tokio::select! {
        () = read(&mut stream, place, connection, &inputs) => {}
        () = write(sink, messages, &unwritten) => linger(&mut stream).await,
    }
    // Fails only when the host has stopped.
    let _ = inputs.send(Input::Disconnected { connection }).await;
}

async fn read(
    stream: &mut SplitStream<WebSocket>,
    place: &Place,
    connection: ConnectionId,
    inputs: &mpsc::Sender<Input>,
) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await {
        place.hear();
        let input = match message {
            Message::Binary(bytes) => Input::Message { connection, bytes },
            // Work, too, and the library answers pings: they count against the rate.
            Message::Ping(_) | Message::Pong(_) => Input::Control { connection },
            Message::Text(_) | Message::Close(_) => return,
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}

/// Reads on, to no purpose but this: a socket closed with something unread is reset, and a reset takes the goodbye
/// from the other side's buffer before it was read.
///
/// Nothing of it is heard, so its place bounds it: whoever floods is not listening.
async fn linger(stream: &mut SplitStream<WebSocket>) {
    let deadline = Instant::now() + LINGER_TIME;
    while let Ok(Some(Ok(_))) = timeout_at(deadline, stream.next()).await {
        // What comes of one read is no reason to wait, and so none to let others go on.
        consume_budget().await;
    }
}

/// Writes until the owner drops the queue, then closes.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut messages: mpsc::Receiver<Bytes>,
    unwritten: &Unwritten,
) {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, size) = tokio::select! {
            biased;
            bytes = messages.recv() => match bytes {
                Some(bytes) => (Message::Binary(bytes.clone()), bytes.len()),
                None => (Message::Close(None), 0),
            },
            _ = pings.tick() => (Message::Ping(Bytes::new()), 0),
        };
        let last = matches!(message, Message::Close(_));
        let written = timeout(WRITE_TIMEOUT, sink.send(message)).await;
        unwritten.give_back(size);
        if last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H-13: slow readers share a budget, and always leave something of it.
    #[test]
    fn many_slow_readers_leave_room_for_others() {
        let budget = Budget::default();
        let message = Bytes::from(vec![0; 4_096]);
        let fill =
            |outgoing: &Outgoing| (0..).take_while(|_| outgoing.push(message.clone())).count();
        let slow: Vec<_> = (0..1_000).map(|_| Outgoing::new(budget.clone())).collect();
        assert_eq!(fill(&slow[0].0), 256, "alone it has its megabyte");
        let rest: usize = slow[1..].iter().map(|(outgoing, _)| fill(outgoing)).sum();
        let unwritten = budget.0.load(Ordering::Relaxed);
        assert_eq!(unwritten, (256 + rest) * message.len());
        assert!(unwritten < UNWRITTEN_BYTES_MAX, "{unwritten}");
        let newcomer = Outgoing::new(budget.clone());
        assert!(newcomer.0.push(message.slice(..100)));
        drop((slow, newcomer));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
