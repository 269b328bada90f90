//! I/O: the WebSocket to a host. Connects, reports, reconnects; entering rooms again is the caller's work on
//! [`ClientEvent::Connected`]. What it would say first it may tell beforehand: then that is in the host's hands already.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::code::HostAddress;
use super::codec::CodecError;
use super::first_message;
use super::protocol::{ClientMessage, CloseReason, HostMessage, MESSAGE_BYTES_MAX};
pub use super::retry::Pace;
use super::retry::Retry;

/// One address, from resolving its name to the WebSocket being open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest a host may ask us to stay away.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Own pings, so that a dead connection is noticed without trusting the host to ping.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Nothing read for this long: lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// One message must leave within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left to say must leave within this time when the caller goes.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Events the caller has not taken yet; when full, the socket is not read.
const EVENTS_MAX: usize = 256;
/// Messages not yet written.
const OUTGOING_MAX: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What happened to the connection.
#[derive(Debug)]
pub enum ClientEvent {
    /// Open: enter the rooms now, whatever was told beforehand. Earlier [`HostConnection`]s are of no use any more.
    Connected(HostConnection),
    /// The host said something on the newest connection.
    Message(HostMessage),
    /// The connection is gone; the next try follows.
    Lost {
        /// Why.
        reason: LossReason,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Every address was tried and none answered; the next round follows.
    Unreachable {
        /// What went wrong at each, in order.
        errors: Vec<(HostAddress, ConnectError)>,
        /// When they are tried again.
        retry_in: Duration,
    },
    /// The host does not want us back as we are; the client has stopped.
    Stopped(CloseReason),
}

/// Why one address could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    /// Refused, unreachable, not a host, or its certificate is not trusted.
    #[error("{0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
}

/// Why an open connection was lost.
#[derive(Debug, thiserror::Error)]
pub enum LossReason {
    /// The host closed it and said why.
    #[error("{0}")]
    Goodbye(CloseReason),
    /// It ended without a word.
    #[error("the host closed the connection")]
    Closed,
    /// Nothing came for too long.
    #[error("the host is silent")]
    Silent,
    /// The caller named other hosts.
    #[error("another host is tried")]
    Moved,
    /// The socket failed, or the host exceeded a limit of ours.
    #[error("{0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// The host sent what is no message of this version.
    #[error("the host sent an unusable message: {0}")]
    Codec(#[from] CodecError),
}

/// Why a message was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// This connection is gone; the next [`ClientEvent::Connected`] brings another.
    #[error("the connection to the host is lost")]
    Lost,
    /// More waits to be written than a member has to say.
    #[error("too many messages wait to be sent to the host")]
    Full,
}

/// One open connection: what is sent on it is never sent on a later one, where its rooms are not entered yet.
#[derive(Clone, Debug)]
pub struct HostConnection {
    address: HostAddress,
    outgoing: mpsc::Sender<ClientMessage>,
}

/// Keeps a connection to the first of several hosts that answers. Dropping it closes the connection.
#[derive(Debug)]
pub struct Client {
    events: mpsc::Receiver<ClientEvent>,
    control: watch::Sender<Control>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Control {
    addresses: Arc<[HostAddress]>,
    pace: Pace,
    nudges: u64,
    is_leaving: bool,
}

impl HostConnection {
    /// The host's address.
    #[must_use]
    pub const fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Hands over a message; does not wait.
    ///
    /// # Errors
    /// [`SendError::Lost`] if this connection has ended, [`SendError::Full`] if it does not keep up.
    pub fn send(&self, message: ClientMessage) -> Result<(), SendError> {
        self.outgoing.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Lost,
        })
    }
}

impl Client {
    /// Starts connecting to `addresses`, in order. The requests of the first round have `first` with them: what the caller
    /// says first. It says it all the same once it is connected; what the host has already is not sent again.
    ///
    /// The first round only: a host that stood still has the requests of all tries when it goes on, and one that was given up
    /// must not replace the member whose connection is open.
    #[must_use]
    pub fn start(addresses: Vec<HostAddress>, first: Option<ClientMessage>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let addresses = addresses.into();
        let wanted = Control { addresses, pace: Pace::Urgent, nudges: 0, is_leaving: false };
        let (control, controlled) = watch::channel(wanted.clone());
        let retry = Retry::new();
        let worker = Worker { events: sender, control: controlled, wanted, retry, first };
        Self { events, control, task: tokio::spawn(worker.run()) }
    }

    /// The next event; `None` after [`ClientEvent::Stopped`]. May be cancelled without losing one.
    pub async fn event(&mut self) -> Option<ClientEvent> {
        self.events.recv().await
    }

    /// How eagerly to try again from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.control.send_modify(|control| control.pace = pace);
    }

    /// Moves to other hosts: a connection to one that is not among them ends.
    pub fn set_addresses(&self, addresses: Vec<HostAddress>) {
        self.control.send_modify(|control| {
            control.addresses = addresses.into();
            control.nudges += 1;
        });
    }

    /// Tries again at once: there is evidence that it will work, such as an interface that came up.
    pub fn retry_now(&self) {
        self.control.send_modify(|control| control.nudges += 1);
    }

    /// Ends the connection once everything handed over is written, or it takes too long. All handles of the connection
    /// must be dropped: more could come from them.
    pub async fn close(mut self) {
        self.control.send_modify(|control| control.is_leaving = true);
        // The worker may wait for room among the events.
        let ended = async { while self.events.recv().await.is_some() {} };
        if timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::debug!(target: "rejoin::signal", "left the host before everything was said");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Worker {
    events: mpsc::Sender<ClientEvent>,
    control: watch::Receiver<Control>,
    /// What the caller wanted when the delay was chosen: what it wants since then counts, even before the pause.
    wanted: Control,
    retry: Retry,
    /// Rides in the requests of the first round.
    first: Option<ClientMessage>,
}

/// A socket to a host, and what the host took with its request.
type Connected = (HostAddress, Socket, Option<ClientMessage>);

/// The caller has dropped the client, or the host said not to come back.
struct Stop;

impl Worker {
    async fn run(mut self) {
        while let Ok(()) = self.round().await {}
    }

    /// One try at all addresses, the life of the connection if one answered, and the pause after it.
    async fn round(&mut self) -> Result<(), Stop> {
        let event = match self.connect().await {
            Ok((address, socket, taken)) => {
                let is_taken = taken.is_some();
                tracing::debug!(target: "rejoin::signal", host = %address, is_taken, "connected to the host");
                let opened = Instant::now();
                let reason = self.converse(address, socket, taken).await?;
                self.retry.handle_lost(opened.elapsed());
                tracing::debug!(target: "rejoin::signal", %reason, "lost the host");
                let retry_in = match &reason {
                    LossReason::Goodbye(close) if !close.is_retryable() => {
                        self.emit(ClientEvent::Stopped(*close)).await?;
                        return Err(Stop);
                    }
                    LossReason::Goodbye(close) => {
                        close.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX)
                    }
                    LossReason::Moved => {
                        self.emit(ClientEvent::Lost { reason, retry_in: Duration::ZERO }).await?;
                        return Ok(());
                    }
                    LossReason::Closed
                    | LossReason::Silent
                    | LossReason::WebSocket(_)
                    | LossReason::Codec(_) => Duration::ZERO,
                };
                (reason, retry_in)
            }
            Err(errors) => {
                let retry_in = self.next_delay();
                self.emit(ClientEvent::Unreachable { errors, retry_in }).await?;
                return self.pause(retry_in).await;
            }
        };
        let (reason, asked) = event;
        let retry_in = self.next_delay().max(asked);
        self.emit(ClientEvent::Lost { reason, retry_in }).await?;
        self.pause(retry_in).await
    }

    fn next_delay(&mut self) -> Duration {
        self.wanted = self.control.borrow_and_update().clone();
        // Jitter only spreads load; without randomness everybody waits the full delay.
        self.retry.next_delay(self.wanted.pace, getrandom::u32().unwrap_or_default())
    }

    /// Waits, unless there is evidence that waiting is in vain: a nudge, or a pace that became urgent.
    async fn pause(&mut self, delay: Duration) -> Result<(), Stop> {
        let deadline = sleep(delay);
        tokio::pin!(deadline);
        loop {
            let now = self.control.borrow_and_update().clone();
            if now.is_leaving {
                return Err(Stop);
            }
            let hurried = self.wanted.pace == Pace::Relaxed && now.pace == Pace::Urgent;
            if hurried || now.nudges != self.wanted.nudges {
                self.retry.handle_evidence();
                return Ok(());
            }
            tokio::select! {
                () = &mut deadline => return Ok(()),
                changed = self.control.changed() => changed.map_err(|_| Stop)?,
            }
        }
    }

    async fn connect(&mut self) -> Result<Connected, Vec<(HostAddress, ConnectError)>> {
        let mut errors = Vec::new();
        let first_of_round = self.first.take();
        let addresses = self.control.borrow().addresses.clone();
        for address in addresses.iter() {
            let config = WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX))
                .read_buffer_size(16 * 1024)
                .write_buffer_size(0)
                .max_write_buffer_size(2 * MESSAGE_BYTES_MAX);
            let mut first = first_of_round.clone();
            let connecting = async {
                let mut request = address.url().into_client_request()?;
                first = first.take().filter(|first| add_first(request.headers_mut(), first));
                // The last argument turns Nagle's algorithm off.
                connect_async_with_config(request, Some(config), true).await
            };
            match timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok((socket, answer))) => {
                    let said = answer.headers().get(first_message::NAME);
                    let is_taken = said.is_some_and(|said| said == first_message::TAKEN);
                    let taken = first.filter(|_| is_taken);
                    return Ok((address.clone(), socket, taken));
                }
                Ok(Err(error)) => {
                    errors.push((address.clone(), ConnectError::WebSocket(Box::new(error))))
                }
                Err(_) => errors.push((address.clone(), ConnectError::Timeout)),
            }
        }
        Err(errors)
    }

    /// Carries messages both ways until the connection is lost. If the caller begins with what the host has `taken`, it is
    /// not sent once more.
    async fn converse(
        &self,
        address: HostAddress,
        mut socket: Socket,
        mut taken: Option<ClientMessage>,
    ) -> Result<LossReason, Stop> {
        let (outgoing, mut messages) = mpsc::channel(OUTGOING_MAX);
        let connection = HostConnection { address: address.clone(), outgoing };
        self.emit(ClientEvent::Connected(connection)).await?;
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut has_handles = true;
        let mut control = self.control.clone();
        let mut moving = self.control.clone();
        loop {
            let leaving = async {
                // A caller that is gone without a word drops this task.
                let _ = control.wait_for(|control| control.is_leaving).await;
            };
            let moved = async {
                // As above.
                let _ = moving.wait_for(|control| !control.addresses.contains(&address)).await;
            };
            let message = tokio::select! {
                () = moved => return Ok(LossReason::Moved),
                incoming = timeout_at(heard + SILENCE_MAX, socket.next()) => {
                    heard = Instant::now();
                    match self.hear(incoming).await? {
                        Some(reason) => return Ok(reason),
                        None => continue,
                    }
                }
                message = messages.recv(), if has_handles => {
                    // The caller waits for nothing from this connection but its events.
                    let Some(message) = message else {
                        has_handles = false;
                        continue;
                    };
                    if taken.take().is_some_and(|taken| taken == message) {
                        continue;
                    }
                    match message.encode() {
                        Ok(bytes) => Message::binary(bytes),
                        Err(error) => {
                            tracing::error!(target: "rejoin::signal", %error, "a message has no byte form");
                            continue;
                        }
                    }
                }
                () = leaving, if !has_handles => {
                    // `CLOSE_TIMEOUT` bounds it.
                    let _ = socket.close(None).await;
                    return Err(Stop);
                }
                _ = pings.tick() => Message::Ping(bytes::Bytes::new()),
            };
            match timeout(WRITE_TIMEOUT, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Ok(LossReason::WebSocket(Box::new(error))),
                Err(_) => return Ok(LossReason::Silent),
            }
        }
    }

    /// One frame, or its absence; a reason if the connection is over.
    async fn hear(
        &self,
        incoming: Result<
            Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
            tokio::time::error::Elapsed,
        >,
    ) -> Result<Option<LossReason>, Stop> {
        let message = match incoming {
            Err(_) => return Ok(Some(LossReason::Silent)),
            Ok(None) => return Ok(Some(LossReason::Closed)),
            Ok(Some(Err(error))) => return Ok(Some(LossReason::WebSocket(Box::new(error)))),
            Ok(Some(Ok(message))) => message,
        };
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Ok(Some(LossReason::Closed)),
            Message::Text(_) => return Ok(Some(LossReason::Codec(CodecError::Malformed))),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
        };
        match HostMessage::decode(&bytes) {
            Ok(HostMessage::Goodbye { reason }) => Ok(Some(LossReason::Goodbye(reason))),
            Ok(message) => {
                self.emit(ClientEvent::Message(message)).await?;
                Ok(None)
            }
            Err(error) => Ok(Some(LossReason::Codec(error))),
        }
    }

    async fn emit(&self, event: ClientEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop)
    }
}

/// Puts the first message into a request; `false` where it does not fit.
fn add_first(headers: &mut HeaderMap, message: &ClientMessage) -> bool {
    let value = first_message::encode(message).and_then(|value| HeaderValue::try_from(value).ok());
    let Some(mut value) = value else { return false };
    // A member's token is in it.
    value.set_sensitive(true);
    headers.insert(first_message::NAME, value);
    true
}
