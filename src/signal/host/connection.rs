//! One WebSocket of the host: a reader that feeds the owner, a writer that empties its queue.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::{Input, QueuedBytes};
use crate::signal::room::ConnectionId;

/// Messages not yet written to one connection.
const QUEUE_MESSAGES_MAX: usize = 256;
/// Bytes not yet written to one connection; with more it is too slow (H-13).
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Keeps middleboxes from forgetting the connection, and shows whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Nothing read for this long, three pings: the other side is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// One message must leave within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// After the goodbye the other side has this long to close.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// The queue to one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Bytes>,
    queued: QueuedBytes,
}

impl Outgoing {
    /// Queues a message; false if there is no room.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let size = bytes.len();
        if self.queued.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES_MAX {
            self.queued.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        match self.queue.try_send(bytes) {
            // A closed queue belongs to a connection that is ending anyway.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }
}

/// Serves one WebSocket until either side ends it. `first` is the message that came with its request.
pub(super) async fn serve(
    socket: WebSocket,
    address: IpAddr,
    first: Option<Bytes>,
    inputs: mpsc::Sender<Input>,
) {
    let (queue, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let queued = QueuedBytes::default();
    let (id, answered) = oneshot::channel();
    let outgoing = Outgoing { queue, queued: queued.clone() };
    if inputs.send(Input::Connected { address, outgoing, connection: id }).await.is_err() {
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
        () = read(&mut stream, connection, &inputs) => {}
        () = write(sink, messages, &queued) => linger(&mut stream).await,
    }
    // Fails only when the host has stopped.
    let _ = inputs.send(Input::Disconnected { connection }).await;
}

async fn read(
    stream: &mut SplitStream<WebSocket>,
    connection: ConnectionId,
    inputs: &mpsc::Sender<Input>,
) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await {
        let input = match message {
            Message::Binary(bytes) => Input::Message { connection, bytes },
            // The library answers it, which is work, so it counts against the rate.
            Message::Ping(_) => Input::Ping { connection },
            Message::Pong(_) => continue,
            Message::Text(_) | Message::Close(_) => return,
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}

/// Reads on, to no purpose but this: a socket closed with something unread is reset, and a reset takes the goodbye
/// from the other side's buffer before it was read.
async fn linger(stream: &mut SplitStream<WebSocket>) {
    let deadline = Instant::now() + LINGER_TIME;
    while let Ok(Some(Ok(_))) = timeout_at(deadline, stream.next()).await {}
}

/// Writes until the owner drops the queue, then closes.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut messages: mpsc::Receiver<Bytes>,
    queued: &QueuedBytes,
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
        queued.fetch_sub(size, Ordering::Relaxed);
        if last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}
