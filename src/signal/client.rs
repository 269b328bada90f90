//! I/O: the WebSocket to a host. Connects, reports, reconnects; entering rooms again is the caller's work on
//! [`ClientEvent::Connected`]. What it would say first it may tell beforehand: then that is in the host's hands already.
//!
//! A member that looks for another one ([`Targets::is_seeking`]) by several addresses is not done with the first host that
//! answers: one that does not know the room is left for the next address. Until all were asked, what such a host said is no
//! answer.

mod dial;
mod in_process;
mod seeking;

pub use dial::{ConnectError, NotAHost};
pub use in_process::OwnHost;
pub(super) use in_process::Stream;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use self::dial::{Dialled, Socket, dial, dial_own};
use self::seeking::Seeking;
use super::code::HostAddress;
use super::codec::CodecError;
use super::protocol::{ClientMessage, CloseReason, HostMessage};
use super::retry::Pace;
use super::retry::Retry;

/// Longest a host may ask us to stay away.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Own pings, so that a dead connection is noticed without trusting the host to ping.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Nothing read for this long: lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The first word of a host to what it was told: whoever pings and has no word is no host, or one that stands still.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// One message must leave within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left to say must leave within this time when the caller goes.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Events the caller has not taken yet; when full, the socket is not read.
const EVENTS_MAX: usize = 256;
/// Messages not yet written.
const OUTGOING_MAX: usize = 256;

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
    /// Nobody who is looked for is there, and there are other addresses.
    #[error("the other side is not at this host; another address is tried")]
    Absent,
    /// The socket failed, or the host exceeded a limit of ours.
    #[error("{0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// The host sent what is no message of this version.
    #[error("the host sent an unusable message: {0}")]
    Codec(#[from] CodecError),
}

impl LossReason {
    /// Whether the other end closed it or is gone: neither silence, which may be the network's, nor a wish of ours.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        match self {
            Self::Goodbye(_) | Self::Closed | Self::WebSocket(_) => true,
            Self::Silent | Self::Moved | Self::Absent | Self::Codec(_) => false,
        }
    }
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

/// Where a client connects to.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Addresses, the best first.
    pub addresses: Vec<HostAddress>,
    /// Whether they are of several hosts, which both sides try in this order; else of one, and whichever opens first is taken.
    pub is_in_turn: bool,
    /// Whether the member looks for another one: then a host where nobody is is not the last word.
    pub is_seeking: bool,
    /// The host of this process, tried after the addresses, and what it is called.
    pub own: Option<(HostAddress, OwnHost)>,
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
    /// Starts connecting to several hosts, in order. See [`Self::start_at`].
    #[must_use]
    pub fn start(addresses: Vec<HostAddress>, first: Option<ClientMessage>) -> Self {
        Self::start_at(Targets { addresses, is_in_turn: true, ..Targets::default() }, first)
    }

    /// Starts connecting to `targets`. The requests of the first round have `first` with them: what the caller
    /// says first. It says it all the same once it is connected; what the host has already is not sent again.
    ///
    /// The first round only: a host that stood still has the requests of all tries when it goes on, and one that was given up
    /// must not replace the member whose connection is open.
    #[must_use]
    pub fn start_at(targets: Targets, first: Option<ClientMessage>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let Targets { addresses, is_in_turn, is_seeking, own } = targets;
        let addresses = addresses.into();
        let wanted = Control { addresses, pace: Pace::Urgent, nudges: 0, is_leaving: false };
        let (control, controlled) = watch::channel(wanted.clone());
        let retry = Retry::new();
        let worker = Worker {
            events: sender,
            control: controlled,
            wanted,
            retry,
            first,
            is_in_turn,
            is_seeking,
            own,
            answered: None,
            absent: HashSet::new(),
        };
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
    is_in_turn: bool,
    is_seeking: bool,
    own: Option<(HostAddress, OwnHost)>,
    /// The address that answered last: of several of one host the first to be tried again.
    answered: Option<HostAddress>,
    /// Addresses of this round where nobody was.
    absent: HashSet<HostAddress>,
}

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
                let reason = self.converse(address.clone(), socket, taken).await?;
                if !matches!(reason, LossReason::Absent) {
                    self.retry.handle_lost(opened.elapsed());
                    self.absent.clear();
                    self.answered = Some(address.clone());
                }
                tracing::debug!(target: "rejoin::signal", %reason, "lost the host");
                let retry_in = match &reason {
                    LossReason::Absent => {
                        self.absent.insert(address);
                        self.emit(ClientEvent::Lost { reason, retry_in: Duration::ZERO }).await?;
                        return Ok(());
                    }
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

    async fn connect(&mut self) -> Result<Dialled, Vec<(HostAddress, ConnectError)>> {
        let first_of_round = self.first.take();
        let known = self.control.borrow().addresses.clone();
        let mut wanted: Vec<HostAddress> =
            known.iter().filter(|address| !self.absent.contains(*address)).cloned().collect();
        if let Some(answered) = self.answered.as_ref().filter(|_| !self.is_in_turn) {
            wanted.sort_by_key(|address| address != answered);
        }
        let of_one_host = if self.is_in_turn { 1 } else { wanted.len().max(1) };
        let mut errors = Vec::new();
        for addresses in wanted.chunks(of_one_host) {
            match dial(addresses, &mut first_of_round.clone()).await {
                Ok(dialled) => return Ok(dialled),
                Err(failed) => errors.extend(failed),
            }
        }
        if let Some((address, own)) = &self.own {
            match dial_own(address, own, first_of_round).await {
                Ok(dialled) => return Ok(dialled),
                Err(error) => errors.push((address.clone(), error)),
            }
        }
        // The round is over: in the next one everybody is asked again.
        errors.extend(self.absent.drain().map(|address| (address, ConnectError::Absent)));
        let place = |wanted: &HostAddress| known.iter().position(|address| address == wanted);
        errors.sort_by_key(|(address, _)| place(address).unwrap_or(usize::MAX));
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
        // Until the first answer.
        let mut answer_by = taken.is_some().then(|| heard + ANSWER_MAX);
        let mut is_answered = false;
        let mut has_handles = true;
        let mut seeking = Seeking::default();
        if let Some(taken) = &taken {
            seeking.handle_said(taken);
        }
        let mut leave_at: Option<Instant> = None;
        let is_own = self.own.as_ref().is_some_and(|(own, _)| *own == address);
        let mut control = self.control.clone();
        let mut moving = self.control.clone();
        loop {
            let leaving = async {
                // A caller that is gone without a word drops this task.
                let _ = control.wait_for(|control| control.is_leaving).await;
            };
            let moved = async {
                // As above.
                let _ = moving
                    .wait_for(|control| !is_own && !control.addresses.contains(&address))
                    .await;
            };
            let absent = async {
                match leave_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                () = moved => return Ok(LossReason::Moved),
                () = absent => return Ok(LossReason::Absent),
                incoming = timeout_at(listen_until(heard, answer_by), socket.next()) => {
                    heard = Instant::now();
                    let message = match hear(incoming) {
                        Heard::Message(message) => message,
                        Heard::Nothing => {
                            // Nor does a flood of it keep a thread from others.
                            consume_budget().await;
                            continue;
                        }
                        Heard::End(reason) => return Ok(reason),
                    };
                    is_answered = true;
                    answer_by = None;
                    if self.has_others() {
                        let grace = seeking.handle_heard(&message);
                        leave_at = grace.map(|grace| Instant::now() + grace);
                        if grace == Some(Duration::ZERO) {
                            continue;
                        }
                    }
                    self.emit(ClientEvent::Message(message)).await?;
                    continue;
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
                    seeking.handle_said(&message);
                    if !is_answered {
                        answer_by.get_or_insert_with(|| Instant::now() + ANSWER_MAX);
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

    /// Whether a host where nobody is can be left for another address.
    fn has_others(&self) -> bool {
        self.is_seeking && self.control.borrow().addresses.len() > 1
    }

    async fn emit(&self, event: ClientEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop)
    }
}

/// When a host that was heard at `heard`, and whose first answer is due at `answer_by`, counts as silent.
fn listen_until(heard: Instant, answer_by: Option<Instant>) -> Instant {
    let silent_at = heard + SILENCE_MAX;
    answer_by.map_or(silent_at, |due| due.min(silent_at))
}

/// What came in.
enum Heard {
    Message(HostMessage),
    Nothing,
    /// The connection is over.
    End(LossReason),
}

fn hear(
    incoming: Result<
        Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
        tokio::time::error::Elapsed,
    >,
) -> Heard {
    let message = match incoming {
        Err(_) => return Heard::End(LossReason::Silent),
        Ok(None) => return Heard::End(LossReason::Closed),
        Ok(Some(Err(error))) => return Heard::End(LossReason::WebSocket(Box::new(error))),
        Ok(Some(Ok(message))) => message,
    };
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Close(_) => return Heard::End(LossReason::Closed),
        Message::Text(_) => return Heard::End(LossReason::Codec(CodecError::Malformed)),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Heard::Nothing,
    };
    match HostMessage::decode(&bytes) {
        Ok(HostMessage::Goodbye { reason }) => Heard::End(LossReason::Goodbye(reason)),
        Ok(message) => Heard::Message(message),
        Err(error) => Heard::End(LossReason::Codec(error)),
    }
}
