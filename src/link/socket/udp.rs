//! One UDP socket: batched by GSO and GRO, counted, and fair between reading and writing.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::Interest;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::cutting::{self, Cutting};
use super::shared::{READ_BURST_BYTES, Shared};
use crate::link::admission::Verdict;
use crate::link::{cable, train};
use crate::platform::{Code, code};

/// What a GRO train holds at most. Reported even where the kernel has no GRO, or the stack's buffer is 2,000 bytes.
pub(super) const GRO_SEGMENTS: usize = 64;

/// What a read of which nothing is left counts for, beside its bytes.
const DROPPED_READ_BYTES: u64 = 4 * 1024;

/// A UDP socket of a link.
pub(super) struct UdpSocket {
    io: tokio::net::UdpSocket,
    local: SocketAddr,
    batch: UdpSocketState,
    shared: Arc<Shared>,
    /// Bytes read since the reader was last told to wait.
    burst: AtomicU64,
    cutting: Cutting,
}

impl UdpSocket {
    pub(super) fn new(socket: std::net::UdpSocket, shared: Arc<Shared>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let batch = UdpSocketState::new(UdpSockRef::from(&io))?;
        shared.sockets.fetch_add(1, Ordering::Relaxed);
        let cutting = Cutting::allowed(&io);
        Ok(Self { io, local, batch, shared, burst: AtomicU64::new(0), cutting })
    }

    pub(super) const fn io(&self) -> &tokio::net::UdpSocket {
        &self.io
    }

    /// Sends a datagram or a train if the system takes it now. `is_whole`: it must not be cut on its way.
    ///
    /// # Errors
    /// `WouldBlock`; anything else means that it is lost.
    pub(super) fn try_send(&self, transmit: &Transmit<'_>, is_whole: bool) -> io::Result<()> {
        let length = transmit.contents.len();
        if cable::is_cut() {
            return Ok(());
        }
        let segment = transmit.segment_size.unwrap_or(length).max(1);
        self.cutting.prepare(&self.io, segment, is_whole);
        let sent = self.send_now(transmit);
        match &sent {
            // A system cuts single datagrams, not trains.
            Err(error) if segment < length && !is_whole && is_train_refused(error) => {
                self.cutting.forbid_trains();
                for datagram in transmit.contents.chunks(segment) {
                    let transmit = Transmit {
                        destination: transmit.destination,
                        ecn: transmit.ecn,
                        contents: datagram,
                        segment_size: None,
                        src_ip: transmit.src_ip,
                    };
                    match self.send_now(&transmit) {
                        // Those that find no room are lost like any packet.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        sent => sent?,
                    }
                }
            }
            Ok(()) | Err(_) => sent?,
        }
        self.shared.on_sent(length.div_ceil(segment) as u64, length as u64);
        Ok(())
    }

    fn send_now(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Through `try_io`, or Tokio's cached readiness stays and the caller spins.
        self.io.try_io(Interest::WRITABLE, || {
            self.batch.try_send(UdpSockRef::from(&self.io), transmit)
        })
    }

    /// Datagrams to `remote` are cut on their way: whoever asks is told what the path takes.
    pub(super) fn on_cut(&self, remote: SocketAddr) {
        if let (false, Ok(local)) = (self.shared.is_cut(), self.io.local_addr()) {
            self.shared.on_cut(cutting::path_bytes(local.ip(), remote));
        }
    }

    /// A packet that the system will not send is a packet lost, never the end of a link (C-05).
    pub(super) fn on_refused(&self, error: &io::Error, destination: SocketAddr) {
        if self.shared.sends_refused.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            tracing::debug!(target: "rejoin::ice", %error, %destination, "send refused");
        }
    }

    /// What is to become of a datagram that came in.
    pub(super) fn judge(&self, from: SocketAddr, datagram: &[u8], now: Instant) -> Verdict {
        self.shared.judge(self.local, from, datagram, now)
    }

    /// Takes out of a train what the stack is not to get. False: nothing is left.
    fn admit(&self, buffer: &mut [u8], meta: &mut RecvMeta, now: Instant) -> bool {
        let train = buffer.get_mut(..meta.len).unwrap_or_default();
        meta.len = train::retain(train, meta.stride, |datagram| {
            self.judge(meta.addr, datagram, now) == Verdict::Stack
        });
        meta.len > 0
    }

    /// What of a transmission may go: a request that nobody noted has no answer. All of its datagrams cost one lock, and next to nothing
    /// beside the system call.
    fn admit_sent<'a>(&self, transmit: &Transmit<'a>, now: Instant) -> Cow<'a, [u8]> {
        let (contents, to) = (transmit.contents, transmit.destination);
        let segment = transmit.segment_size.unwrap_or(contents.len());
        let mut admission = self.shared.admission();
        train::select(contents, segment, |datagram| {
            let may_go = admission.handle_sent(self.local, to, datagram, now);
            if may_go {
                self.shared.allocations.on_sent(datagram, to);
            }
            may_go
        })
    }

    /// Reads what is there now: a train per buffer.
    ///
    /// # Errors
    /// `WouldBlock`, or the socket is of no use any more.
    pub(super) fn try_read(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        loop {
            let read = self.io.try_io(Interest::READABLE, || {
                // `WouldBlock` is what makes `try_io` forget the readiness.
                match self.batch.recv(UdpSockRef::from(&self.io), buffers, meta) {
                    Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                    read => read,
                }
            });
            match read {
                Ok(_) if cable::is_cut() => {}
                Ok(count) => {
                    #[cfg(feature = "fault-injection")]
                    crate::link::fault::flip_all(
                        buffers,
                        meta.iter().take(count).map(|meta| meta.len),
                    );
                    self.on_read(meta.get_mut(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes that the stack may have in one pass.
    pub(super) fn burst_bytes_max(&self) -> u64 {
        self.shared.burst_bytes_max()
    }

    /// Something for the stack came in.
    pub(super) fn on_delivered(&self) {
        self.shared.on_delivered();
    }

    fn on_read(&self, meta: &mut [RecvMeta]) {
        let (mut datagrams, mut bytes) = (0, 0);
        for meta in meta {
            // A zero-length datagram has stride 0, by which the stack would divide.
            meta.stride = meta.stride.max(1);
            datagrams += meta.len.div_ceil(meta.stride) as u64;
            bytes += meta.len as u64;
        }
        self.burst.fetch_add(bytes, Ordering::Relaxed);
        self.shared.on_received(datagrams, bytes);
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.shared.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UdpSocket").field("io", &self.io).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        if self.cutting.takes_trains() { self.batch.max_gso_segments() } else { 1 }
    }

    fn max_gro_segments(&self) -> usize {
        GRO_SEGMENTS
    }

    fn poll_send(
        &self,
        context: &mut Context<'_>,
        transmit: &Transmit<'_>,
    ) -> Poll<io::Result<usize>> {
        let length = transmit.contents.len();
        std::task::ready!(self.io.poll_send_ready(context))?;
        let contents = self.admit_sent(transmit, Instant::now());
        if contents.is_empty() {
            return Poll::Ready(Ok(length));
        }
        let segment_size = transmit.segment_size.filter(|segment| *segment < contents.len());
        let admitted = Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn,
            contents: &contents,
            segment_size,
            src_ip: transmit.src_ip,
        };
        loop {
            std::task::ready!(self.io.poll_send_ready(context))?;
            match self.try_send(&admitted, false) {
                Ok(()) => return Poll::Ready(Ok(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.on_refused(&error, transmit.destination);
                    return Poll::Ready(Ok(length));
                }
            }
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
        let mut is_allowed = self.burst.load(Ordering::Relaxed) < self.burst_bytes_max();
        loop {
            if !is_allowed {
                self.burst.store(0, Ordering::Relaxed);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.io.poll_recv_ready(context)?.is_pending() {
                self.burst.store(0, Ordering::Relaxed);
                return Poll::Pending;
            }
            let mut slices = [IoSliceMut::new(buffer)];
            match self.try_read(&mut slices, std::slice::from_mut(meta)) {
                Ok(_) if self.admit(buffer, meta, Instant::now()) => {
                    self.on_delivered();
                    return Poll::Ready(Ok(1));
                }
                // A flood of what nobody gets must not keep the stack from its other work.
                Ok(_) => {
                    let burst = self.burst.fetch_add(DROPPED_READ_BYTES, Ordering::Relaxed);
                    is_allowed = burst < READ_BURST_BYTES;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// What systems say to a train whose datagrams would have to be cut.
fn is_train_refused(error: &io::Error) -> bool {
    matches!(code(error), Some(Code::MessageTooLarge | Code::Invalid | Code::Device))
}

/// Errors of a receive that report an earlier send (ICMP); the stack would drop the socket for some.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}
