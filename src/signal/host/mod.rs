//! I/O: the signaling host. An HTTP server around [`Rooms`], usable alone and inside `send`.
//!
//! One task owns the rooms; every WebSocket has a task that feeds it and a bounded queue that it fills. The owner
//! never waits for anybody: who does not read is closed.

mod admission;
mod connection;
#[cfg(test)]
mod fault_tests;
mod pages;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use admission::{Admission, Place};
use connection::{Budget, Outgoing, serve};
use server::Server;

use super::client::OwnHost;
use super::first_message;
use super::protocol::{HostMessage, MESSAGE_BYTES_MAX};
use super::room::{Command, ConnectionId, Counters, Gauges, Limits, Rooms};
use super::subscriber::Subscriber;

/// Inputs waiting for the owner: when it is full, sockets are read more slowly. Few: an honest message waits behind all of them.
const INPUTS_MAX: usize = 256;
/// How long a stopping host lets its members read the goodbye.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The address is in use, not ours, or not permitted.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running host. Dropping it stops it without a goodbye; [`shutdown`](Self::shutdown) says one.
#[derive(Debug)]
pub struct HostHandle {
    local_addr: SocketAddr,
    own: OwnHost,
    inputs: mpsc::Sender<Input>,
    stop: watch::Sender<bool>,
    admission: Arc<Admission>,
    server: JoinHandle<()>,
    owner: JoinHandle<()>,
}

/// What happens to the rooms, in one queue.
#[derive(Debug)]
enum Input {
    Connected {
        from: Subscriber,
        outgoing: Outgoing,
        connection: oneshot::Sender<ConnectionId>,
    },
    Message {
        connection: ConnectionId,
        bytes: Bytes,
    },
    Control {
        connection: ConnectionId,
    },
    Disconnected {
        connection: ConnectionId,
    },
    Snapshot {
        answer: oneshot::Sender<(Counters, Gauges)>,
    },
    Shutdown {
        retry_after: Duration,
    },
    #[cfg(test)]
    Fault(crate::signal::room::Fault),
}

#[derive(Clone)]
struct Shared {
    inputs: mpsc::Sender<Input>,
    /// What waits to be written, to all connections.
    unwritten: Budget,
}

/// The signaling host; see [`HostHandle`].
#[derive(Debug)]
pub struct Host;

impl Host {
    /// Listens and serves until the handle is shut down or dropped. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`HostError::Listen`] if the address cannot be had.
    pub async fn start(listen: SocketAddr, limits: Limits) -> Result<HostHandle, HostError> {
        let failed = |source| HostError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let (inputs, queue) = mpsc::channel(INPUTS_MAX);
        let (stop, stopped) = watch::channel(false);
        let limits = limits.within(open_files_max());
        let owner = tokio::spawn(Owner::new(limits).run(queue));
        let (own, accepted) = OwnHost::new();
        let admission = Admission::new(&limits);
        let shared = Shared { inputs: inputs.clone(), unwritten: Budget::default() };
        let server = Server {
            listener,
            own: accepted,
            admission: Arc::clone(&admission),
            router: router(shared),
            deadline: limits.join_deadline,
        };
        let server = tokio::spawn(server.run(stopped));
        tracing::info!(target: "rejoin::host", %local_addr, "listening");
        Ok(HostHandle { local_addr, own, inputs, stop, admission, server, owner })
    }
}

impl HostHandle {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The way in for this process: it needs no interface and no address.
    #[must_use]
    pub fn own(&self) -> OwnHost {
        self.own.clone()
    }

    /// Totals and present numbers; `None` once it has stopped.
    pub async fn snapshot(&self) -> Option<(Counters, Gauges)> {
        snapshot(&self.inputs).await
    }

    /// Stops: no new connections, every member is told when to come back, then all sockets are closed.
    pub async fn shutdown(mut self, retry_after: Duration) {
        self.stop.send_replace(true);
        let _ = self.inputs.send(Input::Shutdown { retry_after }).await;
        let goodbyes = async {
            let _ = (&mut self.owner).await;
            self.admission.all_closed().await;
        };
        // Whoever does not read its goodbye in time is cut off, here by drop.
        let _ = tokio::time::timeout(GOODBYE_TIME, goodbyes).await;
    }
}

impl Drop for HostHandle {
    fn drop(&mut self) {
        self.server.abort();
        self.owner.abort();
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/ws", get(websocket))
        .route("/healthz", get(pages::health))
        .route("/readyz", get(pages::ready))
        .route("/metrics", get(pages::metrics))
        .layer(map_response(pages::once))
        .with_state(shared)
}

/// Files that the system lets this process have open.
fn open_files_max() -> usize {
    crate::platform::open_files_max()
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

async fn websocket(
    upgrade: WebSocketUpgrade,
    Extension(place): Extension<Arc<Place>>,
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Response {
    let values = headers.get_all(first_message::NAME).iter();
    let first = first_message::decode(values.map(HeaderValue::as_bytes));
    let is_taken = first.is_some();
    let mut answer = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        // Buffers are allocated per connection, eagerly: the defaults would take 256 KiB of memory for each.
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            place.stay();
            serve(socket, &place, first, shared.inputs, shared.unwritten).await;
        });
    if is_taken {
        let taken = HeaderValue::from_static(first_message::TAKEN);
        answer.headers_mut().insert(first_message::NAME, taken);
    }
    answer
}

async fn snapshot(inputs: &mpsc::Sender<Input>) -> Option<(Counters, Gauges)> {
    let (answer, answered) = oneshot::channel();
    inputs.send(Input::Snapshot { answer }).await.ok()?;
    answered.await.ok()
}

/// The one task that owns the rooms.
struct Owner {
    rooms: Rooms,
    outgoing: BTreeMap<ConnectionId, Outgoing>,
    next_connection: u64,
}

impl Owner {
    fn new(limits: Limits) -> Self {
        Self {
            rooms: Rooms::new(limits, seed(), Instant::now()),
            outgoing: BTreeMap::new(),
            next_connection: 0,
        }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Input>) {
        loop {
            let deadline = self.rooms.poll_timeout();
            let timeout = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                input = queue.recv() => match input {
                    Some(input) => Some(input),
                    None => return,
                },
                () = timeout => None,
            };
            let last = matches!(input, Some(Input::Shutdown { .. }));
            // A fault of ours in one room must not end the others (K-42).
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                self.apply(input, Instant::now());
                self.drain(Instant::now());
            }));
            if outcome.is_err() {
                tracing::error!(target: "rejoin::host", "a request failed inside the host");
                // What it was about ends, so that it does not fail again; if that fails, it stays as it is.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    self.rooms.handle_fault(Instant::now());
                    self.drain(Instant::now());
                }));
            }
            if last {
                return;
            }
        }
    }

    fn apply(&mut self, input: Option<Input>, now: Instant) {
        match input {
            None => self.rooms.handle_timeout(now),
            Some(Input::Connected { from, outgoing, connection }) => {
                self.next_connection += 1;
                let id = ConnectionId(self.next_connection);
                if connection.send(id).is_ok() {
                    self.outgoing.insert(id, outgoing);
                    self.rooms.handle_connected(id, from, now);
                }
            }
            Some(Input::Message { connection, bytes }) => {
                self.rooms.handle_message(connection, &bytes, random(), now);
            }
            Some(Input::Control { connection }) => self.rooms.handle_control(connection, now),
            Some(Input::Disconnected { connection }) => {
                self.outgoing.remove(&connection);
                self.rooms.handle_disconnected(connection, now);
            }
            Some(Input::Snapshot { answer }) => {
                // Whoever asked may have left.
                let _ = answer.send((self.rooms.counters(), self.rooms.gauges()));
            }
            #[cfg(test)]
            Some(Input::Fault(fault)) => self.rooms.inject(fault),
            Some(Input::Shutdown { retry_after }) => self.rooms.handle_shutdown(retry_after, now),
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(command) = self.rooms.poll_command() {
            match command {
                Command::Send { connection, message } => {
                    if !self.send(connection, &message) {
                        self.rooms.handle_slow(connection, now);
                    }
                }
                Command::Close { connection, reason } => {
                    tracing::debug!(target: "rejoin::host", ?connection, %reason, "closing");
                    self.send(connection, &HostMessage::Goodbye { reason });
                    // With its queue ends the connection, once the queue is written.
                    self.outgoing.remove(&connection);
                }
            }
        }
    }

    /// Queues a message; false if the connection has too much unread.
    fn send(&self, connection: ConnectionId, message: &HostMessage) -> bool {
        let Some(outgoing) = self.outgoing.get(&connection) else {
            return true;
        };
        match message.encode() {
            Ok(bytes) => outgoing.push(bytes.into()),
            Err(error) => {
                tracing::error!(target: "rejoin::host", %error, "a message has no byte form");
                true
            }
        }
    }
}

/// What challenges are made from.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // Without randomness an attacker could work in advance, which is no worse than no price.
    let _ = getrandom::fill(&mut seed);
    seed
}

fn random() -> u32 {
    // Only spreads room numbers; without randomness they are merely guessable in order.
    getrandom::u32().unwrap_or_default()
}
