//! The sockets of a link that has a carrier: DTLS records go through [`crate::carrier`], everything else as it is. What comes in
//! is taken as [`crate::link::admission`] says: records only from the carrier.
//!
//! ```text
//!   the stack's driver       poll_send ── record ──▶ ┐         ┌ ──▶ train ──▶ socket
//!   (its own thread)         poll_recv ◀── record ── ┤ carrier ┤
//!                                                    └         ┘ ◀── train ◀── socket
//!   a task per socket, same thread: reads, answers timers, sends what is due
//! ```
//!
//! The carrier belongs to the connection; sockets come and go with ICE restarts. Its datagrams go where the last record of
//! the stack was to go, wrapped for TURN as that record was.

mod path;
mod port;

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::clock::StackClock;
use super::udp::GRO_SEGMENTS;
use crate::carrier::{Carrier, CarrierConfig};
use crate::link::admission::Verdict;
use crate::link::config::CarrierSettings;
use crate::link::demultiplexing::Protocol;
use crate::link::turn_framing::{Framing, Toward};
use crate::wire::CarrierTokens;
use path::{Outlet, Path, datagram_bytes_max};
pub(super) use port::CarriedSocket;
use port::Port;

/// Bytes in one read: the longest train that a kernel puts together.
const READ_BYTES: usize = 64 * 1024;

/// Trains in one read, for paths where the kernel puts few datagrams together.
const READ_TRAINS: usize = 4;

/// Record bytes that make a train worth sending before the stack is done with its batch.
const TRAIN_BYTES: usize = 60_000;

/// Bytes that the peer may have under way, at most: a socket that is read by a thread of its own needs no more to be full
/// speed on a short path, and a long one that of [`crate::link::config::RECEIVE_WINDOW_BYTES_CARRIED`].
const RECEIVE_WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the stack's driver may wait for room. It reads, checks its paths and takes restarts on the thread that waits,
/// so on a path that is dead it must go on: what it has then is lost like any packet, and SCTP sends it again.
const PATIENCE: Duration = Duration::from_millis(500);

/// Without a record for so long, while something is missing, the stack's clock stands still: its SCTP waits for a second at least.
const QUIET_TIME: Duration = Duration::from_millis(600);

/// How long content may wait before the path. SCTP itself sees no path that is full: the carrier takes what it sends.
const BACKLOG: Duration = Duration::from_millis(500);

/// And how much, however slow the path seems: two frames, or it would never be found to be faster.
const BACKLOG_BYTES_MIN: usize = 128 * 1024;

/// The carrier of one link, and what connects it to the sockets.
#[derive(Debug)]
pub(super) struct Carrying {
    state: Mutex<State>,
    clock: StackClock,
}

#[derive(Debug)]
struct State {
    settings: CarrierSettings,
    /// Bytes a second.
    rate_max: Option<u64>,
    /// What the peer may have under way to us.
    receive_window_bytes: usize,
    tokens: Option<CarrierTokens>,
    /// Made when the first datagram comes or goes: then the path is known.
    carrier: Option<Carrier>,
    /// Where the stack's last record went.
    path: Option<Path>,
    /// Where the last carried datagram came from; of use until the stack has sent a record.
    arrival: Option<Path>,
    outlet: Outlet,
    /// One read.
    buffers: Vec<u8>,
    /// A record on its way into a wrapper.
    record: Vec<u8>,
    /// Record bytes pushed since something was sent.
    unsent: usize,
    /// Bytes of the present transmission of the stack that the carrier has.
    taken: usize,
    /// The stack's driver, where it waits for room, and since when there is none.
    sender: Option<Waker>,
    full_since: Option<Instant>,
    /// Since when the carrier waits for something and the stack was given nothing.
    waits_since: Option<Instant>,
    records_refused: u64,
    reported: Option<Instant>,
}

/// Between two lines of figures in the log.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// What a turn leaves to be done.
struct Turn {
    deadline: Option<Instant>,
    /// Whether there may be more to read.
    has_more: bool,
}

impl Carrying {
    pub(super) fn new(settings: CarrierSettings, rate_max: Option<u64>) -> Self {
        Self {
            clock: StackClock::new(),
            state: Mutex::new(State {
                settings,
                rate_max,
                receive_window_bytes: RECEIVE_WINDOW_BYTES_MAX,
                tokens: None,
                carrier: None,
                path: None,
                arrival: None,
                outlet: Outlet::default(),
                buffers: Vec::new(),
                record: Vec::new(),
                unsent: 0,
                taken: 0,
                sender: None,
                full_since: None,
                waits_since: None,
                records_refused: 0,
                reported: None,
            }),
        }
    }

    /// Says how the datagrams of this connection are known. Once.
    pub(super) fn set_tokens(&self, tokens: CarrierTokens) {
        self.state().tokens.get_or_insert(tokens);
    }

    /// What may wait before the path, SCTP's own part included.
    pub(super) fn bytes_max(&self) -> usize {
        let state = self.state();
        let figures = state.carrier.as_ref().map(Carrier::figures).unwrap_or_default();
        // What lies behind a hole is not acknowledged to SCTP until the hole is filled, a round trip or two later.
        let time = BACKLOG + figures.minimal_rtt * 4;
        ((figures.delivery_rate as f64 * time.as_secs_f64()) as usize).max(BACKLOG_BYTES_MIN)
    }

    /// Bytes of the stack's records that no datagram took yet.
    pub(super) fn unsent_bytes(&self) -> u64 {
        self.state().carrier.as_ref().map_or(0, |carrier| carrier.figures().queued)
    }

    /// A socket of this connection holds so many bytes, by the kernel's count.
    pub(super) fn add_socket(&self, granted_bytes: usize) {
        let share = granted_bytes / 13 * 8;
        let mut state = self.state();
        state.receive_window_bytes = state.receive_window_bytes.min(share);
    }

    /// The time that the stack is told.
    pub(super) fn stack_time(&self, real: Instant) -> Instant {
        self.clock.at(real)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of the task of `port`.
    fn turn(&self, port: &Arc<Port>) -> Turn {
        let now = Instant::now();
        let mut state = self.state();
        let has_more = state.read(port, now);
        if let Some(carrier) = &mut state.carrier
            && carrier.poll_timeout().is_some_and(|at| at <= now)
        {
            carrier.handle_timeout(now);
        }
        state.transmit(now);
        self.clock.hold(state.is_quiet(now), now);
        state.wake();
        state.report(now);
        Turn { deadline: state.deadline(port, now), has_more }
    }

    /// The records of a transmission go to the carrier; `None`: they are none.
    fn poll_records(
        &self,
        port: &Arc<Port>,
        context: &Context<'_>,
        transmit: &Transmit<'_>,
    ) -> Option<Poll<()>> {
        let (framing, record) = Framing::open(transmit.contents, Toward::Server);
        let record = transmit.contents.get(record).unwrap_or_default();
        if Protocol::of(record) != Protocol::Dtls {
            return None;
        }
        let mut state = self.state();
        let now = Instant::now();
        let path = Path::new(port, transmit.destination, framing);
        if !state.follow(path, now) {
            state.refuse();
            return Some(Poll::Ready(()));
        }
        Some(state.poll_push(context, transmit, now))
    }

    fn poll_deliver(
        &self,
        port: &Arc<Port>,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<RecvMeta> {
        if let Some(meta) = port.take_passing(buffer) {
            return Poll::Ready(meta);
        }
        let mut state = self.state();
        if let Some(meta) = state.deliver(port, buffer) {
            return Poll::Ready(meta);
        }
        // Before the waker is left: what the task would read next is read here, without a change of tasks.
        let now = Instant::now();
        state.read(port, now);
        state.transmit(now);
        self.clock.hold(state.is_quiet(now), now);
        if let Some(meta) = port.take_passing(buffer).or_else(|| state.deliver(port, buffer)) {
            return Poll::Ready(meta);
        }
        port.await_delivery(context.waker());
        Poll::Pending
    }
}

impl State {
    /// Logs the figures now and then, and tells of a path that cuts.
    fn report(&mut self, now: Instant) {
        if self.reported.is_none_or(|at| now >= at + REPORT_INTERVAL)
            && let Some(carrier) = &self.carrier
        {
            self.reported = Some(now);
            tracing::debug!(target: "rejoin::carrier", figures = ?carrier.figures());
        }
        if self.carrier.as_ref().is_some_and(Carrier::is_cut)
            && let Some(path) = &self.path
            && let Some(port) = path.port()
        {
            port.socket().on_cut(path.remote());
        }
    }

    /// Whether the stack has heard nothing for so long, while something is missing, that its timers are near.
    fn is_quiet(&mut self, now: Instant) -> bool {
        // Without a path nothing can come, and the stack is to find another.
        if self.path().is_none() || !self.carrier.as_ref().is_some_and(Carrier::is_waiting) {
            self.waits_since = None;
            return false;
        }
        now >= *self.waits_since.get_or_insert(now) + QUIET_TIME
    }

    /// Makes `path` the one in use, and the carrier if there is none. False: there can be none.
    fn follow(&mut self, path: Path, now: Instant) -> bool {
        if !self.ensure(&path, now) {
            return false;
        }
        if self.path.as_ref() != Some(&path) {
            // What is encoded for the old one is lost with it.
            self.outlet.clear();
            if let Some(carrier) = &mut self.carrier {
                carrier.handle_path(path.overhead(), now);
            }
            self.path = Some(path);
            self.arrival = None;
        }
        true
    }

    fn ensure(&mut self, path: &Path, now: Instant) -> bool {
        if let (None, Some(tokens)) = (&self.carrier, self.tokens) {
            let most = datagram_bytes_max(path.remote()).min(self.settings.datagram_bytes_max);
            self.carrier = Some(Carrier::new(
                CarrierConfig {
                    token_out: tokens.outgoing,
                    token_in: tokens.incoming,
                    datagram_bytes_start: self.settings.datagram_bytes_start.min(most),
                    datagram_bytes_max: most,
                    rate_bytes_per_second_max: self.rate_max,
                    receive_window_bytes: u32::try_from(self.receive_window_bytes)
                        .unwrap_or(u32::MAX),
                },
                now,
            ));
        }
        self.carrier.is_some()
    }

    fn poll_push(
        &mut self,
        context: &Context<'_>,
        transmit: &Transmit<'_>,
        now: Instant,
    ) -> Poll<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        // A transmission that waited comes again as it was.
        let taken = std::mem::take(&mut self.taken).min(transmit.contents.len());
        let mut at = taken;
        for wrapped in transmit.contents[taken..].chunks(segment) {
            let (_, range) = Framing::open(wrapped, Toward::Server);
            if !self.push(&wrapped[range], now) {
                let since = *self.full_since.get_or_insert(now);
                if now < since + PATIENCE {
                    self.taken = at;
                    self.sender = Some(context.waker().clone());
                    return Poll::Pending;
                }
                self.refuse();
            }
            at += wrapped.len();
        }
        if self.unsent >= TRAIN_BYTES {
            self.transmit(now);
        }
        Poll::Ready(())
    }

    fn push(&mut self, record: &[u8], now: Instant) -> bool {
        let Some(carrier) = &mut self.carrier else { return false };
        let mut is_taken = carrier.push_record(record);
        if !is_taken {
            self.transmit(now);
            is_taken = self.carrier.as_mut().is_some_and(|carrier| carrier.push_record(record));
        }
        if is_taken {
            self.full_since = None;
            self.unsent += record.len();
        }
        is_taken
    }

    fn refuse(&mut self) {
        self.records_refused += 1;
        if self.records_refused.is_power_of_two() {
            tracing::debug!(target: "rejoin::carrier", records = self.records_refused, "no room for records");
        }
    }

    /// Reads what is at `port`, one read. True: there may be more.
    fn read(&mut self, port: &Arc<Port>, now: Instant) -> bool {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.resize(READ_BYTES * READ_TRAINS, 0);
        let mut meta = [RecvMeta::default(); READ_TRAINS];
        let mut chunks = buffers.chunks_mut(READ_BYTES);
        let mut slices: [IoSliceMut<'_>; READ_TRAINS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let read = match port.socket().try_read(&mut slices, &mut meta) {
            Ok(count) => count,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    port.fail(error);
                }
                0
            }
        };
        for (train, meta) in buffers.chunks(READ_BYTES).zip(&meta[..read]) {
            let train = train.get(..meta.len).unwrap_or_default();
            for datagram in train.chunks(meta.stride.max(1)) {
                self.on_datagram(port, datagram, meta.addr, now);
            }
        }
        self.buffers = buffers;
        read > 0
    }

    fn on_datagram(&mut self, port: &Arc<Port>, datagram: &[u8], remote: SocketAddr, now: Instant) {
        match port.socket().judge(remote, datagram, now) {
            Verdict::Stack => return port.pass(datagram, remote),
            Verdict::Dropped => return,
            Verdict::Carrier => {}
        }
        let (framing, payload) = Framing::open(datagram, Toward::Client);
        let payload = datagram.get(payload).unwrap_or_default();
        let is_new = self.path.is_none()
            && !self.arrival.as_ref().is_some_and(|known| known.is(port, remote, framing));
        if is_new && !self.ensure(&Path::new(port, remote, framing), now) {
            return;
        }
        let Some(carrier) = &mut self.carrier else { return };
        if carrier.handle_datagram(payload, now) && is_new {
            self.arrival = Some(Path::new(port, remote, framing));
        }
    }

    /// The path in use. One whose socket is gone is none.
    fn path(&mut self) -> Option<&Path> {
        if self.path.as_ref().is_some_and(Path::is_gone) {
            self.path = None;
            self.outlet.clear();
        }
        self.path.as_ref().or(self.arrival.as_ref())
    }

    /// Hands records to the stack, as many of equal length as there are.
    fn deliver(&mut self, port: &Arc<Port>, buffer: &mut [u8]) -> Option<RecvMeta> {
        self.carrier.as_mut()?.next_record_bytes()?;
        let path = self.path().filter(|path| path.has_port(port))?;
        let (framing, addr) = (path.framing(), path.remote());
        let (mut length, mut stride) = (0, 0);
        let carrier = self.carrier.as_mut()?;
        while let Some(bytes) = carrier.next_record_bytes() {
            let place = buffer.get_mut(length..).unwrap_or_default();
            let wrapped = framing.wrapped_bytes(bytes);
            if length > 0 && (wrapped > stride || wrapped > place.len()) {
                break;
            }
            let taken = match framing {
                Framing::Plain => carrier.pop_record(place),
                Framing::Channel(_) | Framing::Indication(_) => {
                    self.record.resize(bytes, 0);
                    let popped = carrier.pop_record(&mut self.record);
                    popped.and_then(|_| self.outlet.wrap_into(framing, &self.record, place))
                }
            };
            // Longer than the stack's buffer: dropped, as UDP would.
            let Some(taken) = taken else { continue };
            stride = stride.max(taken);
            length += taken;
            if taken < stride || length as u64 >= port.socket().burst_bytes_max() {
                break;
            }
        }
        self.waits_since = None;
        (length > 0).then(|| port::received(addr, length, stride))
    }

    /// Sends what the carrier has due, until the socket or the pace says stop.
    fn transmit(&mut self, now: Instant) {
        self.unsent = 0;
        let Some((path, port)) = self.path().and_then(|path| Some((path.clone(), path.port()?)))
        else {
            return;
        };
        let Some(carrier) = &mut self.carrier else { return };
        loop {
            if self.outlet.is_empty() && !self.outlet.fill(carrier, &path, &port, now) {
                return;
            }
            let transmit = self.outlet.transmit(path.remote());
            match port.socket().try_send(&transmit, self.outlet.is_whole()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return port.await_room();
                }
                Err(error) if path::is_too_large(&error) => {
                    let bytes = self.outlet.segment_bytes().saturating_sub(path.overhead());
                    carrier.handle_too_large(bytes);
                    self.outlet.clear();
                }
                Err(error) => port.socket().on_refused(&error, path.remote()),
            }
            self.outlet.advance();
        }
    }

    /// Wakes the stack's driver for what is there, and to try again where it waits for room.
    fn wake(&mut self) {
        let Some(carrier) = &mut self.carrier else { return };
        let has_record = carrier.next_record_bytes().is_some();
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
        if has_record && let Some(port) = self.path().and_then(Path::port) {
            port.wake_reader();
        }
    }

    /// When the task of `port` is to take its next turn: the one whose path it is keeps the time.
    fn deadline(&mut self, port: &Arc<Port>, now: Instant) -> Option<Instant> {
        if !self.path().is_some_and(|path| path.has_port(port)) {
            return None;
        }
        let patience = self.sender.as_ref().and(self.full_since).map(|since| since + PATIENCE);
        let carrier = self.carrier.as_ref().and_then(Carrier::poll_timeout);
        let quiet = self.waits_since.map(|since| since + QUIET_TIME).filter(|at| *at > now);
        patience.into_iter().chain(carrier).chain(quiet).min()
    }
}

impl AsyncUdpSocket for CarriedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.socket().local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        // One record at a time: for a batch the driver would first copy them together, and trains are made below.
        1
    }

    fn max_gro_segments(&self) -> usize {
        GRO_SEGMENTS
    }

    fn poll_send(
        &self,
        context: &mut Context<'_>,
        transmit: &Transmit<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.carrying.poll_records(&self.port, context, transmit) {
            Some(done) => {
                self.port.call();
                done.map(|()| Ok(transmit.contents.len()))
            }
            None => self.port.socket().poll_send(context, transmit),
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        #[cfg(feature = "fault-injection")]
        crate::link::fault::panic_if_due();
        self.port.take_failure()?;
        if self.port.burst() >= self.port.socket().burst_bytes_max() {
            self.port.end_burst();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.carrying.poll_deliver(&self.port, context, buffer).map(|found| {
            self.port.on_delivered(found.len);
            *meta = found;
            Ok(1)
        })
    }
}

#[cfg(test)]
mod tests;
